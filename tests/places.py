"""Where the parts of the tests are, and where they run."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout: what `python -m tests...` is run in."""

APPLICATIONS = ROOT / 'tests' / 'applications'
"""Modules as users write them. Jobs name their functions, so this directory is on the path of tests and workers."""

SERVER_VARIABLE = 'RQ_LEVELDB_TEST_URL'
"""An environment variable: the URL of a real server, on whose database tests run instead of a store of their own.

The database is emptied. What only a store can do is skipped.
"""

"""Where the parts of the tests are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout: what `python -m tests...` is run in."""

APPLICATIONS = ROOT / 'tests' / 'applications'
"""Modules as users write them. Jobs name their functions, so this directory is on the path of tests and workers."""

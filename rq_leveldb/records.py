"""Keys beyond RQ's that worker, HTTP front and command line share."""

from __future__ import annotations

__all__ = ['UNREADABLE_KEY']

UNREADABLE_KEY = 'rq-leveldb:unreadable'
"""Hash of what could be neither read nor failed: key in the store to JSON, see `unreadable.list_aside`."""

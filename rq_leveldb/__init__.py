"""RQ without Redis: background jobs on one machine, stored in LevelDB."""

from __future__ import annotations

from rq_leveldb.version import __version__

__all__ = ['__version__']

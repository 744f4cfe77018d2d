"""The files that the next start of LevelDB needs, and whether they are still in place.

LevelDB has them open, so it does not notice when they are removed or replaced: it keeps writing to a log that no start
will find, and acknowledged writes are lost. LevelDB itself removes only files that it no longer needs (its
`doc/impl.md`): CURRENT and the MANIFEST that it names stay until the next start, a table while it is live, the newest
log until there is a newer one.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rq_leveldb.store import manifest
from rq_leveldb.store.file_identity import Identity, identity_of, loss_of

LOG = '.log'
SETTLED = 50_000_000
"""Nanoseconds after which two changes of a directory are sure to have different mtimes."""

_LIVE_TABLE = re.compile(rb'^ (\d+):', re.MULTILINE)
"""A line of LevelDB's property `sstables`: number, size, first and last key."""


class _Log(NamedTuple):
    number: int
    path: Path
    identity: Identity


class DatabaseFiles:
    """The files of an open LevelDB that the next start needs.

    Args:
        directory: LevelDB's own directory, just opened.
        live_tables: returns LevelDB's property `sstables`.
        flush: makes LevelDB write its memtable to a table and begin a new log.
    """

    def __init__(self, directory: Path, live_tables: Callable[[], bytes], flush: Callable[[], None]) -> None:
        self._directory = directory
        self._live_tables = live_tables
        self._flush = flush
        fixed = (directory, directory / 'CURRENT', manifest.current(directory))
        self._fixed = {path: identity_of(os.stat(path)) for path in fixed}
        self._looked_at: tuple[int, int, int] | None = None  # the directory's identity and its mtime
        self._log = self._newest_log()

    def loss(self) -> str:
        """Check the files; while nothing in the directory changes, this costs one call of stat.

        A removed log is made up for if everything else exists, since its contents are also in memory.

        Returns:
            What happened to a file that is needed, in words; '' if all exist, or it cannot be determined.
        """
        try:
            status = os.stat(self._directory)
            seen = (*identity_of(status), status.st_mtime_ns)
            if seen == self._looked_at:
                return ''
            loss = self._loss_of_any()
        except OSError:
            return loss_of(self._directory, self._fixed[self._directory])
        self._looked_at = seen if time.time_ns() - status.st_mtime_ns > SETTLED else None
        return loss

    def _loss_of_any(self) -> str:
        for path, identity in self._fixed.items():
            loss = loss_of(path, identity)
            if loss:
                return loss
        live = self._live()
        there = set(self._numbered(manifest.TABLE_SUFFIXES))
        # A table that a compaction removed in between is no longer live.
        missing = live - there and live - there & self._live()
        if missing:
            return f'the table {min(missing)} is no longer in {self._directory}'
        return self._loss_of_log()

    def _live(self) -> set[int]:
        return set(map(int, _LIVE_TABLE.findall(self._live_tables())))

    def _loss_of_log(self) -> str:
        known, newest = self._log, self._newest_log()
        if newest.number == known.number:
            return loss_of(known.path, known.identity)
        if newest.number < known.number:
            self._flush()
            newest = self._newest_log()
            if newest.number <= known.number:
                return f'{known.path} is no longer there'
        self._log = newest
        return ''

    def _newest_log(self) -> _Log:
        logs = self._numbered((LOG,))
        if not logs:
            return _Log(0, self._directory, (0, 0))
        number = max(logs)
        path = self._directory / logs[number]
        return _Log(number, path, identity_of(os.stat(path)))

    def _numbered(self, suffixes: tuple[str, ...]) -> dict[int, str]:
        """Return the names of LevelDB's files of these kinds, by number."""
        parts = ((name, *os.path.splitext(name)) for name in os.listdir(self._directory))
        return {int(stem): name for name, stem, suffix in parts if suffix in suffixes and stem.isdecimal()}

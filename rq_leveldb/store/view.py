"""The database as it was at one moment, for as long as a reader wants it.

A view reads through two of LevelDB's iterators that were made at that moment. They keep the files and the memtable that
they need, and LevelDB goes on beside them. Its own snapshots are not used: before LevelDB 1.23, a compaction beside one
that kept several versions of a key could bring back what was overwritten (LevelDB's commit 13e3c4e).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from rq_leveldb.store.replies import ReplyError


@dataclass(eq=False)
class View:
    """A part of `engine.Engine` at one moment: all that a keyspace needs for reading.

    Args:
        points: one of LevelDB's raw iterators, for looking up records.
        ranges: another one, for scans.
        approximate_size: that of the engine, of the present.
        size_on_disk: that of the engine, of the present.
    """

    _points: Any
    _ranges: Any
    approximate_size: Callable[[bytes, bytes], int]
    size_on_disk: Callable[[], int]

    def __post_init__(self) -> None:
        self._turn = object()  # of the scan that has moved the iterator last

    def get(self, key: bytes) -> bytes | None:
        """Return a record, or None.

        Raises:
            ReplyError: the database was closed, and this moment is lost.
        """
        points = self._points
        _move(points.seek, key)
        if not points.valid():
            return None
        found: tuple[bytes, bytes] = points.item()
        return found[1] if found[0] == key else None

    def scan(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Return the records with start <= key < stop; any number of scans may go on at once.

        Raises:
            ReplyError: as `get`, now or during iteration.
        """
        records = self._ranges
        turn = self._turn = object()
        _move(records.seek, stop if reverse else start)
        if reverse:
            _move(records.prev if records.valid() else records.seek_to_last)
        while records.valid():
            record: tuple[bytes, bytes] = records.item()
            if record[0] < start if reverse else record[0] >= stop:
                return
            yield record
            if self._turn is not turn:
                self._turn = turn
                _move(records.seek, record[0])
            _move(records.prev if reverse else records.next)

    def write(self, records: dict[bytes, bytes | None]) -> NoReturn:
        """Refuse to write; the dispatcher executes no command that would."""
        raise ReplyError('ERR a snapshot cannot be written to')

    def close(self) -> None:
        """Let LevelDB have back what it keeps for this view."""
        self._points.close()
        self._ranges.close()


def _move(step: Callable[..., None], *key: bytes) -> None:
    try:
        step(*key)
    except RuntimeError as error:
        # plyvel closes all iterators with their database, which is opened anew after a failed write.
        raise ReplyError('ERR the snapshot is gone, since the database was closed') from error

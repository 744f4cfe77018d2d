"""Pending writes over the database: what a command, a transaction or a script has written but not yet committed.

Reads see the pending writes. A scan sees the records as they were when it began.
"""

from __future__ import annotations

from collections.abc import Iterator

from sortedcontainers import SortedSet

from rq_leveldb.store import encoding
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.view import View

_MISSING = b'\x00 no pending write'
_BEHIND_MEMBERS = encoding.after(encoding.MEMBER_PREFIX)
_VERSIONS_RESERVED = 1 << 20
"""Versions reserved by one write; those that a killed store leaves unused are never used."""


class Overlay:
    """The pending writes of one transaction.

    Args:
        engine: the database below, which `commit` writes to; or a view of it, for reading.
    """

    __slots__ = ('_new_members', '_next_version', '_ordered', '_versions_end', 'abandoned', 'engine', 'pending')

    def __init__(self, engine: Engine | View) -> None:
        self.engine = engine
        self.pending: dict[bytes, bytes | None] = {}
        self.abandoned: list[int | bytes] = []
        # Only a scan needs sorted keys, and most transactions never scan.
        self._ordered: SortedSet[bytes] | None = None
        stored = self.engine.get(encoding.NEXT_VERSION_KEY)
        self._next_version = self._versions_end = 1 if stored is None else encoding.read_u64(stored)
        # Members of a value that was created in this transaction are not in the database: looking for each of them
        # there would be most of the cost of creating a large value.
        self._new_members = encoding.members_prefix(self._next_version)

    def new_version(self) -> int:
        """Return a version that no value ever had."""
        if self._next_version >= self._versions_end:
            # Written separately: the transaction may be rolled back.
            end = self._next_version + _VERSIONS_RESERVED
            self.engine.write({encoding.NEXT_VERSION_KEY: encoding.u64(end)})
            self._versions_end = end
        version = self._next_version
        self._next_version += 1
        return version

    def abandon(self, owner: int | bytes) -> None:
        """Leave members or keys to the sweeper.

        Args:
            owner: the version of the members, or the namespace of the keys.
        """
        key = encoding.garbage_key(owner) if isinstance(owner, int) else encoding.garbage_namespace_key(owner)
        self.put(key, b'')
        self.abandoned.append(owner)

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a record, or None if there is no such record."""
        value = self.pending.get(key, _MISSING)
        if value is _MISSING:
            return None if self._new_members <= key < _BEHIND_MEMBERS else self.engine.get(key)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Write a record when the transaction commits."""
        self.pending[key] = value
        if self._ordered is not None:
            self._ordered.add(key)

    def delete(self, key: bytes) -> None:
        """Remove a record, if it exists, when the transaction commits."""
        self.pending[key] = None
        if self._ordered is not None:
            self._ordered.add(key)

    def scan(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Return the records with start <= key < stop, in order, as they are now."""
        below = self.engine.scan(start, stop, reverse)
        if not self.pending:
            return below
        if self._ordered is None:
            self._ordered = SortedSet(self.pending)
        keys = list(self._ordered.irange(start, stop, inclusive=(True, False), reverse=reverse))
        if not keys:
            return below
        return _merge(below, [(key, self.pending[key]) for key in keys], reverse)

    def scan_prefix(self, prefix: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Return the records whose keys begin with a prefix, in order, as they are now."""
        return self.scan(prefix, encoding.after(prefix), reverse)

    def commit(self) -> bool:
        """Write the pending records as one batch.

        Returns:
            Whether there were any.

        Raises:
            WriteRefused: nothing was written.
        """
        if not self.pending:
            return False
        self.engine.write(self.pending)
        self.pending = {}
        self._ordered = None
        self._new_members = encoding.members_prefix(self._next_version)
        return True


def _merge(
    below: Iterator[tuple[bytes, bytes]], above: list[tuple[bytes, bytes | None]], reverse: bool
) -> Iterator[tuple[bytes, bytes]]:
    record = next(below, None)
    for key, value in above:
        while record is not None and (record[0] > key if reverse else record[0] < key):
            yield record
            record = next(below, None)
        if record is not None and record[0] == key:
            record = next(below, None)
        if value is not None:
            yield key, value
    while record is not None:
        yield record
        record = next(below, None)

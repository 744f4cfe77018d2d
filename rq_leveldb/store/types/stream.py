"""Streams. A small one, such as an RQ job's results, is stored in its meta record; a large one has a record per entry.

A stream becomes large when it exceeds the limits below or gets a consumer group, and never becomes small again. An
empty stream is still a value: its last id must not be reused.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from itertools import chain

from rq_leveldb.store import encoding
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.consumer_group import Group
from rq_leveldb.store.types.value import Value

MAX_SMALL_ENTRIES = 16
MAX_SMALL_BYTES = 2048

StreamId = encoding.StreamId

MIN_ID: StreamId = (0, 0)
MAX_NUMBER = (1 << 64) - 1
MAX_ID: StreamId = (MAX_NUMBER, MAX_NUMBER)

Entry = tuple[StreamId, list[bytes]]
"""An entry's id, and its fields and values alternating."""


def next_id(id_: StreamId) -> StreamId | None:
    """Return the next greater id, or None after the last."""
    ms, seq = id_
    if seq < MAX_NUMBER:
        return ms, seq + 1
    return (ms + 1, 0) if ms < MAX_NUMBER else None


def previous_id(id_: StreamId) -> StreamId | None:
    """Return the next smaller id, or None before the first."""
    ms, seq = id_
    if seq > 0:
        return ms, seq - 1
    return (ms - 1, MAX_NUMBER) if ms > 0 else None


def _up_to(end: bytes, records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Yield records up to this key and never step past it, where tombstones of another value may lie."""
    for record in records:
        yield record
        if record[0] == end:
            return


class Stream(Value):
    """A stream, small or large.

    Attributes:
        last: the greatest id that was ever added, or set.
        added: how many entries were ever added.
        deleted: the greatest id that was deleted, not counting trimming.
    """

    __slots__ = ('_bytes', '_count', '_entries', '_first', '_floor', 'added', 'deleted', 'last')
    type_name = 'stream'

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self.last: StreamId = MIN_ID
        self.added = 0
        self.deleted: StreamId = MIN_ID
        self._count = 0
        # Kept, since a group asks for it at each entry that it delivers; None while it is not known.
        self._first: StreamId | None = None
        self._entries: list[tuple[bytes, bytes]] | None = []  # of a small stream
        self._bytes = 0  # of a small stream
        # Trimming leaves tombstones that a seek from the stream's beginning should not have to walk over.
        self._floor: StreamId = MIN_ID

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> Stream:
        """Return the stream that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        body = encoding.read_stream_body(record)
        encoding.check_number(body.added)
        self = cls(overlay, body.version)
        self.last, self.added, self.deleted = body.last, body.added, body.deleted
        self._count, self._floor = body.count, body.floor
        if record[0] == encoding.TYPE_SMALL_STREAM:
            self._entries = encoding.read_stream_entries_body(record)
            if len(self._entries) != body.count:
                raise encoding.DamagedRecord('it does not have as many entries as it says')
            self._bytes = len(record)
        else:
            encoding.check_large(record)
            self._entries = None
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        entries = self._entries
        version = self.version if entries is None else 0
        body = encoding.stream_body(
            encoding.StreamBody(version, self._count, self.last, self.added, self.deleted, self._floor)
        )
        if entries is None:
            return encoding.meta_record(encoding.TYPE_STREAM, self.expire, self.indexed, body)
        body += encoding.stream_entries_body(entries)
        return encoding.meta_record(encoding.TYPE_SMALL_STREAM, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return False: a stream without entries is a value too."""
        return False

    def has_members(self) -> bool:
        """Return whether the stream is large: its entries and groups are outside the meta record."""
        return self._entries is None

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``stream``."""
        return b'stream'

    def __len__(self) -> int:
        return self._count

    # -- entries

    def append(self, id_: StreamId, parts: list[bytes]) -> None:
        """Add an entry.

        Args:
            id_: greater than `last`.
            parts: fields and values alternating.
        """
        self._put(encoding.stream_id(*id_), encoding.strings_body(parts))
        if self._count == 0:
            self._floor = id_
        self._count += 1
        self.added += 1
        self.last = id_

    def get(self, id_: StreamId) -> list[bytes] | None:
        """Return an entry's fields and values alternating, or None if it does not exist."""
        key = encoding.stream_id(*id_)
        if self._entries is not None:
            index = self._index(self._entries, key)
            data = None if index is None else self._entries[index][1]
        else:
            data = self.overlay.get(encoding.stream_entries(self.version) + key)
        return None if data is None else encoding.read_strings_body(data)

    def delete(self, id_: StreamId) -> bool:
        """Delete an entry; return whether it existed."""
        if not self._remove(encoding.stream_id(*id_)):
            return False
        self.deleted = max(self.deleted, id_)
        if id_ == self._floor:
            self._floor = next_id(id_) or id_
        return True

    def range(self, start: StreamId, stop: StreamId, reverse: bool = False) -> Iterator[Entry]:
        """Return the entries with start <= id <= stop, as they are now."""
        return (
            (encoding.read_stream_id(key), encoding.read_strings_body(data))
            for key, data in self._records(start, stop, reverse)
        )

    def ids(self, start: StreamId = MIN_ID, stop: StreamId = MAX_ID, reverse: bool = False) -> Iterator[StreamId]:
        """Return the ids with start <= id <= stop, as they are now."""
        return (encoding.read_stream_id(key) for key, _ in self._records(start, stop, reverse))

    def first_id(self) -> StreamId | None:
        """Return the smallest id, or None if there are no entries."""
        if self._count == 0:
            return None
        if self._first is None:
            self._first = next(self.ids(), None)
        return self._first

    def last_entry(self) -> Entry | None:
        """Return the entry with the greatest id, or None if there are no entries."""
        return next(self.range(MIN_ID, MAX_ID, reverse=True), None)

    def trim(self, length: int = 0, below: StreamId | None = None, limit: int = 0) -> int:
        """Remove the oldest entries.

        Args:
            length: how many entries stay at least.
            below: no entry from this id on is removed; None for no such bound.
            limit: how many to remove at most, 0 for any number.

        Returns:
            How many were removed.
        """
        count = self._count - length
        if limit:
            count = min(count, limit)
        if count <= 0:
            return 0
        entries = self._entries
        if entries is not None:
            removed = min(count, len(entries))
            if below is not None:
                removed = min(removed, bisect_left(entries, (encoding.stream_id(*below),)))
            self._bytes -= sum(encoding.STREAM_ID_SIZE + len(data) for _, data in entries[:removed])
            del entries[:removed]
            self._count -= removed
            self._first = None
            return removed
        removed = 0
        floor = None
        for id_ in self.ids():
            if removed >= count or (below is not None and id_ >= below):
                floor = id_
                break
            self._remove(encoding.stream_id(*id_))
            removed += 1
        if floor is not None:
            self._floor = floor
        return removed

    def _records(self, start: StreamId, stop: StreamId, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
        from_the_front = start <= self._floor and not reverse
        start = max(start, self._floor)
        if start > stop or self._count == 0:
            return iter(())
        first = encoding.stream_id(*start)
        last = encoding.stream_id(*stop)
        entries = self._entries
        if entries is not None:
            # (key,) sorts before the entry with that key, (last + b'\0',) after it.
            part = entries[bisect_left(entries, (first,)) : bisect_right(entries, (last + b'\x00',))]
            return reversed(part) if reverse else iter(part)
        prefix = encoding.stream_entries(self.version)
        size = len(prefix)
        stop = min(stop, self.last)
        records = self.overlay.scan(prefix + first, prefix + encoding.stream_id(*stop) + b'\x00', reverse)
        found: Iterator[tuple[bytes, bytes]] = ((key[size:], data) for key, data in records)
        if from_the_front:
            lowest = next(found, None)
            if lowest is not None:
                self._floor = encoding.read_stream_id(lowest[0])
                found = chain((lowest,), found)
        return _up_to(encoding.stream_id(*(self._floor if reverse else self.last)), found)

    def _put(self, key: bytes, data: bytes) -> None:
        entries = self._entries
        if entries is None:
            self.overlay.put(encoding.stream_entries(self.version) + key, data)
            return
        insort(entries, (key, data))
        self._bytes += encoding.STREAM_ID_SIZE + len(data)
        if self._bytes > MAX_SMALL_BYTES or len(entries) > MAX_SMALL_ENTRIES:
            self._enlarge()

    def _remove(self, key: bytes) -> bool:
        entries = self._entries
        if entries is None:
            key = encoding.stream_entries(self.version) + key
            if self.overlay.get(key) is None:
                return False
            self.overlay.delete(key)
        else:
            index = self._index(entries, key)
            if index is None:
                return False
            self._bytes -= encoding.STREAM_ID_SIZE + len(entries[index][1])
            del entries[index]
        self._count -= 1
        self._first = None
        return True

    @staticmethod
    def _index(entries: list[tuple[bytes, bytes]], key: bytes) -> int | None:
        index = bisect_left(entries, (key,))
        return index if index < len(entries) and entries[index][0] == key else None

    def _enlarge(self) -> None:
        entries = self._entries
        if entries is None:
            return
        self._entries = None
        self._bytes = 0
        self.version = self.overlay.new_version()
        prefix = encoding.stream_entries(self.version)
        for key, data in entries:
            self.overlay.put(prefix + key, data)

    # -- consumer groups

    def group(self, name: bytes) -> Group | None:
        """Return a consumer group by its name, or None if there is none."""
        if self._entries is not None:
            return None
        return Group.load(self.overlay, self.version, name)

    def groups(self) -> list[Group]:
        """Return all groups, by name."""
        if self._entries is not None:
            return []
        return Group.load_all(self.overlay, self.version)

    def create_group(self, name: bytes, last: StreamId, read: int | None) -> Group:
        """Create a consumer group.

        Args:
            name: a name that no group has yet.
            last: the id up to which nothing will be delivered.
            read: how many entries have been delivered, None if unknown.
        """
        self._enlarge()
        return Group.create(self.overlay, self.version, name, last, read)

    # -- a reader's progress (as Redis estimates a group's lag)

    def has_deletions_after(self, id_: StreamId) -> bool:
        """Return whether an entry after `id_` may have been deleted from the middle."""
        if self._count == 0 or self.deleted == MIN_ID:
            return False
        first = self.first_id()
        if first is not None and first > self.deleted:
            return False
        return id_ <= self.deleted

    def added_up_to(self, id_: StreamId) -> int | None:
        """Return how many entries were ever added up to `id_`, or None if that can no longer be known."""
        if self.added == 0:
            return 0
        if self._count == 0 and id_ <= self.last:
            return self.added
        if id_ != MIN_ID and id_ < self.deleted:
            return None
        if id_ == self.last:
            return self.added
        first = self.first_id()
        if id_ > self.last or first is None:
            return None
        if self.deleted == MIN_ID or self.deleted < first:
            if id_ < first:
                return self.added - self._count
            if id_ == first:
                return self.added - self._count + 1
        return None

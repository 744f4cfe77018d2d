"""Streams: nodes of many entries, each a listpack in which an entry is written relative to the node's first."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from rq_leveldb.store.arguments import MAX_INTEGER, is_integer
from rq_leveldb.store.rdb.fault import BadPayload
from rq_leveldb.store.rdb.listpack import Listpack, elements
from rq_leveldb.store.rdb.reader import ELEMENT, PART, Reader
from rq_leveldb.store.rdb.writer import Writer

StreamId = tuple[int, int]
Entry = tuple[StreamId, list[bytes]]
"""An entry's id, and its fields and values alternating."""

NODE_ENTRIES = 100
NODE_BYTES = 4096
"""Where a node ends: Redis's default settings."""

_ID = struct.Struct('>QQ')
_DELETED, _SAME_FIELDS = 1, 2
_UNKNOWN = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class ConsumerData:
    """One consumer of a group.

    Attributes:
        seen: Unix time in ms.
        active: likewise, None for never.
        pending: ids of the entries that it has.
    """

    name: bytes
    seen: int
    active: int | None
    pending: list[StreamId]


@dataclass(frozen=True, slots=True)
class GroupData:
    """One consumer group.

    Attributes:
        read: how many entries were delivered, None if unknown.
        pending: by id, when an entry was delivered (Unix time in ms) and how often.
    """

    name: bytes
    last: StreamId
    read: int | None
    pending: dict[StreamId, tuple[int, int]]
    consumers: list[ConsumerData]


@dataclass(frozen=True, slots=True)
class StreamData:
    """A stream.

    Attributes:
        knows_read: false if it was written before Redis 7.0, which did not count what a group had read.
    """

    entries: list[Entry]
    last: StreamId
    deleted: StreamId
    added: int
    groups: list[GroupData]
    knows_read: bool = True


# -- reading


def read(reader: Reader, version: int) -> StreamData:
    """Read a stream.

    Args:
        reader: stands behind the type.
        version: 1 of Redis 5, 2 of Redis 7.0, 3 of Redis 7.2.

    Raises:
        BadPayload: it is none.
    """
    entries: list[Entry] = []
    for _ in range(reader.length()):
        _read_node(reader, entries)
    ids = [id_ for id_, _ in entries]
    length, last = reader.length(), reader.stream_id()
    if length != len(entries) or not all(left < right for left, right in pairwise([(0, 0), *ids])):
        raise BadPayload
    deleted, added = (0, 0), length
    if version > 1:
        reader.stream_id()  # that of the first entry
        deleted, added = reader.stream_id(), reader.length()
    if (ids and ids[-1] > last) or not length <= added <= MAX_INTEGER:
        raise BadPayload
    groups = [_read_group(reader, version) for _ in range(reader.length())]
    if len({group.name for group in groups}) < len(groups):
        raise BadPayload
    return StreamData(entries, last, deleted, added, groups, version > 1)


def _raw_id(reader: Reader) -> StreamId:
    ms, seq = _ID.unpack(reader.take(_ID.size))
    return ms, seq


def _read_node(reader: Reader, entries: list[Entry]) -> None:
    key = reader.string()
    if len(key) != _ID.size:
        raise BadPayload
    first_ms, first_seq = _ID.unpack(key)
    items = iter(reader.elements(elements, PART))
    try:
        count, deleted = _integer(items), _integer(items)
        fields = _strings(items, _integer(items))
        if _integer(items) or count < 0 or deleted < 0:
            raise BadPayload
        for _ in range(count + deleted):
            flags = _integer(items)
            id_ = (first_ms + _integer(items)) % (1 << 64), (first_seq + _integer(items)) % (1 << 64)
            if flags & _SAME_FIELDS:
                parts = [part for field in fields for part in (field, next(items))]
                size = len(fields) + 3
            else:
                parts = _strings(items, 2 * _integer(items))
                size = len(parts) + 4
            if _integer(items) != size or not parts:
                raise BadPayload
            # The fields of the node's first entry are read once, and kept with every entry.
            reader.spend(ELEMENT + sum(map(len, parts)))
            if not flags & _DELETED:
                entries.append((id_, parts))
            else:
                deleted -= 1
    except StopIteration:
        raise BadPayload from None
    if deleted or next(items, None) is not None:
        raise BadPayload


def _integer(items: Iterator[bytes]) -> int:
    text = next(items)
    if not is_integer(text):
        raise BadPayload
    return int(text)


def _strings(items: Iterator[bytes], count: int) -> list[bytes]:
    if count < 0:
        raise BadPayload
    return [next(items) for _ in range(count)]


def _read_group(reader: Reader, version: int) -> GroupData:
    name = reader.string()
    last = reader.stream_id()
    read: int | None = reader.length() if version > 1 else _UNKNOWN
    if read == _UNKNOWN:
        read = None
    elif read is not None and read > MAX_INTEGER:
        raise BadPayload
    pending: dict[StreamId, tuple[int, int]] = {}
    for _ in range(reader.length()):
        reader.spend(ELEMENT)
        id_ = _raw_id(reader)
        delivered, times = reader.time(), reader.length()
        if id_ in pending or delivered < 0 or times > MAX_INTEGER:
            raise BadPayload
        pending[id_] = delivered, times
    consumers = [_read_consumer(reader, version) for _ in range(reader.length())]
    owned = [id_ for consumer in consumers for id_ in consumer.pending]
    if len({consumer.name for consumer in consumers}) < len(consumers):
        raise BadPayload
    if len(owned) != len(pending) or pending.keys() != set(owned):
        raise BadPayload
    return GroupData(name, last, read, pending, consumers)


def _read_consumer(reader: Reader, version: int) -> ConsumerData:
    name = reader.string()
    seen = reader.time()
    active = reader.time() if version > 2 else seen
    if seen < 0:
        raise BadPayload
    pending = []
    for _ in range(reader.length()):
        reader.spend(ELEMENT)
        pending.append(_raw_id(reader))
    return ConsumerData(name, seen, None if active < 0 else active, pending)


# -- writing


def write(writer: Writer, entries: Iterable[Entry], rest: StreamData) -> None:
    """Write a stream.

    Args:
        writer: stands behind the type.
        entries: the stream's entries.
        rest: everything else of it.
    """
    place = writer.reserve()
    nodes = count = 0
    first: StreamId = (0, 0)
    node: _Node | None = None
    for id_, parts in entries:
        if node is None or node.is_full():
            if node is None:
                first = id_
            else:
                node.write(writer)
            node = _Node(id_, parts[::2])
            nodes += 1
        node.add(id_, parts)
        count += 1
    if node is not None:
        node.write(writer)
    writer.fill(place, nodes)
    for number in (count, *rest.last, *first, *rest.deleted, rest.added, len(rest.groups)):
        writer.length(number)
    for group in rest.groups:
        _write_group(writer, group)


class _Node:
    def __init__(self, first: StreamId, fields: list[bytes]) -> None:
        self._first = first
        self._fields = fields
        self._entries = Listpack()
        self._count = 0

    def is_full(self) -> bool:
        return self._count >= NODE_ENTRIES or len(self._entries.body) >= NODE_BYTES

    def add(self, id_: StreamId, parts: list[bytes]) -> None:
        fields = parts[::2]
        same = fields == self._fields
        entries = self._entries
        before = entries.count
        entries.add_integer(_SAME_FIELDS if same else 0)
        entries.add_integer(id_[0] - self._first[0])
        entries.add_integer(id_[1] - self._first[1])
        if not same:
            entries.add_integer(len(fields))
        for part in parts[1::2] if same else parts:
            entries.add(part)
        entries.add_integer(entries.count - before)
        self._count += 1

    def write(self, writer: Writer) -> None:
        node = Listpack()
        for number in (self._count, 0, len(self._fields)):
            node.add_integer(number)
        for field in self._fields:
            node.add(field)
        node.add_integer(0)
        node.extend(self._entries)
        writer.blob(_ID.pack(*self._first))
        writer.blob(node.packed())


def _write_group(writer: Writer, group: GroupData) -> None:
    writer.string(group.name)
    for number in group.last:
        writer.length(number)
    writer.length(_UNKNOWN if group.read is None else group.read)
    writer.length(len(group.pending))
    for id_, (delivered, times) in group.pending.items():
        writer.put(_ID.pack(*id_))
        writer.time(delivered)
        writer.length(times)
    writer.length(len(group.consumers))
    for consumer in group.consumers:
        writer.string(consumer.name)
        writer.time(consumer.seen)
        writer.time(-1 if consumer.active is None else consumer.active)
        writer.length(len(consumer.pending))
        for id_ in consumer.pending:
            writer.put(_ID.pack(*id_))

"""Values: the types of Redis's serialization, read from every encoding that a Redis since 2.6 writes.

What is written has the general encodings of sets, hashes and sorted sets, from which a Redis chooses the compact ones
by its own settings. See rdb.h of Redis for the numbers of the types.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from rq_leveldb.store.arguments import FLOAT
from rq_leveldb.store.rdb import intset, listpack, streams, ziplist
from rq_leveldb.store.rdb.fault import BadPayload, ExpiringFields
from rq_leveldb.store.rdb.listpack import Listpack
from rq_leveldb.store.rdb.reader import Reader
from rq_leveldb.store.rdb.streams import Entry, StreamData
from rq_leveldb.store.rdb.writer import Writer

NODE_BYTES = 8192
"""Where a node of a list ends: Redis's default setting (list-max-listpack-size -2)."""

_STRING, _SET, _HASH, _SORTED_SET, _LIST, _STREAM = 0, 2, 4, 5, 18, 21
"""The types that are written."""
_PLAIN, _PACKED = 1, 2


class Members(dict[bytes, None]):
    """A set."""


class Fields(dict[bytes, bytes]):
    """A hash."""


class Scores(dict[bytes, float]):
    """A sorted set."""


Item = TypeVar('Item')
Content = bytes | list[bytes] | Members | Fields | Scores | StreamData


# -- reading


def read(data: bytes, room: int) -> Content:
    """Return the value that some bytes are; what may follow it is ignored, as in Redis.

    Args:
        data: a type and a value of it.
        room: bytes of memory that the value may need.

    Raises:
        BadPayload: they are none, or it would need more memory.
        ExpiringFields: it is a hash with fields that expire.
    """
    reader = Reader(data, room)
    reader_of = _READERS.get(reader.take(1)[0])
    if reader_of is None:
        raise BadPayload
    return reader_of(reader)


def _list(reader: Reader) -> list[bytes]:
    return _some([reader.string() for _ in range(reader.length())])


def _some(elements: list[bytes]) -> list[bytes]:
    # No key holds an empty value.
    if not elements:
        raise BadPayload
    return elements


def _quicklist(reader: Reader) -> list[bytes]:
    elements: list[bytes] = []
    for _ in range(reader.length()):
        elements += reader.elements(ziplist.elements)
    return _some(elements)


def _quicklist_2(reader: Reader) -> list[bytes]:
    elements: list[bytes] = []
    for _ in range(reader.length()):
        kind = reader.length()
        if kind == _PACKED:
            elements += reader.elements(listpack.elements)
        elif kind == _PLAIN:
            elements += _some([element for element in (reader.string(),) if element])
        else:
            raise BadPayload
    return _some(elements)


def _distinct(items: list[tuple[bytes, Item]]) -> dict[bytes, Item]:
    found = dict(items)
    if not 0 < len(found) == len(items):
        raise BadPayload
    return found


def _set(elements: list[bytes]) -> Members:
    return Members(_distinct([(element, None) for element in elements]))


def _pairs(flat: list[bytes]) -> list[tuple[bytes, bytes]]:
    if len(_some(flat)) % 2:
        raise BadPayload
    return list(zip(flat[::2], flat[1::2], strict=True))


def _hash(pairs: list[tuple[bytes, bytes]]) -> Fields:
    return Fields(_distinct(pairs))


def _hash_with_times(reader: Reader, packed: bool, least: bool) -> Fields:
    """Read a hash whose fields may expire.

    Args:
        reader: stands behind the type.
        packed: whether it is a listpack.
        least: whether the earliest time comes first.
    """
    if least:
        reader.time()
    if packed:
        flat = reader.elements(listpack.elements)
        if len(flat) % 3:
            raise BadPayload
        triples = [(time != b'0', field, value) for field, value, time in zip(*[iter(flat)] * 3, strict=True)]
    else:
        triples = [(reader.length() > 0, reader.string(), reader.blob()) for _ in range(reader.length())]
    fields = _hash([(field, value) for _, field, value in triples])
    if any(expires for expires, _, _ in triples):
        raise ExpiringFields
    return fields


def _sorted_set(pairs: list[tuple[bytes, float]]) -> Scores:
    scores = Scores(_distinct(pairs))
    if any(map(math.isnan, scores.values())):
        raise BadPayload
    return scores


def _scored(flat: list[bytes]) -> Scores:
    return _sorted_set([(member, _score(text)) for member, text in _pairs(flat)])


def _score(text: bytes) -> float:
    if not FLOAT.fullmatch(text):
        raise BadPayload
    return float(text)


def _double(reader: Reader) -> float:
    """Read a number as it was written before Redis 4.0."""
    size = reader.take(1)[0]
    special = {253: math.nan, 254: math.inf, 255: -math.inf}.get(size)
    return _score(reader.take(size)) if special is None else special


def _skiplist(reader: Reader, double: Callable[[Reader], float]) -> Scores:
    return _sorted_set([(reader.string(), double(reader)) for _ in range(reader.length())])


_READERS: dict[int, Callable[[Reader], Content]] = {
    _STRING: Reader.string,
    1: _list,
    _SET: lambda reader: _set([reader.string() for _ in range(reader.length())]),
    3: lambda reader: _skiplist(reader, _double),
    _HASH: lambda reader: _hash([(reader.string(), reader.blob()) for _ in range(reader.length())]),
    _SORTED_SET: lambda reader: _skiplist(reader, Reader.double),
    10: lambda reader: _some(reader.elements(ziplist.elements)),
    11: lambda reader: _set(reader.elements(intset.members)),
    12: lambda reader: _scored(reader.elements(ziplist.elements)),
    13: lambda reader: _hash(_pairs(reader.elements(ziplist.elements))),
    14: _quicklist,
    15: partial(streams.read, version=1),
    16: lambda reader: _hash(_pairs(reader.elements(listpack.elements))),
    17: lambda reader: _scored(reader.elements(listpack.elements)),
    _LIST: _quicklist_2,
    19: partial(streams.read, version=2),
    20: lambda reader: _set(reader.elements(listpack.elements)),
    _STREAM: partial(streams.read, version=3),
    22: partial(_hash_with_times, packed=False, least=False),
    23: partial(_hash_with_times, packed=True, least=False),
    24: partial(_hash_with_times, packed=False, least=True),
    25: partial(_hash_with_times, packed=True, least=True),
}


# -- writing


def write_string(writer: Writer, text: bytes) -> None:
    """Write a string."""
    writer.put(bytes((_STRING,)))
    writer.string(text)


def write_list(writer: Writer, elements: Iterable[bytes]) -> None:
    """Write a list."""
    writer.put(bytes((_LIST,)))
    place = writer.reserve()
    count = 0
    node = Listpack()
    for element in elements:
        large = len(element) > NODE_BYTES
        if node.count and (large or len(node.body) + len(element) > NODE_BYTES):
            count += 1
            _write_node(writer, _PACKED, node.packed())
            node = Listpack()
        if large:
            count += 1
            _write_node(writer, _PLAIN, element)
        else:
            node.add(element)
    if node.count:
        count += 1
        _write_node(writer, _PACKED, node.packed())
    writer.fill(place, count)


def _write_node(writer: Writer, kind: int, data: bytes) -> None:
    writer.length(kind)
    writer.blob(data)


def write_set(writer: Writer, members: Iterable[bytes]) -> None:
    """Write a set."""
    _write_many(writer, _SET, members, writer.string)


def write_hash(writer: Writer, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """Write a hash."""

    def write(pair: tuple[bytes, bytes]) -> None:
        writer.string(pair[0])
        writer.string(pair[1])

    _write_many(writer, _HASH, fields, write)


def write_sorted_set(writer: Writer, scores: Iterable[tuple[bytes, float]]) -> None:
    """Write a sorted set; Redis reads it fastest from the highest score down."""

    def write(pair: tuple[bytes, float]) -> None:
        writer.string(pair[0])
        writer.double(pair[1])

    _write_many(writer, _SORTED_SET, scores, write)


def _write_many(writer: Writer, kind: int, items: Iterable[Item], write: Callable[[Item], None]) -> None:
    writer.put(bytes((kind,)))
    place = writer.reserve()
    count = 0
    for item in items:
        write(item)
        count += 1
    writer.fill(place, count)


def write_stream(writer: Writer, entries: Iterable[Entry], rest: StreamData) -> None:
    """Write a stream.

    Args:
        writer: gets it.
        entries: its entries, which need not be in memory at once.
        rest: everything but the entries.
    """
    writer.put(bytes((_STREAM,)))
    streams.write(writer, entries, rest)

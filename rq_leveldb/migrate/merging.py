"""What becomes of a key that both places have.

=============  ====================================================================================================
list           the source's elements after the target's
set            all members of both
sorted set     all members of both; one that both have gets the source's score
hash           all fields of both; one that both have gets the source's value; of a job, refused
stream         all entries of both, in the order of their ids; refused where both have an id, or one has groups
string         refused, unless both are equal
=============  ====================================================================================================

It expires when the later of both does.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any

from rq.defaults import RQ_KEY_PREFIX

from rq_leveldb.migrate.value import NO_EXPIRY, Slice, read_slices
from rq_leveldb.migrate.wire import Wire

__all__ = ['later', 'merged_stream', 'refusal', 'unmergeable']

_JOB = RQ_KEY_PREFIX.encode() + b':job:'


def later(first: int, second: int) -> int:
    """Return when a merged key expires.

    Args:
        first: when one does, in ms since the epoch or `NO_EXPIRY`.
        second: when the other does.
    """
    return NO_EXPIRY if NO_EXPIRY in (first, second) else max(first, second)


def refusal(source: Wire, target: Wire, name: bytes, kind: bytes, other: bytes) -> str | None:
    """Say why a key that both places have cannot be merged; None if it can, or if both are equal strings.

    Args:
        source: the one place.
        target: the other.
        name: the key's name.
        kind: its type in the source.
        other: its type in the target.
    """
    if reason := _never(name, kind, other, 'the source', 'the target'):
        return reason
    if kind == b'string':
        return None if _equal_strings(source, target, name) else 'both have this string, with different contents'
    if kind == b'stream':
        return _streams_refusal(source, target, name)
    return None


def unmergeable(name: bytes, kind: bytes, other: bytes) -> str:
    """Say why a key of a dump cannot be merged with one that a place has; '' if it can.

    Args:
        name: the key's name.
        kind: its type in the dump.
        other: its type in the place.
    """
    if kind in (b'string', b'stream'):
        return f'both have this {kind.decode()}, with different contents'
    return _never(name, kind, other, 'the dump', 'the place')


def _never(name: bytes, kind: bytes, other: bytes, here: str, there: str) -> str:
    if kind != other:
        return f'it is a {kind.decode()} in {here} and a {other.decode()} in {there}'
    if kind == b'hash' and name.startswith(_JOB):
        return 'both have a job of this id'
    return ''


def _equal_strings(source: Wire, target: Wire, name: bytes) -> bool:
    if source.call(b'STRLEN', name) != target.call(b'STRLEN', name):
        return False
    pairs = zip(read_slices(source, name, b'string'), read_slices(target, name, b'string'), strict=False)
    return all(own == other for own, other in pairs)


def _streams_refusal(source: Wire, target: Wire, name: bytes) -> str | None:
    if source.call(b'XINFO', b'GROUPS', name) or target.call(b'XINFO', b'GROUPS', name):
        return 'both have this stream, and it has consumer groups'
    last = None
    for entry, _ in _both(source, target, name):
        if entry == last:
            return f'both have the entry {_text(entry)} of this stream'
        last = entry
    return None


def merged_stream(source: Wire, target: Wire, name: bytes) -> Iterator[Slice]:
    """Return the slices of the stream that has the entries of both.

    Args:
        source: the one place.
        target: the other.
        name: the key's name.
    """
    part: list[Any] = []
    size = 0
    for entry, fields in _both(source, target, name):
        part.append([_text(entry), fields])
        size += sum(map(len, fields))
        if size > 1 << 19 or len(part) == 500:
            yield Slice(b'entries', part)
            part, size = [], 0
    if part:
        yield Slice(b'entries', part)
    states = [_about(wire, name) for wire in (source, target)]
    last, deleted = (
        max((state[field] for state in states), key=_id) for field in (b'last-generated-id', b'max-deleted-entry-id')
    )
    yield Slice(b'state', [last, b'%d' % sum(state[b'entries-added'] for state in states), deleted])


def _about(wire: Wire, name: bytes) -> dict[bytes, Any]:
    flat = wire.call(b'XINFO', b'STREAM', name)
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _both(source: Wire, target: Wire, name: bytes) -> Iterator[tuple[tuple[int, int], list[bytes]]]:
    return heapq.merge(_entries(source, name), _entries(target, name), key=lambda item: item[0])


def _entries(wire: Wire, name: bytes) -> Iterator[tuple[tuple[int, int], list[bytes]]]:
    for part in read_slices(wire, name, b'stream'):
        if part.kind == b'entries':
            for entry, fields in part.items:
                yield _id(entry), fields


def _id(text: bytes) -> tuple[int, int]:
    milliseconds, _, number = text.partition(b'-')
    return int(milliseconds), int(number)


def _text(entry: tuple[int, int]) -> str:
    return f'{entry[0]}-{entry[1]}'

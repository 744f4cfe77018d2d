"""One key in slices: how it is read, written and digested.

A slice is a bounded part of a value. The slices of a key in their order make the key anew anywhere, and its digest is
the same for the same value, wherever it is kept and however it was cut.

==============  =======================================================  =====================
kind            items                                                    written with
==============  =======================================================  =====================
string          the bytes, once                                          SET
piece           bytes of a long string                                   APPEND
hash            fields and values in turn                                HSET
list            elements, in order                                       RPUSH
set             members                                                  SADD
zset            members and scores in turn                               ZADD
empty           nothing: a stream without entries                        XGROUP
entries         (id, fields and values in turn); None for an entry that  XADD
                is gone from the stream and still pending in a group
state           last id, entries added, highest deleted id; nothing if   XSETID
                the entries alone make the same
group           name, last id delivered, entries read or None            XGROUP CREATE
consumers       the group, then names                                    XGROUP CREATECONSUMER
pending         the group, then (id, consumer, time in ms, deliveries)   XCLAIM
gone            ids of the entries that are gone                         XDEL
==============  =======================================================  =====================
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import chain
from typing import Any, NamedTuple

from rq_leveldb.migrate.wire import Command, Refused, Wire, pack

__all__ = [
    'KINDS',
    'NO_EXPIRY',
    'Digest',
    'Slice',
    'Value',
    'digest_of',
    'holds',
    'read_slices',
    'read_whole',
    'slices_of',
    'write_commands',
]

KINDS = (b'string', b'hash', b'list', b'set', b'zset', b'stream')
"""The types that can be carried over, as TYPE names them."""

NO_EXPIRY = -1
"""What PEXPIRETIME says of a key that does not expire."""

_SLICE_BYTES = 1 << 19
_MOST_ITEMS = 500
_MOST_PIECES = 64
# Streams of so many entries, without groups, are read whole.
_FEW_ENTRIES = 64
# Digested in their order when there are so few; a sum of digests, when there are more, costs more for each.
_FEW_ITEMS = 512
_PLACEHOLDER = (b'rq-leveldb', b'gone')
_MODULUS = 1 << 128


class Slice(NamedTuple):
    """A part of a value; see the table above.

    Args:
        kind: what it is.
        items: what it holds.
    """

    kind: bytes
    items: list[Any]


class Value(NamedTuple):
    """A key and what it holds, or a part of that.

    Args:
        name: the key's name.
        kind: its type, one of `KINDS`.
        expires: in ms since the epoch, or `NO_EXPIRY`.
        parts: its slices; none if the key is gone.
    """

    name: bytes
    kind: bytes
    expires: int
    parts: list[Slice]

    @property
    def digest(self) -> bytes:
        """The key's digest; of all of it."""
        return digest_of(self.kind, self.expires, self.parts)

    def commands(self) -> list[Command]:
        """Return what makes the key where there is none of this name."""
        made = [command for part in self.parts for command in write_commands(self.name, part)]
        if self.expires != NO_EXPIRY:
            made.append((b'PEXPIREAT', self.name, self.expires))
        return made


def read_whole(key: bytes, kind: bytes) -> Command:
    """Return the command that reads all of a short value; `slices_of` understands its reply.

    Args:
        key: its name.
        kind: one of `KINDS`.
    """
    if kind == b'hash':
        return (b'HGETALL', key)
    if kind == b'stream':
        return (b'XINFO', b'STREAM', key, b'FULL', b'COUNT', b'%d' % _FEW_ENTRIES)
    if kind == b'string':
        return (b'GET', key)
    if kind == b'list':
        return (b'LRANGE', key, b'0', b'-1')
    if kind == b'set':
        return (b'SMEMBERS', key)
    return (b'ZRANGE', key, b'0', b'-1', b'WITHSCORES')


def slices_of(kind: bytes, reply: Any) -> list[Slice] | None:
    """Return the slices in a reply to `read_whole`.

    Args:
        kind: as it was asked for.
        reply: no error, but that there is no such key.

    Returns:
        None where the value is not in the reply, and has to be read in slices; nothing for a key that is gone.
    """
    if kind == b'stream':
        return [] if isinstance(reply, Refused) else _short_stream(reply)
    if reply is None or (not reply and kind != b'string'):
        return []
    return [Slice(kind, [reply] if kind == b'string' else reply)]


def _short_stream(reply: list[Any]) -> list[Slice] | None:
    about = dict(zip(reply[::2], reply[1::2], strict=True))
    if about[b'length'] > _FEW_ENTRIES or about[b'groups']:
        return None
    entries = about[b'entries']
    first = Slice(b'entries', entries) if entries else Slice(b'empty', [])
    return [first, *_state(about, entries[-1][0] if entries else b'')]


def _state(about: dict[bytes, Any], newest: bytes) -> list[Slice]:
    """Return the slice of a stream's state; nothing where its entries alone make the same.

    Args:
        about: as XINFO STREAM says.
        newest: id of the newest entry, b'' where there is none.
    """
    last, added, deleted = (about[name] for name in (b'last-generated-id', b'entries-added', b'max-deleted-entry-id'))
    if last == newest and added == about[b'length'] and deleted == b'0-0':
        return []
    return [Slice(b'state', [last, b'%d' % added, deleted])]


def read_slices(wire: Wire, key: bytes, kind: bytes) -> Iterator[Slice]:
    """Read a value of any size in slices; nothing if the key is gone.

    Args:
        wire: where it is.
        key: its name.
        kind: its type, one of `KINDS`.
    """
    if kind == b'stream':
        yield from _read_stream(wire, key)
        return
    size = wire.call(_COUNT[kind], key)
    if not size:
        return
    if kind == b'string':
        # A store reads all of it for each.
        window = max(_SLICE_BYTES, size // _MOST_PIECES)
        for start in range(0, size, window):
            yield Slice(b'piece', [wire.call(b'GETRANGE', key, start, start + window - 1)])
        return
    used = wire.call(b'MEMORY', b'USAGE', key) or 0
    window = max(1, min(_MOST_ITEMS, _SLICE_BYTES * size // max(1, used)))
    if kind == b'list':
        # Not of what is pushed meanwhile, which need never end.
        for start in range(0, size, window):
            if items := wire.call(b'LRANGE', key, start, min(start + window, size) - 1):
                yield Slice(kind, items)
        return
    cursor = b'0'
    while True:
        cursor, items = wire.call(_SCAN[kind], key, cursor, b'COUNT', window)
        # A set of integers comes at once, however long it is.
        for start in range(0, len(items), 2 * _MOST_ITEMS):
            yield Slice(kind, items[start : start + 2 * _MOST_ITEMS])
        if cursor == b'0':
            return


_COUNT = {b'string': b'STRLEN', b'hash': b'HLEN', b'list': b'LLEN', b'set': b'SCARD', b'zset': b'ZCARD'}
_SCAN = {b'hash': b'HSCAN', b'set': b'SSCAN', b'zset': b'ZSCAN'}


def _read_stream(wire: Wire, key: bytes) -> Iterator[Slice]:
    (reply,) = wire.ask([(b'XINFO', b'STREAM', key)])
    if isinstance(reply, Refused) and 'no such key' in str(reply):
        return
    flat = wire.checked(reply, 'XINFO STREAM')
    about = dict(zip(flat[::2], flat[1::2], strict=True))
    groups = sorted(
        (dict(zip(group[::2], group[1::2], strict=True)) for group in wire.call(b'XINFO', b'GROUPS', key)),
        key=lambda group: group[b'name'],
    )
    gone = sorted({entry for group in groups for entry in _gone(wire, key, group[b'name'])}, key=_id)
    used = wire.call(b'MEMORY', b'USAGE', key) or 0
    window = max(1, min(_MOST_ITEMS, _SLICE_BYTES * max(1, about[b'length']) // max(1, used)))
    if not about[b'length'] and not gone:
        yield Slice(b'empty', [])
    left, newest = gone, b''
    for entries in _windows(wire, key, window, about[b'last-generated-id']):
        newest = entries[-1][0]
        until = _id(newest)
        before = [entry for entry in left if _id(entry) < until]
        left = left[len(before) :]
        yield Slice(b'entries', sorted([*entries, *([entry, None] for entry in before)], key=lambda item: _id(item[0])))
    if left:
        yield Slice(b'entries', [[entry, None] for entry in left])
    yield from _state(about, newest)
    for group in groups:
        name = group[b'name']
        yield Slice(b'group', [name, group[b'last-delivered-id'], group.get(b'entries-read')])
        consumers = [consumer[1] for consumer in wire.call(b'XINFO', b'CONSUMERS', key, name)]
        if consumers:
            yield Slice(b'consumers', [name, *sorted(consumers)])
        for pending in _pending(wire, key, name):
            yield Slice(b'pending', [name, *pending])
    if gone:
        yield Slice(b'gone', gone)
        # To take an entry away has changed it.
        yield from _state(about, b'')


def _windows(wire: Wire, key: bytes, window: int, last: bytes) -> Iterator[list[Any]]:
    start = b'-'
    while entries := wire.call(b'XRANGE', key, start, last, b'COUNT', window):
        yield entries
        start = b'(' + entries[-1][0]


def _pending(wire: Wire, key: bytes, group: bytes) -> Iterator[list[tuple[bytes, bytes, int, int]]]:
    start = b'-'
    while True:
        seconds, micros = wire.call(b'TIME')
        now = int(seconds) * 1000 + int(micros) // 1000
        found = wire.call(b'XPENDING', key, group, start, b'+', _MOST_ITEMS)
        if not found:
            return
        yield [(entry, consumer, now - idle, count) for entry, consumer, idle, count in found]
        start = b'(' + found[-1][0]


def _gone(wire: Wire, key: bytes, group: bytes) -> Iterator[bytes]:
    for pending in _pending(wire, key, group):
        ids = [entry for entry, *_ in pending]
        for entry, found in zip(ids, wire.do([(b'XRANGE', key, one, one) for one in ids]), strict=True):
            if not found:
                yield entry


def _id(text: bytes) -> tuple[int, int]:
    milliseconds, _, number = text.partition(b'-')
    return int(milliseconds), int(number)


def write_commands(key: bytes, part: Slice) -> list[Command]:
    """Return what adds a slice to a key.

    Args:
        key: where.
        part: the next of its slices.
    """
    kind, items = part
    if kind in _ADD:
        return [(_ADD[kind], key, *items)]
    if kind == b'zset':
        # ZADD wants them the other way round.
        turned = [b''] * len(items)
        turned[::2], turned[1::2] = items[1::2], items[::2]
        return [(b'ZADD', key, *turned)]
    if kind == b'entries':
        return [(b'XADD', key, entry, *(_PLACEHOLDER if fields is None else fields)) for entry, fields in items]
    if kind == b'empty':
        return [
            (b'XGROUP', b'CREATE', key, b'rq-leveldb', b'0', b'MKSTREAM'),
            (b'XGROUP', b'DESTROY', key, b'rq-leveldb'),
        ]
    if kind == b'state':
        last, added, deleted = items
        return [(b'XSETID', key, last, b'ENTRIESADDED', added, b'MAXDELETEDID', deleted)]
    if kind == b'group':
        name, last, read = items
        return [(b'XGROUP', b'CREATE', key, name, last, *(() if read is None else (b'ENTRIESREAD', read)))]
    if kind == b'consumers':
        return [(b'XGROUP', b'CREATECONSUMER', key, items[0], name) for name in items[1:]]
    if kind == b'pending':
        group, *pending = items
        return [
            (b'XCLAIM', key, group, consumer, b'0', entry, b'TIME', at, b'RETRYCOUNT', count, b'FORCE', b'JUSTID')
            for entry, consumer, at, count in pending
        ]
    assert kind == b'gone', kind
    return [(b'XDEL', key, *items)]


_ADD = {b'string': b'SET', b'piece': b'APPEND', b'hash': b'HSET', b'list': b'RPUSH', b'set': b'SADD'}


class Digest:
    """The digest of a key: its type, its content and when it expires.

    It does not depend on the order of a hash, a set or a sorted set, nor on the text of a score, nor on how long ago
    an entry was delivered to a consumer.

    Args:
        kind: its type, one of `KINDS`.
        expires: in ms since the epoch, or `NO_EXPIRY`.
    """

    def __init__(self, kind: bytes, expires: int) -> None:
        self._hash = blake2b(b'%s %d ' % (kind, expires), digest_size=16)
        self._few: list[Any] = []
        self._sum: int | None = None
        self._count = 0

    def add(self, part: Slice) -> None:
        """Take in the next slice.

        Args:
            part: of the key.
        """
        kind, items = part
        if kind == b'hash':
            self._unordered(list(zip(items[::2], items[1::2], strict=True)))
        elif kind == b'set':
            self._unordered([(item,) for item in items])
        elif kind == b'zset':
            self._unordered(
                [
                    (member, struct.pack('>d', float(score) + 0.0))
                    for member, score in zip(items[::2], items[1::2], strict=True)
                ]
            )
        elif kind in (b'string', b'piece'):
            self._hash.update(items[0])
        elif kind == b'list':
            packed = pack(tuple(items))
            # Without the count, which depends on how it was cut.
            self._hash.update(packed[packed.index(b'\n') + 1 :])
        elif kind == b'entries':
            for entry, fields in items:
                if fields is not None:
                    self._hash.update(pack((entry, *fields)))
        elif kind == b'pending':
            for entry, consumer, _, count in items[1:]:
                self._hash.update(pack((entry, consumer, count)))
        elif kind != b'gone':
            self._hash.update(pack((kind, *(b'' if item is None else item for item in items))))

    def _unordered(self, items: list[tuple[bytes, ...]]) -> None:
        self._count += len(items)
        if self._sum is None:
            self._few += items
            if self._count <= _FEW_ITEMS:
                return
            items, self._few, self._sum = self._few, [], 0
        for item in items:
            self._sum += int.from_bytes(blake2b(pack(item), digest_size=16).digest(), 'big')
        self._sum %= _MODULUS

    def value(self) -> bytes:
        """Return the digest, 16 bytes."""
        if self._sum is not None:
            self._hash.update(b'%d %d' % (self._count, self._sum))
        elif self._few:
            self._few.sort()
            self._hash.update(pack(tuple(chain.from_iterable(self._few))))
            self._few = []
        return self._hash.digest()


def digest_of(kind: bytes, expires: int, parts: Iterable[Slice]) -> bytes:
    """Return the digest of a key.

    Args:
        kind: its type.
        expires: in ms since the epoch, or `NO_EXPIRY`.
        parts: its slices.
    """
    digest = Digest(kind, expires)
    for part in parts:
        digest.add(part)
    return digest.value()


def holds(wire: Wire, key: bytes, part: Slice, start: int) -> bool:
    """Say whether a key of any content holds a slice.

    Args:
        wire: where it is.
        key: its name.
        part: of a value without groups.
        start: in a list, the index at which the slice begins.
    """
    kind, items = part
    if kind == b'hash':
        return bool(wire.call(b'HMGET', key, *items[::2]) == items[1::2])
    if kind == b'set':
        return all(wire.call(b'SMISMEMBER', key, *items))
    if kind == b'zset':
        found = wire.call(b'ZMSCORE', key, *items[::2])
        return all(
            score is not None and float(score) == float(own) for score, own in zip(found, items[1::2], strict=True)
        )
    if kind == b'list':
        return bool(wire.call(b'LRANGE', key, start, start + len(items) - 1) == items)
    if kind == b'entries':
        replies: Sequence[Any] = wire.do([(b'XRANGE', key, entry, entry) for entry, _ in items])
        return all(reply == [item] for reply, item in zip(replies, items, strict=True))
    if kind == b'string':
        return bool(wire.call(b'GET', key) == items[0])
    return True

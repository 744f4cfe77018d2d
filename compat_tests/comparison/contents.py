"""What a server holds, read key by key: type, members and remaining time."""

from __future__ import annotations

from typing import Any

from compat_tests.comparison.agreement import SLACK_MS
from compat_tests.comparison.wire import Reply, Wire

Contents = dict[tuple[int, bytes], tuple[bytes, Any, int]]
DATABASES = 16
_READERS: dict[bytes, tuple[str, ...]] = {
    b'string': ('GET', '{}'),
    b'hash': ('HGETALL', '{}'),
    b'list': ('LRANGE', '{}', '0', '-1'),
    b'set': ('SMEMBERS', '{}'),
    b'zset': ('ZRANGE', '{}', '0', '-1', 'WITHSCORES'),
    b'stream': ('XRANGE', '{}', '-', '+'),
}
# What XINFO STREAM tells of the stream itself, not of how it is kept in memory.
_STREAM_FACTS = (b'length', b'last-generated-id', b'max-deleted-entry-id', b'entries-added', b'groups')


def contents(path: str, databases: int = DATABASES) -> Contents:
    """Read everything that the server on the unix socket ``path`` holds.

    Args:
        path: the socket's path.
        databases: how many of the databases, from 0.

    Returns:
        (database, key) → (type, members, PTTL in ms).
    """
    found: Contents = {}
    wire = Wire(path)
    try:
        sizes = wire.call_many([c for n in range(databases) for c in (('SELECT', n), ('DBSIZE',))])[1::2]
        for number in (number for number, size in enumerate(sizes) if size.value):
            wire.call('SELECT', number)
            keys = [key.value for key in wire.call('KEYS', '*').value]
            types = [reply.value for reply in wire.call_many([('TYPE', key) for key in keys])]
            times = [reply.value for reply in wire.call_many([('PTTL', key) for key in keys])]
            for key, kind, time in zip(keys, types, times, strict=True):
                if kind == b'none':
                    continue
                reply = wire.call(*(key if part == '{}' else part for part in _READERS[kind]))
                found[number, key] = (kind, _members(wire, key, kind, reply), time)
    finally:
        wire.close()
    return found


def _members(wire: Wire, key: bytes, kind: bytes, reply: Reply) -> Any:
    if reply.kind == '-':
        return reply
    if kind == b'hash':
        flat = [item.value for item in reply.value]
        return dict(zip(flat[::2], flat[1::2], strict=True))
    if kind == b'set':
        return sorted(item.value for item in reply.value)
    if kind == b'stream':
        info = wire.call('XINFO', 'STREAM', key).value
        facts = {n.value: v for n, v in zip(info[::2], info[1::2], strict=True) if n.value in _STREAM_FACTS}
        groups = [group.value for group in wire.call('XINFO', 'GROUPS', key).value]
        pending = [wire.call('XPENDING', key, group[1].value).value for group in groups]
        return reply.value, facts, groups, pending
    return reply.value


def differing(theirs: Contents, ours: Contents) -> list[str]:
    """Return one line for every key that the two do not agree on; expiries may differ by a moment."""
    lines = []
    for place in sorted(theirs.keys() | ours.keys()):
        left, right = theirs.get(place), ours.get(place)
        if left is None or right is None or left[:2] != right[:2] or not _same_time(left[2], right[2]):
            lines.append(f'database {place[0]}, key {place[1]!r}:\n  Redis: {left}\n  store: {right}')
    return lines


def _same_time(left: int, right: int) -> bool:
    return left == right if left < 0 or right < 0 else abs(left - right) <= SLACK_MS

"""What belongs to no job and is to be known in the target: queues and pauses, when cron entries ran, requests made.

It stays in the source. What the target has already stays as it is there; of two times, the later one counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from rq.queue import Queue

from rq_leveldb.migrate.scope import RQ
from rq_leveldb.migrate.value import NO_EXPIRY
from rq_leveldb.migrate.wire import Command, Wire
from rq_leveldb.records import DUE_KEY_TEMPLATE, PAUSED_KEY

__all__ = ['carry_standing']

# Strings, each with a time at which it expires or without: when an entry of cron is due; a request that is not to have
# its effect twice; a session that was ended.
_STRINGS = (DUE_KEY_TEMPLATE.format('*').encode(), b'rq-leveldb:http:*')
# Sorted sets by time: when entries of cron enqueued a job last, and which jobs.
_TIMES = (RQ + b'cron_jobs', RQ + b'cron_job:*')


def carry_standing(source: Wire, target: Wire) -> None:
    """Carry it over; may be repeated.

    Args:
        source: from where.
        target: to where.
    """
    for key in (Queue.redis_queues_keys, PAUSED_KEY):
        if queues := source.call(b'SMEMBERS', key):
            target.call(b'SADD', key, *queues)
    for name in _names(source, _STRINGS):
        value, expires = source.do([(b'GET', name), (b'PEXPIRETIME', name)])
        if value is not None and expires != -2:
            target.call(b'SET', name, value, b'NX', *((b'PXAT', expires) if expires > 0 else ()))
    for name in _names(source, _TIMES):
        flat, expires = source.do([(b'ZRANGE', name, 0, -1, b'WITHSCORES'), (b'PEXPIRETIME', name)])
        if flat:
            until = target.call(b'PEXPIRETIME', name)
            turned = [word for at in range(0, len(flat), 2) for word in (flat[at + 1], flat[at])]
            commands: list[Command] = [(b'ZADD', name, b'GT', *turned)]
            if until != NO_EXPIRY and expires > until:
                commands.append((b'PEXPIREAT', name, expires))
            target.do(commands)


def _names(source: Wire, patterns: tuple[bytes, ...]) -> Iterator[bytes]:
    for pattern in patterns:
        cursor, found = b'0', set()
        while True:
            cursor, names = source.call(b'SCAN', cursor, b'MATCH', pattern, b'COUNT', 500)
            found.update(names)
            if cursor == b'0':
                break
        yield from sorted(found)

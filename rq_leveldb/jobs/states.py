"""Where RQ keeps the jobs of each state, and how to walk them a page at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from rq_leveldb.lookup import REGISTRIES, Strange, registry_key
from rq_leveldb.unreadable import is_wrong_type

__all__ = ['ASCENDING', 'STATES', 'Position', 'walk']

STATES = (
    'queued',
    'started',
    'finished',
    'failed',
    'stopped',
    *[name for name in REGISTRIES if name not in ('started', 'finished', 'failed')],
)
"""The states whose jobs can be listed, by RQ's names."""

# Scored by the time at which the entry expires; below 0 is a failed job that is kept for ever.
_EXPIRING = ('finished', 'failed')
_KEPT = -1e-9
ASCENDING = ('scheduled', 'deferred', 'ready_to_enqueue')
"""The states of a registry in which the next job to run comes first; in the others it is the newest."""

_CHUNK = 100
# Jobs that are gone from a queue before all those before them are taken to be gone, too.
_SURE = 3


@dataclass(frozen=True)
class Position:
    """A place in a listing.

    Args:
        score: the index in a queue, the score in a registry.
        member: the entry there.
    """

    score: float
    member: str


def walk(
    connection: Redis,
    state: str,
    queue: str,
    after: Position | None,
    strange: list[Strange],
    *,
    oldest_first: bool = False,
) -> Iterator[list[tuple[str, Position]]]:
    """Walk a queue's jobs of a state, in chunks.

    Args:
        connection: the store.
        state: one of `STATES`.
        queue: the queue's name.
        after: the position of the last job that was seen; None begins.
        strange: receives what is stored there if it is not a list of jobs.
        oldest_first: whether to begin in a registry with the jobs that have been there longest, in any state.

    Returns:
        Chunks of jobs' ids, each with its position, for a cursor; none empty.
    """
    try:
        if state == 'queued':
            yield from _walk_list(connection, _key(state, queue), after)
        else:
            yield from _walk_sorted(connection, state, _key(state, queue), after, oldest_first or state in ASCENDING)
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        strange.append(Strange(_key(state, queue), 'holds another type of value than a list of jobs'))


def _key(state: str, queue: str) -> str:
    # RQ keeps stopped jobs among the failed ones.
    return registry_key('failed' if state == 'stopped' else state, queue)


def _walk_list(connection: Redis, key: str, after: Position | None) -> Iterator[list[tuple[str, Position]]]:
    start = 0
    if after is not None:
        # Jobs are taken from the front meanwhile, so that the others move up.
        found = connection.lpos(key, after.member)
        start = (found if isinstance(found, int) else max(0, int(min(after.score, 1e15)))) + 1
    while True:
        members: Any = connection.lrange(key, start, start + _CHUNK - 1)
        if not members:
            return
        ids = [member.decode('utf-8', 'replace') for member in members]
        yield [(job_id, Position(start + offset, job_id)) for offset, job_id in enumerate(ids)]
        start = _index_behind(connection, key, members, start)


def _index_behind(connection: Redis, key: str, members: list[Any], start: int) -> int:
    """Return the index in a queue behind jobs that were read from `start` on, wherever they are by now."""
    expected = start + len(members)
    if connection.lindex(key, expected - 1) == members[-1]:
        return expected
    # Those at the front go first, unless somebody takes out single ones.
    for member in reversed(members[-_SURE:]):
        found = connection.lpos(key, member)
        if isinstance(found, int):
            return found + 1
    return 0


def _walk_sorted(
    connection: Redis, state: str, key: str, after: Position | None, is_ascending: bool
) -> Iterator[list[tuple[str, Position]]]:
    ranges = [(-math.inf, math.inf)]
    if state in _EXPIRING:
        ranges = [(-math.inf, _KEPT), (time.time(), math.inf)]
    for low, high in ranges if is_ascending else reversed(ranges):
        last = after
        is_among_equals = False
        while True:
            if last is not None:
                low, high = (max(low, last.score), high) if is_ascending else (low, min(high, last.score))
            pairs: Any
            if last is not None and is_among_equals:
                pairs = [pair for pair in _behind(connection, key, last, is_ascending) if low <= pair[1] <= high]
            elif is_ascending:
                pairs = connection.zrangebyscore(key, low, high, start=0, num=_CHUNK, withscores=True)
            else:
                pairs = connection.zrevrangebyscore(key, high, low, start=0, num=_CHUNK, withscores=True)
            found = [Position(float(score), raw.decode('utf-8', 'replace')) for raw, score in pairs]
            fresh = [one for one in found if last is None or _is_behind(one, last, is_ascending)]
            if fresh:
                yield [(one.member.partition(':')[0] if state == 'started' else one.member, one) for one in fresh]
                last = fresh[-1]
            elif is_among_equals:
                break
            if len(found) < _CHUNK:
                break
            # Another chunk from this score on would be the same one.
            is_among_equals = found[0].score == found[-1].score


def _is_behind(one: Position, other: Position, is_ascending: bool) -> bool:
    # Members of one score come in their own order.
    if one.score == other.score:
        return one.member > other.member if is_ascending else one.member < other.member
    return one.score > other.score if is_ascending else one.score < other.score


def _behind(connection: Redis, key: str, last: Position, is_ascending: bool) -> list[tuple[bytes, float]]:
    """Return the chunk behind an entry of whose score there are many, such as that of all jobs that are kept for ever.

    The jobs before it are not read.
    """
    order = 'ASC' if is_ascending else 'DESC'
    found: Any
    try:
        found = connection.execute_command('DEBUG', 'ZRANGE-BEHIND', key, repr(last.score), last.member, order, _CHUNK)
        return [(member, float(score)) for member, score in zip(found[::2], found[1::2], strict=True)]
    except ResponseError:
        # A server does not know this; but it finds ranks at once, for which a store has to count.
        rank = connection.zrank(key, last.member) if is_ascending else connection.zrevrank(key, last.member)
    first = rank + 1 if isinstance(rank, int) else _rank_behind(connection, key, last, is_ascending)
    found = connection.zrange(key, first, first + _CHUNK - 1, desc=not is_ascending, withscores=True)
    return [(member, float(score)) for member, score in found]


def _rank_behind(connection: Redis, key: str, last: Position, is_ascending: bool) -> int:
    """Return the rank of what follows an entry that is gone."""
    low, high = 0, int(connection.zcard(key))
    while low < high:
        middle = (low + high) // 2
        found: Any = connection.zrange(key, middle, middle, desc=not is_ascending, withscores=True)
        if not found:
            high = middle
            continue
        ((raw, score),) = found
        if _is_behind(Position(float(score), raw.decode('utf-8', 'replace')), last, is_ascending):
            high = middle
        else:
            low = middle + 1
    return low

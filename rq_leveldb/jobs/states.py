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
        start += len(members)


def _walk_sorted(
    connection: Redis, state: str, key: str, after: Position | None, is_ascending: bool
) -> Iterator[list[tuple[str, Position]]]:
    ranges = [(-math.inf, math.inf)]
    if state in _EXPIRING:
        ranges = [(-math.inf, _KEPT), (time.time(), math.inf)]
    for low, high in ranges if is_ascending else reversed(ranges):
        if after is not None and is_ascending:
            low = max(low, after.score)
        elif after is not None:
            high = min(high, after.score)
        offset = 0
        pairs: Any
        while True:
            if is_ascending:
                pairs = connection.zrangebyscore(key, low, high, start=offset, num=_CHUNK, withscores=True)
            else:
                pairs = connection.zrevrangebyscore(key, high, low, start=offset, num=_CHUNK, withscores=True)
            if not pairs:
                break
            offset += len(pairs)
            entries = []
            for raw, score in pairs:
                member = raw.decode('utf-8', 'replace')
                # Members of one score come in their own order.
                if (
                    after is not None
                    and float(score) == after.score
                    and (member <= after.member if is_ascending else member >= after.member)
                ):
                    continue
                job_id = member.partition(':')[0] if state == 'started' else member
                entries.append((job_id, Position(float(score), member)))
            if entries:
                yield entries

"""Walking the jobs of a state over queues, and the filters of a list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.queueing.states import Position, walk
from rq_leveldb.http.request import fields
from rq_leveldb.lookup import UNREADABLE, Seen, Strange
from rq_leveldb.reading import read_call

__all__ = ['CURSOR', 'MOST_SCANNED', 'TIMES', 'listed', 'matches', 'write_cursor']

MOST_SCANNED = 10_000
"""Most jobs that one request looks at; a list then ends early and says where to go on."""

TIMES = ('created_at', 'enqueued_at', 'started_at', 'ended_at')
"""The points in time by which a list can be filtered."""

_DEFAULT_TIME = {
    'queued': 'enqueued_at',
    'started': 'started_at',
    'finished': 'ended_at',
    'failed': 'ended_at',
    'stopped': 'ended_at',
}


def _position(given: str) -> tuple[str, Position]:
    score, member, queue = given.split('~', 2)
    return queue, Position(float(score), member)


# The index or score of a job, its entry there, and the queue.
CURSOR = fields.text(
    1000, r'^(-?[0-9]{1,17}(\.[0-9]{1,9})?|-?inf)~[^~]{1,300}~.{1,500}$', 'is not a cursor from this service'
).then(_position)
"""The parameter that `write_cursor` makes; it reads as a queue's name and the position in its list."""


def write_cursor(queue: str, position: Position) -> str:
    """Return a cursor.

    Args:
        queue: name of the queue.
        position: in its list.
    """
    return f'{position.score!r}~{position.member}~{queue}'


def listed(
    backend: Backend, state: str, names: list[str], after: Position | None, strange: list[Strange]
) -> Iterator[tuple[Seen | None, tuple[str, Position]]]:
    """Walk the jobs of a state.

    Args:
        backend: the store.
        state: one of `states.STATES`.
        names: the queues, in order.
        after: the position in the first queue behind which to go on; None begins.
        strange: receives what is stored where a list should be.

    Returns:
        Each job, None where only its entry is left, with its queue's name and its position there.
    """
    for name in names:
        for entries in walk(backend, state, backend.queue(name), after, strange):
            jobs = backend.jobs([job_id for job_id, _ in entries])
            for (_, position), job in zip(entries, jobs, strict=True):
                yield job, (name, position)
        after = None


def matches(backend: Backend, seen: Seen, state: str, wanted: dict[str, Any]) -> bool:
    """Say whether a job belongs in a list.

    Args:
        backend: for its reader.
        seen: a job that was found.
        state: the state that is listed.
        wanted: `function`, `since`, `until`, `time`, where given.
    """
    job = seen.job
    if state in ('failed', 'stopped') and seen.status not in (state, UNREADABLE):
        return False
    if 'function' in wanted and read_call(backend.reader, job.data)[0] != wanted['function']:
        return False
    if 'since' in wanted or 'until' in wanted:
        moment: datetime | None = getattr(job, wanted.get('time') or _DEFAULT_TIME.get(state, 'created_at'))
        if moment is None:
            return False
        if 'since' in wanted and moment < wanted['since']:
            return False
        if 'until' in wanted and moment >= wanted['until']:
            return False
    return True

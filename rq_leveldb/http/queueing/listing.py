"""Walking the jobs of a state over queues, and the filters of a list."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.queueing.error_text import read_error
from rq_leveldb.http.queueing.states import Position, walk
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Field
from rq_leveldb.lookup import UNREADABLE, Seen, Strange
from rq_leveldb.reading import call_text, read_call

__all__ = ['CURSOR', 'FILTERS', 'MOST_SCANNED', 'Listed', 'listed', 'newest', 'write_cursor']

MOST_SCANNED = 10_000
"""Most jobs that one request looks at; a list then ends early and says where to go on."""

_TIMES = ('created_at', 'enqueued_at', 'started_at', 'ended_at')
_DEFAULT_TIME = {
    'queued': 'enqueued_at',
    'started': 'started_at',
    'finished': 'ended_at',
    'failed': 'ended_at',
    'stopped': 'ended_at',
}
_FAILED = ('failed', 'stopped')

FILTERS: Mapping[str, Field] = {
    'queue': fields.text(500).described('Only jobs of this queue.'),
    'function': fields.text(500).described('Only jobs that call this function.'),
    'worker': fields.text(500).described('Only jobs that this worker ran last.'),
    'error_type': fields.text(500).described('Only jobs that failed with this type of error.'),
    'search': fields.text(200).described(
        'Only jobs that have this text in their id, function, description, arguments, worker or error; in any case.'
    ),
    'since': fields.moment.described('Only from this time on.'),
    'until': fields.moment.described('Only before this time.'),
    'time': fields.choice(*_TIMES).described(
        'Which time `since` and `until` refer to; the default depends on the state.'
    ),
}
"""What a list of jobs can be narrowed by, in a query or a body."""


def _position(given: str) -> tuple[str, Position]:
    score, member, queue = given.split('~', 2)
    return queue, Position(float(score), member)


# The index or score of a job, its entry there, and the queue.
CURSOR = fields.text(
    1000, r'^(-?[0-9]{1,17}(\.[0-9]{1,9})?|-?inf)~[^~]{1,300}~.{1,500}$', 'is not a cursor from this service'
).then(_position)
"""The parameter that `write_cursor` makes; it reads as a queue's name and the position in its list."""


@dataclass(frozen=True)
class Listed:
    """An entry of a list.

    Args:
        queue: the queue.
        position: in the list of that queue.
        seen: the job; None if it is gone or does not belong in the list.
        error: what is kept of its error, if it was asked for.
    """

    queue: str
    position: Position
    seen: Seen | None
    error: str | None = None


def write_cursor(entry: Listed) -> str:
    """Return the cursor of what follows an entry.

    Args:
        entry: the last one that was looked at.
    """
    return f'{entry.position.score!r}~{entry.position.member}~{entry.queue}'


def listed(
    backend: Backend,
    state: str,
    names: list[str],
    wanted: Mapping[str, Any],
    strange: list[Strange],
    *,
    with_errors: bool = False,
) -> Iterator[Listed]:
    """Walk the jobs of a state, queue by queue.

    Args:
        backend: the store.
        state: one of `states.STATES`.
        names: the queues, sorted.
        wanted: the `FILTERS` that are given, and the `cursor` behind which to go on.
        strange: receives what is stored where a list should be.
        with_errors: whether to read the errors of jobs that failed.

    Returns:
        Every entry that was looked at.
    """
    after: Position | None = None
    if 'queue' in wanted:
        names = [wanted['queue']]
    if 'cursor' in wanted:
        start, after = wanted['cursor']
        names = [name for name in names if name >= start]
        if names[:1] != [start]:
            after = None
    for name in names:
        for entries in walk(backend, state, backend.queue(name), after, strange):
            yield from _read(backend, state, [(name, *entry) for entry in entries], wanted, with_errors)
        after = None


def newest(
    backend: Backend, state: str, names: list[str], wanted: Mapping[str, Any], strange: list[Strange], most: int
) -> Iterator[Listed]:
    """Walk the jobs of a state that are kept longest, which are the newest, of all queues together; with errors.

    Args:
        backend: the store.
        state: one of `states.STATES` that is kept in a registry.
        names: the queues.
        wanted: the `FILTERS` that are given.
        strange: receives what is stored where a list should be.
        most: how many entries to look at.
    """

    def entries(name: str) -> Iterator[tuple[str, str, Position]]:
        for chunk in walk(backend, state, backend.queue(name), None, strange):
            for job_id, position in chunk:
                yield name, job_id, position

    names = [wanted['queue']] if 'queue' in wanted else names
    merged = heapq.merge(*map(entries, names), key=lambda entry: -entry[2].score)
    found = itertools.islice(merged, most)
    while chunk := list(itertools.islice(found, 100)):
        yield from _read(backend, state, chunk, wanted, True)


def _read(
    backend: Backend,
    state: str,
    entries: Sequence[tuple[str, str, Position]],
    wanted: Mapping[str, Any],
    with_errors: bool,
) -> Iterable[Listed]:
    """Read the jobs of entries, and their errors where those are needed."""
    jobs = backend.jobs([job_id for _, job_id, _ in entries])
    kept = [seen if seen is not None and _matches(backend, seen, state, wanted) else None for seen in jobs]
    errors: dict[str, str | None] = {}
    if state in _FAILED and (with_errors or 'error_type' in wanted or 'search' in wanted):
        errors = backend.errors([seen.job for seen in kept if seen is not None])
    for (name, job_id, position), seen in zip(entries, kept, strict=True):
        error = errors.get(job_id)
        if seen is not None and not _matches_text(backend, seen, error, wanted):
            seen = None
        yield Listed(name, position, seen, error)


def _matches(backend: Backend, seen: Seen, state: str, wanted: Mapping[str, Any]) -> bool:
    """Say whether a job belongs in a list, as far as its record tells."""
    job = seen.job
    if state in _FAILED and seen.status not in (state, UNREADABLE):
        return False
    if 'function' in wanted and read_call(backend.reader, job.data)[0] != wanted['function']:
        return False
    if 'worker' in wanted and job.worker_name != wanted['worker']:
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


def _matches_text(backend: Backend, seen: Seen, error: str | None, wanted: Mapping[str, Any]) -> bool:
    if 'error_type' in wanted and (error is None or read_error(error).kind != wanted['error_type']):
        return False
    if 'search' not in wanted:
        return True
    job, text = seen.job, wanted['search'].casefold()
    places = (job.id, job.description, job.worker_name, error)
    if any(place is not None and text in place.casefold() for place in places):
        return True
    name, args, kwargs = read_call(backend.reader, job.data)
    return text in call_text(name or '', args, kwargs).casefold()

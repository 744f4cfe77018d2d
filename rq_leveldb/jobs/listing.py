"""Walking the jobs of a state over queues, narrowed by what is asked for."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis
from rq.job import Job, JobStatus

from rq_leveldb.jobs.error_text import read_error
from rq_leveldb.jobs.states import ASCENDING, Position, walk
from rq_leveldb.lookup import UNREADABLE, Seen, Strange, is_refused, replies, see_jobs, see_many_results
from rq_leveldb.reading import Looking, Reader, call_text, read_call
from rq_leveldb.records import output_key

__all__ = [
    'CURSOR_PATTERN',
    'MOST_SCANNED',
    'TIMES',
    'Listed',
    'listed',
    'most_scanned',
    'newest',
    'read_cursor',
    'stored_ids',
    'write_cursor',
]

TIMES = ('created_at', 'enqueued_at', 'started_at', 'ended_at')
"""The points in time by which a list can be narrowed."""

CURSOR_PATTERN = r'^(-?[0-9]{1,17}(\.[0-9]{1,9})?|-?inf)~[^~]{1,300}~.{1,500}$'
"""What `write_cursor` returns: the index or score of a job, its entry there, and the queue."""

MOST_SCANNED = 10_000
"""Most jobs that one request or command looks at; a list then ends early and says where to go on."""

# Most jobs that one request reads as well.
_MOST_SEARCHED = 2000
_SEARCHED = frozenset(('search', 'error_type', 'output'))
# Outputs that are read at once, and bytes of each.
_OUTPUTS = 10
_MOST_OUTPUT = 1 << 20
_DEFAULT_TIME = {
    'queued': 'enqueued_at',
    'started': 'started_at',
    'finished': 'ended_at',
    'failed': 'ended_at',
    'stopped': 'ended_at',
}
_FAILED = ('failed', 'stopped')
_LAST_MEMBER = '\U0010ffff'


def most_scanned(wanted: Mapping[str, Any]) -> int:
    """Return how many jobs one request looks at, to list them or to act on them.

    They are fewer if it reads their arguments, errors or output.

    Args:
        wanted: what it is narrowed by, as for `listed`.
    """
    return MOST_SCANNED if _SEARCHED.isdisjoint(wanted) else _MOST_SEARCHED


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


def read_cursor(text: str) -> tuple[str, Position]:
    """Return a queue's name and the position in its list that a cursor stands for.

    Args:
        text: what `write_cursor` returned; it matches `CURSOR_PATTERN`.
    """
    score, member, queue = text.split('~', 2)
    return queue, Position(float(score), member)


def listed(
    connection: Redis,
    reader: Reader,
    state: str,
    names: list[str],
    wanted: Mapping[str, Any],
    strange: list[Strange],
    *,
    with_errors: bool = False,
    oldest_first: bool = False,
    with_stopped: bool = False,
) -> Iterator[Listed]:
    """Walk the jobs of a state, queue by queue.

    Args:
        connection: the store.
        reader: reads the jobs.
        state: one of `states.STATES`.
        names: the queues, sorted.
        wanted: where given, `queue`, `function`, `worker`, `error_type`, `search` (a text in any of its parts, in any
            case), `output` (a text in its captured output), `since` and `until` with `time`, one of `TIMES`; and the
            `cursor` behind which to go on.
        strange: receives what is stored where a list should be.
        with_errors: whether to read the errors of jobs that failed.
        oldest_first: whether a registry's jobs come in the order in which they came there, in any state.
        with_stopped: whether the stopped jobs come with the failed ones, in whose registry RQ keeps them.

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
        for entries in walk(connection, state, name, after, strange, oldest_first=oldest_first):
            yield from _read(
                connection, reader, state, [(name, *entry) for entry in entries], wanted, with_errors, with_stopped
            )
        after = None


def stored_ids(
    connection: Redis,
    state: str,
    names: Sequence[str],
    strange: list[Strange],
    *,
    with_stopped: bool = False,
    job_class: type[Job] = Job,
) -> Iterator[str]:
    """Walk the ids of the jobs that `listed` returns, the oldest of a registry first, without reading the jobs.

    Args:
        connection: the store.
        state: one of `states.STATES`.
        names: the queues.
        strange: receives what is stored where a list should be.
        with_stopped: whether the stopped jobs come with the failed ones.
        job_class: whose keys the jobs have.
    """
    statuses = _statuses(state, with_stopped)
    for name in names:
        for entries in walk(connection, state, name, None, strange, oldest_first=True):
            pipe = connection.pipeline(transaction=False)
            for job_id, _ in entries:
                if statuses is None:
                    pipe.exists(job_class.key_for(job_id))
                else:
                    pipe.hget(job_class.key_for(job_id), 'status')
            for (job_id, _), reply in zip(entries, replies(pipe), strict=True):
                is_wanted = reply if statuses is None else _status(reply) in statuses
                if is_wanted:
                    yield job_id


def _statuses(state: str, with_stopped: bool) -> tuple[str, ...] | None:
    """Return which jobs belong in a list whose registry has others as well; None where it has none."""
    if state not in _FAILED:
        return None
    return (*_FAILED, UNREADABLE) if with_stopped else (state, UNREADABLE)


def _status(stored: Any) -> str | None:
    """Return the status that a job is seen with; None if it is gone."""
    if not stored or is_refused(stored):
        return UNREADABLE if stored else None
    try:
        return JobStatus(stored.decode()).value
    except ValueError:
        return UNREADABLE


def newest(
    connection: Redis, reader: Reader, state: str, names: list[str], wanted: Mapping[str, Any], strange: list[Strange]
) -> Iterator[Listed]:
    """Walk the jobs of a state, of all queues together, with errors.

    First come those that are kept longest, which are the newest; in the states `ASCENDING` those that run first.

    Args:
        connection: the store.
        reader: reads the jobs.
        state: one of `states.STATES` that is kept in a registry.
        names: the queues.
        wanted: as for `listed`.
        strange: receives what is stored where a list should be.

    Returns:
        Every entry that was looked at.
    """
    names = [wanted['queue']] if 'queue' in wanted else names
    sign = 1 if state in ASCENDING else -1

    def entries(name: str) -> Iterator[tuple[str, str, Position]]:
        for chunk in walk(connection, state, name, _begin(name, state, wanted.get('cursor')), strange):
            for job_id, position in chunk:
                yield name, job_id, position

    merged = heapq.merge(*map(entries, sorted(names)), key=lambda entry: (sign * entry[2].score, entry[0]))
    while chunk := list(itertools.islice(merged, 100)):
        yield from _read(connection, reader, state, chunk, wanted, True)


def _begin(name: str, state: str, cursor: tuple[str, Position] | None) -> Position | None:
    """Return the position in a queue's list behind which the jobs of all queues together go on."""
    if cursor is None or cursor[0] == name:
        return None if cursor is None else cursor[1]
    # Of the jobs with the cursor's own score, those of queues before it were shown, those of queues after it were not.
    is_passed = name < cursor[0]
    return Position(cursor[1].score, '' if is_passed != (state in ASCENDING) else _LAST_MEMBER)


def _read(
    connection: Redis,
    reader: Reader,
    state: str,
    entries: Sequence[tuple[str, str, Position]],
    wanted: Mapping[str, Any],
    with_errors: bool,
    with_stopped: bool = False,
) -> Iterable[Listed]:
    """Read the jobs of entries, and their errors where those are needed."""
    statuses = _statuses(state, with_stopped)
    jobs = see_jobs(connection, [job_id for _, job_id, _ in entries], reader)
    kept = [seen if seen is not None and _matches(reader, seen, state, statuses, wanted) else None for seen in jobs]
    if 'output' in wanted:
        printed = _printed(connection, [seen.job.id for seen in kept if seen is not None], wanted['output'])
        kept = [seen if seen is not None and seen.job.id in printed else None for seen in kept]
    errors: dict[str, str | None] = {}
    if state in _FAILED and (with_errors or 'error_type' in wanted or 'search' in wanted):
        errors = _errors(connection, reader, [seen.job for seen in kept if seen is not None])
    for (name, job_id, position), seen in zip(entries, kept, strict=True):
        error = errors.get(job_id)
        if seen is not None and not _matches_text(reader, seen, error, wanted):
            seen = None
        yield Listed(name, position, seen, error)


def _printed(connection: Redis, job_ids: Sequence[str], text: str) -> set[str]:
    """Return which jobs printed a text, in any case, as far as their output is kept."""
    text = text.casefold()
    found = set()
    for start in range(0, len(job_ids), _OUTPUTS):
        few = job_ids[start : start + _OUTPUTS]
        pipe = connection.pipeline(transaction=False)
        for job_id in few:
            pipe.getrange(output_key(job_id), 0, _MOST_OUTPUT - 1)
        for job_id, output in zip(few, replies(pipe), strict=True):
            if isinstance(output, bytes) and text in output.decode('utf-8', 'replace').casefold():
                found.add(job_id)
    return found


def _errors(connection: Redis, reader: Reader, jobs: Sequence[Job]) -> dict[str, str | None]:
    """Return what is kept of the errors of jobs that failed: tracebacks, or reasons that a worker gave, by id."""
    found = see_many_results(connection, [job.id for job in jobs], Looking(reader))
    # Older versions of RQ keep the error in the job.
    return {
        job.id: results[0].exc_string if results else job._exc_info
        for job, (results, _) in zip(jobs, found, strict=True)
    }


def _matches(
    reader: Reader, seen: Seen, state: str, statuses: tuple[str, ...] | None, wanted: Mapping[str, Any]
) -> bool:
    """Say whether a job belongs in a list, as far as its record tells."""
    job = seen.job
    if statuses is not None and seen.status not in statuses:
        return False
    if 'error_type' in wanted and state not in _FAILED:
        return False
    if 'function' in wanted and read_call(reader, job.data)[0] != wanted['function']:
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


def _matches_text(reader: Reader, seen: Seen, error: str | None, wanted: Mapping[str, Any]) -> bool:
    if 'error_type' in wanted and read_error(error).kind != wanted['error_type']:
        return False
    if 'search' not in wanted:
        return True
    job, text = seen.job, wanted['search'].casefold()
    places = (job.id, job.description, job.worker_name, error)
    if any(place is not None and text in place.casefold() for place in places):
        return True
    name, args, kwargs = read_call(reader, job.data)
    return text in call_text(name or '', args, kwargs).casefold()

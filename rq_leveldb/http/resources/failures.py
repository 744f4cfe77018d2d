"""Failed jobs together: why they failed, and what is done about many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Annotated, Any, TypedDict

from rq_leveldb.http.documents.values import StrangeDocument, strange_documents
from rq_leveldb.http.problems import UnreadableRecord
from rq_leveldb.http.queueing.backend import Backend, acting
from rq_leveldb.http.queueing.filters import CURSOR, FILTERS
from rq_leveldb.http.request import fields, query
from rq_leveldb.http.request.fields import Record, Rule
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.bulk import Outcome
from rq_leveldb.jobs.deletion import GONE, delete_many
from rq_leveldb.jobs.failures import FailureGroup, group_failures
from rq_leveldb.jobs.listing import Listed, listed, most_scanned, newest, write_cursor
from rq_leveldb.jobs.moment import Moment, timestamp
from rq_leveldb.jobs.requeueing import NOT_THERE, CannotBeRead, requeue_seen
from rq_leveldb.jobs.states import Position
from rq_leveldb.lookup import Seen, Strange, count_jobs, find_queues

__all__ = ['routes']

_GROUPED = 1000
_AT_ONCE = 1000
# Those whose jobs are in no state to fail or to run again.
_ENDED = ('failed', 'stopped', 'canceled')

_CHOICE = {
    **FILTERS,
    'jobs': fields.array(fields.identifier, _AT_ONCE, f'must be an array of at most {_AT_ONCE} ids').described(
        'The ids of the jobs, in place of filters; stopped and canceled ones may be among them.'
    ),
    'cursor': CURSOR.described('Where to go on: `next` of the answer before.'),
}
_RULES = [Rule('jobs', f'cannot be given together with {name}', given=('jobs', name)) for name in (*FILTERS, 'cursor')]
_REQUEUE = Record({**_CHOICE, 'at_front': fields.boolean}, 'RequeueFailedOptions', _RULES)
_DELETE = Record(_CHOICE, 'DeleteFailedOptions', _RULES)


class FailureDocument(TypedDict):
    """Failed jobs of one function with one type of error."""

    error_type: Annotated[str, 'Where no exception was raised, the line with N for each number.']
    function: str | None
    error: Annotated[str, 'Of the latest job: type and first line of the message.']
    count: int
    queues: list[str]
    latest_job: str
    latest_at: Moment | None
    per_hour: Annotated[list[int], 'How many failed in each of the last 24 hours, the current one last.']


class FailuresDocument(TypedDict):
    """Failed jobs in groups, the largest first."""

    items: list[FailureDocument]
    groups: Annotated[int, 'Number of groups, of which the largest are listed.']
    total: Annotated[int, 'Number of failed jobs in the queues, stopped ones included.']
    looked_at: Annotated[int, 'How many of them, the newest, were grouped.']
    unreadable: list[StrangeDocument]


class _Progress(TypedDict):
    """How far a request came that changes many jobs."""

    count: int
    looked_at: Annotated[int, 'How many jobs this request looked at to find them: at most as many as a list does.']
    is_complete: Annotated[bool, 'Whether none is left; if not, repeat the request.']
    next: Annotated[str | None, 'The `cursor` with which to repeat it; null if none is left.']


class RequeuedDocument(_Progress):
    """The requeued jobs."""

    requeued: list[str]


class DeletedDocument(_Progress):
    """The deleted jobs."""

    deleted: list[str]


def list_failures(call: Call) -> FailuresDocument:
    """Group the newest thousand failed jobs by function and type of error."""
    backend, wanted = call.backend, call.query
    queues = find_queues(backend.connection)
    names = [wanted['queue']] if 'queue' in wanted else queues.names
    strange = list(queues.strange)
    newest_first = newest(backend.connection, backend.reader, 'failed', names, wanted, strange)
    entries = list(islice(newest_first, _GROUPED))
    groups = group_failures(backend.reader, entries)
    return {
        'items': [_group_document(group) for group in groups[: wanted['limit']]],
        'groups': len(groups),
        'total': sum(count['failed'] or 0 for count in count_jobs(backend.connection, names)),
        'looked_at': len(entries),
        'unreadable': strange_documents(strange),
    }


def _group_document(group: FailureGroup) -> FailureDocument:
    return {
        'error_type': group.error_type,
        'function': group.function,
        'error': group.error,
        'count': group.count,
        'queues': group.queues,
        'latest_job': group.latest_job,
        'latest_at': timestamp(group.latest_at),
        'per_hour': group.per_hour,
    }


def requeue_failed(call: Call) -> RequeuedDocument:
    """Put jobs that failed back on their queues, the oldest of each first, at most a thousand at a time."""
    at_front = call.values.get('at_front', False)
    act = partial(requeue_seen, call.backend.connection, at_front=at_front)
    requeued, progress = _each(call, act, (*NOT_THERE, CannotBeRead))
    return {'requeued': requeued, **progress}


def delete_failed(call: Call) -> DeletedDocument:
    """Delete jobs that failed, at most a thousand at a time."""
    deleted, progress = _each(call, partial(delete_many, call.backend.connection), GONE)
    return {'deleted': deleted, **progress}


def _each(
    call: Call, act: Callable[[list[Seen]], Iterable[Outcome]], passed: tuple[type[Exception], ...]
) -> tuple[list[str], _Progress]:
    """Do something with the chosen jobs.

    Args:
        call: the request.
        act: does it.
        passed: what is raised if it cannot be done with a job, which is then left out.

    Returns:
        The ids of those with which it was done, and how far that came.
    """
    done: list[str] = []
    found, is_all = _chosen(call.backend, call.values)
    jobs = [entry.seen for entry in found if entry.seen is not None]
    for seen, outcome in zip(jobs, act(jobs), strict=True):
        if outcome is None:
            done.append(seen.job.id)
        elif not isinstance(outcome, passed):
            with acting(f'job {seen.job.id}'):
                raise outcome
    return done, {
        'count': len(done),
        'looked_at': len(found),
        'is_complete': is_all,
        'next': None if is_all else write_cursor(found[-1]),
    }


def _chosen(backend: Backend, wanted: dict[str, Any]) -> tuple[list[Listed], bool]:
    """Find jobs, before the first is changed: the walk goes by positions, which then change. Say if these are all."""
    if 'jobs' in wanted:
        given = backend.jobs(wanted['jobs'])
        return [
            Listed(seen.job.origin, Position(0, seen.job.id), seen)
            for seen in given
            if seen is not None and seen.status in _ENDED
        ], True
    names: list[str] = [] if 'queue' in wanted else backend.queue_names()
    strange: list[Strange] = []
    found: list[Listed] = []
    chosen, most = 0, most_scanned(wanted)
    # In the order in which RQ requeues them.
    for entry in listed(backend.connection, backend.reader, 'failed', names, wanted, strange, oldest_first=True):
        if chosen == _AT_ONCE or len(found) == most:
            return found, False
        found.append(entry)
        chosen += entry.seen is not None
    return found, True


def routes() -> Sequence[Route]:
    """Return the routes."""
    found = {**FILTERS, 'limit': query.limit(100)}
    return (
        Route('GET', '/v1/failures', list_failures, query=found),
        Route('POST', '/v1/requeue-failed', requeue_failed, (UnreadableRecord,), body=_REQUEUE),
        Route('POST', '/v1/delete-failed', delete_failed, (UnreadableRecord,), body=_DELETE),
    )

"""What can be done to stored jobs: cancel, stop, requeue."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, TypedDict

from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry

from rq_leveldb.http.documents.job import JobId, job_url
from rq_leveldb.http.problems import NoSuchJob, UnreadableJob, UnreadableRecord, WrongState
from rq_leveldb.http.queueing.backend import Backend, acting
from rq_leveldb.http.queueing.listing import MOST_SCANNED, listed, matches
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Record
from rq_leveldb.http.routing.route import Call, Route

__all__ = ['NOTHING', 'routes']

NOTHING = Record({}, 'Nothing')
"""The body of actions that have no options."""

_CANCEL = Record({'enqueue_dependents': fields.boolean}, 'CancelOptions')
_REQUEUE = Record({'at_front': fields.boolean}, 'RequeueOptions')
_REQUEUE_FAILED = Record(
    {'queue': fields.text(500), 'function': fields.text(500), 'at_front': fields.boolean}, 'RequeueFailedOptions'
)
_REQUEUED_AT_ONCE = 1000


class JobStateDocument(TypedDict):
    """A job and its status."""

    id: str
    url: str
    status: str


class RequeuedDocument(TypedDict):
    """The requeued jobs."""

    requeued: list[str]
    count: int
    is_complete: Annotated[bool, 'Whether none is left; if not, repeat the request.']


def cancel_job(call: Call, job_id: JobId) -> JobStateDocument:
    """Cancel a job that has not started."""
    with_dependents = call.values.get('enqueue_dependents', False)
    job = call.backend.job(job_id)
    status = job.get_status(refresh=False)
    if status in (JobStatus.STARTED, JobStatus.FINISHED, JobStatus.CANCELED, JobStatus.FAILED, JobStatus.STOPPED):
        raise _wrong_state(job, 'canceled', 'Stop it instead.' if status == JobStatus.STARTED else None)
    if with_dependents:
        call.backend.check_dependents(job)
    try:
        with acting(f'job {job_id}'):
            job.cancel(enqueue_dependents=with_dependents)
    except InvalidJobOperation:
        raise _wrong_state(job, 'canceled') from None
    return _state(call.backend, job_id)


def stop_job(call: Call, job_id: JobId) -> JobStateDocument:
    """Ask the worker to stop a running job."""
    job = call.backend.job(job_id)
    if job.get_status(refresh=False) != JobStatus.STARTED:
        raise _wrong_state(job, 'stopped')
    try:
        with acting(f'job {job_id}'):
            send_stop_job_command(call.backend.connection, job.id, serializer=call.backend.reader)
    except (InvalidJobOperation, NoSuchJobError):
        raise _wrong_state(job, 'stopped') from None
    return {'id': job.id, 'url': job_url(job.id), 'status': 'started'}


def requeue_job(call: Call, job_id: JobId) -> JobStateDocument:
    """Put a job that failed, was stopped or was canceled back on its queue."""
    job = call.backend.job(job_id)
    if not _requeue(call.backend, job, call.values.get('at_front', False)):
        raise _wrong_state(job, 'requeued')
    return _state(call.backend, job_id)


def requeue_failed(call: Call) -> RequeuedDocument:
    """Put jobs that failed back on their queues, at most a thousand at a time."""
    backend, wanted = call.backend, call.values
    names = [wanted['queue']] if 'queue' in wanted else backend.queue_names()
    requeued: list[str] = []
    # Taken before the first is requeued: the walk goes by positions, which then change.
    found = list(itertools.islice(listed(backend, 'failed', names, None, []), MOST_SCANNED))
    is_complete = len(found) < MOST_SCANNED
    for seen, _ in found:
        if seen is None or seen.faults or not matches(backend, seen, 'failed', wanted):
            continue
        if len(requeued) >= _REQUEUED_AT_ONCE:
            is_complete = False
            break
        if _requeue(backend, seen.job, wanted.get('at_front', False)):
            requeued.append(seen.job.id)
    return {'requeued': requeued, 'count': len(requeued), 'is_complete': is_complete}


def _state(backend: Backend, job_id: str) -> JobStateDocument:
    job = backend.job(job_id)
    return {'id': job.id, 'url': job_url(job.id), 'status': job.get_status(refresh=False).value}


def _requeue(backend: Backend, job: Job, at_front: bool) -> bool:
    """Put a job back on its queue; say whether it was in a state for that."""
    status = job.get_status(refresh=False)
    if status in (JobStatus.FAILED, JobStatus.STOPPED):
        kind: type[CanceledJobRegistry] | type[FailedJobRegistry] = FailedJobRegistry
    elif status == JobStatus.CANCELED:
        kind = CanceledJobRegistry
    else:
        return False
    try:
        with acting(f'job {job.id}'):
            kind(queue=backend.queue(job.origin)).requeue(job, at_front=at_front)
    except (InvalidJobOperation, NoSuchJobError):
        # Somebody else was faster.
        return False
    return True


def _wrong_state(job: Job, what: str, hint: str | None = None) -> WrongState:
    return WrongState(f'A job that is {job.get_status(refresh=False).value} cannot be {what}.', hint=hint)


def routes() -> Sequence[Route]:
    """Return the routes."""
    job, problems = '/v1/jobs/{job_id}', (NoSuchJob, WrongState, UnreadableJob, UnreadableRecord)
    return (
        Route('POST', f'{job}/cancel', cancel_job, problems, body=_CANCEL),
        Route('POST', f'{job}/stop', stop_job, problems, body=NOTHING, status=202),
        Route('POST', f'{job}/requeue', requeue_job, problems, body=_REQUEUE),
        Route('POST', '/v1/requeue-failed', requeue_failed, (UnreadableRecord,), body=_REQUEUE_FAILED),
    )

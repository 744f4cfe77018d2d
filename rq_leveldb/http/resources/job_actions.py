"""What can be done to a stored job: cancel, stop, requeue, run before it is due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.utils import current_timestamp

from rq_leveldb.http.documents.job import JobId, job_url
from rq_leveldb.http.problems import NoSuchJob, UnreadableJob, UnreadableRecord, WrongState
from rq_leveldb.http.queueing.backend import Backend, acting
from rq_leveldb.http.request import fields
from rq_leveldb.http.request.fields import Record
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.jobs.requeueing import requeue
from rq_leveldb.lookup import is_refused, registry_key, replies

__all__ = ['NOTHING', 'routes']

NOTHING = Record({}, 'Nothing')
"""The body of actions that have no options."""

_CANCEL = Record({'enqueue_dependents': fields.boolean}, 'CancelOptions')
_REQUEUE = Record({'at_front': fields.boolean}, 'RequeueOptions')


class JobStateDocument(TypedDict):
    """A job and its status."""

    id: str
    url: str
    status: str


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
    with acting(f'job {job_id}'):
        is_requeued = requeue(job, call.values.get('at_front', False))
    if not is_requeued:
        raise _wrong_state(job, 'requeued')
    return _state(call.backend, job_id)


def run_job_now(call: Call, job_id: JobId) -> JobStateDocument:
    """Make a scheduled job due: the scheduler of a worker puts it on its queue in a moment."""
    job = call.backend.job(job_id)
    pipe = call.backend.connection.pipeline(transaction=False)
    # Only its time is changed, which is one step: nobody can enqueue it twice.
    pipe.zadd(registry_key('scheduled', job.origin), {job.id: current_timestamp()}, xx=True, ch=True)
    (changed,) = replies(pipe)
    if is_refused(changed) or not changed:
        raise _wrong_state(job, 'run before it is due')
    return {'id': job.id, 'url': job_url(job.id), 'status': 'scheduled'}


def _state(backend: Backend, job_id: str) -> JobStateDocument:
    job = backend.job(job_id)
    return {'id': job.id, 'url': job_url(job.id), 'status': job.get_status(refresh=False).value}


def _wrong_state(job: Job, what: str, hint: str | None = None) -> WrongState:
    return WrongState(f'A job that is {job.get_status(refresh=False).value} cannot be {what}.', hint=hint)


def routes() -> Sequence[Route]:
    """Return the routes."""
    job, problems = '/v1/jobs/{job_id}', (NoSuchJob, WrongState, UnreadableJob, UnreadableRecord)
    return (
        Route('POST', f'{job}/cancel', cancel_job, problems, body=_CANCEL),
        Route('POST', f'{job}/stop', stop_job, problems, body=NOTHING, status=202),
        Route('POST', f'{job}/run-now', run_job_now, problems, body=NOTHING, status=202),
        Route('POST', f'{job}/requeue', requeue_job, problems, body=_REQUEUE),
    )

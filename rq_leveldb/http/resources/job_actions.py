"""What can be done to jobs that are there: cancel, stop, requeue."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import falcon
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry

from rq_leveldb.http.documents.job import job_url
from rq_leveldb.http.problems import Problem
from rq_leveldb.http.queueing.backend import Backend, acting
from rq_leveldb.http.queueing.listing import MOST_SCANNED, listed, matches
from rq_leveldb.http.request import body, fields, query

__all__ = ['JobActions', 'RequeueFailed', 'options']

_REQUEUED_AT_ONCE = 1000


class JobActions:
    """What can be done to a job.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_post_cancel(self, request: falcon.Request, response: falcon.Response, job_id: str) -> None:
        """Cancel a job that has not started."""
        wanted = options(self._backend, request, {'enqueue_dependents': fields.boolean})
        job = self._backend.job(job_id)
        status = job.get_status(refresh=False)
        if status in (JobStatus.STARTED, JobStatus.FINISHED, JobStatus.CANCELED, JobStatus.FAILED, JobStatus.STOPPED):
            raise _wrong_state(job, 'canceled', 'Stop it instead.' if status == JobStatus.STARTED else None)
        if wanted.get('enqueue_dependents'):
            self._backend.check_dependents(job)
        try:
            with acting(f'job {job_id}'):
                job.cancel(enqueue_dependents=wanted.get('enqueue_dependents', False))
        except InvalidJobOperation:
            raise _wrong_state(job, 'canceled') from None
        self._answer(response, job_id)

    def on_post_stop(self, request: falcon.Request, response: falcon.Response, job_id: str) -> None:
        """Ask the worker to stop a running job."""
        options(self._backend, request, {})
        backend = self._backend
        job = backend.job(job_id)
        if job.get_status(refresh=False) != JobStatus.STARTED:
            raise _wrong_state(job, 'stopped')
        try:
            with acting(f'job {job_id}'):
                send_stop_job_command(backend.connection, job.id, serializer=backend.reader)
        except (InvalidJobOperation, NoSuchJobError):
            raise _wrong_state(job, 'stopped') from None
        body.answer(response, {'id': job.id, 'url': job_url(job.id), 'status': 'started'}, falcon.HTTP_202)

    def on_post_requeue(self, request: falcon.Request, response: falcon.Response, job_id: str) -> None:
        """Put a job that failed, was stopped or was canceled back on its queue."""
        wanted = options(self._backend, request, {'at_front': fields.boolean})
        job = self._backend.job(job_id)
        if not _requeue(self._backend, job, wanted.get('at_front', False)):
            raise _wrong_state(job, 'requeued')
        self._answer(response, job_id)

    def _answer(self, response: falcon.Response, job_id: str) -> None:
        job = self._backend.job(job_id)
        body.answer(response, {'id': job.id, 'url': job_url(job.id), 'status': job.get_status(refresh=False).value})


class RequeueFailed:
    """All jobs that failed.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_post(self, request: falcon.Request, response: falcon.Response) -> None:
        """Put jobs that failed back on their queues, at most a thousand at a time."""
        backend = self._backend
        wanted = options(
            backend, request, {'queue': fields.text(500), 'function': fields.text(500), 'at_front': fields.boolean}
        )
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
        body.answer(response, {'requeued': requeued, 'count': len(requeued), 'is_complete': is_complete})


def options(
    backend: Backend, request: falcon.Request, readers: Mapping[str, Callable[[Any], Any]], *, required: bool = False
) -> dict[str, Any]:
    """Return the options of an action from the body; there need not be a body.

    Args:
        backend: for the limits.
        request: the request.
        readers: for every field that may be there, what reads it.
        required: whether there must be a body.

    Raises:
        Problem: a field is not accepted.
    """
    query.read_query(request, {})
    document = body.read_object(request, backend.settings.max_body, required=required)
    values, errors = fields.read_fields(document, readers)
    if errors:
        raise fields.refuse(errors)
    return values


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


def _wrong_state(job: Job, what: str, hint: str | None = None) -> Problem:
    return Problem(
        409,
        'wrong-state',
        'The job is not in a state for this',
        f'A job that is {job.get_status(refresh=False).value} cannot be {what}.',
        hint=hint,
    )

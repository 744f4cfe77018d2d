"""Putting jobs on queues: with RQ's own Queue, in as few round trips as it allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from redis.client import Pipeline
from rq.exceptions import DuplicateJobError
from rq.job import Job, JobStatus

from rq_leveldb.http.backend import Backend, acting, unreadable_job
from rq_leveldb.http.job_request import JobRequest
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.lookup import Seen

__all__ = ['Outcome', 'check_dependencies', 'enqueue']


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Args:
        request: the request.
        status: the job's status; None where a job of its id existed and it was to be unique.
    """

    request: JobRequest
    status: str | None


def check_dependencies(backend: Backend, requests: list[JobRequest]) -> None:
    """Make sure that jobs wait only for jobs that exist, or come before them in the same request.

    Args:
        backend: the store.
        requests: in the order in which they will be enqueued.

    Raises:
        Problem: 409, naming the first that cannot be read or is missing: RQ would take that one for finished.
    """
    wanted = [name for request in requests for name in request.dependencies]
    if not wanted:
        return
    exists: dict[str, Seen | bool | None] = dict(zip(wanted, backend.jobs(wanted), strict=True))
    for index, request in enumerate(requests):
        for name in request.dependencies:
            found = exists.get(name)
            if isinstance(found, Seen) and found.faults:
                # RQ reads it to enqueue what waits for it.
                raise unreadable_job(name, found.faults)
            if not found:
                prefix = f'/jobs/{index}' if len(requests) > 1 else ''
                missing = FieldError(f'names a job that does not exist: {name}', pointer=f'{prefix}/depends_on')
                raise Problem(
                    409,
                    'no-such-dependency',
                    'A job to wait for does not exist',
                    f'{missing.pointer} {missing.detail}.',
                    hint='A finished job is kept for its result_ttl (500 seconds by default), then forgotten.',
                    errors=[missing],
                )
        exists[request.job_id] = True


def enqueue(
    backend: Backend, requests: list[JobRequest], with_them: Callable[[Pipeline], object] | None = None
) -> list[Outcome]:
    """Enqueue jobs.

    Those that neither wait for others nor have to be unique are stored in one transaction, the others after them, one
    by one.

    Args:
        backend: the store.
        requests: in order, their functions allowed.
        with_them: adds commands to that transaction.

    Returns:
        One outcome for each request, in their order.
    """
    outcomes: dict[str, Outcome] = {}
    together = [request for request in requests if not request.unique and not request.dependencies]
    if together or with_them is not None:

        def write(pipe: Pipeline) -> None:
            for request in together:
                job = _put(backend, request, pipe)
                outcomes[request.job_id] = Outcome(request, job.get_status(refresh=False).value)
            if with_them is not None:
                with_them(pipe)

        backend.combiner.write(write)
    for request in requests:
        if request.job_id in outcomes and outcomes[request.job_id].request is request:
            continue
        try:
            with acting(f'job {request.job_id}'):
                status = _put(backend, request, None).get_status(refresh=False).value
        except DuplicateJobError:
            status = None
        outcomes[request.job_id] = Outcome(request, status)
    return [outcomes[request.job_id] for request in requests]


def _put(backend: Backend, request: JobRequest, pipe: Pipeline | None) -> Job:
    queue = backend.entry(request.queue)
    if request.due is None:
        job = queue.create_job(request.function, job_id=request.job_id, status=JobStatus.QUEUED, **request.options)
        return queue.enqueue_job(job, pipeline=pipe, at_front=request.at_front, unique=request.unique)
    job = queue.create_job(request.function, job_id=request.job_id, status=JobStatus.SCHEDULED, **request.options)
    if request.at_front:
        job.enqueue_at_front = True
    return queue.schedule_job(job, request.due, pipeline=pipe, unique=request.unique)

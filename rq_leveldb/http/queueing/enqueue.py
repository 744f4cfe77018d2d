"""Enqueueing jobs with RQ's own Queue, all jobs of a request in one transaction."""

from __future__ import annotations

from dataclasses import dataclass

from redis.client import Pipeline
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import TimeoutError as StoreTimeoutError
from redis.exceptions import WatchError
from rq.job import Job, JobStatus

from rq_leveldb.http.problems import BusyDependencies, FieldError, NoSuchDependency
from rq_leveldb.http.queueing.backend import Backend, unreadable_job
from rq_leveldb.http.request.idempotency import Once
from rq_leveldb.http.request.job import JobRequest
from rq_leveldb.lookup import Seen

__all__ = ['Outcome', 'enqueue_all']

# How often others may change, before the transaction, what it depends on.
_MOST_TRIES = 100


@dataclass(frozen=True)
class Outcome:
    """What became of one request.

    Args:
        request: the request.
        status: the job's status; None where a job of its id existed and it was to be unique.
    """

    request: JobRequest
    status: str | None


def enqueue_all(backend: Backend, requests: list[JobRequest], once: Once | None = None) -> tuple[list[Outcome], bool]:
    """Enqueue jobs: all of them, or none.

    Args:
        backend: the store.
        requests: in order, their functions allowed.
        once: what makes sure that this happens once.

    Returns:
        One outcome for each request, in their order, and whether it had happened before.

    Raises:
        NoSuchDependency: a job to wait for does not exist.
        UnreadableJob: a job to wait for cannot be read.
        BusyDependencies: the jobs to wait for keep changing.
        UnreadableRecord: the record of `once` cannot be read.
        IdempotencyKeyReused: `once` belongs to another request.
    """
    looked_at = _looked_at(requests)
    if once is None and not looked_at:
        outcomes: list[Outcome] = []
        backend.combiner.write(
            lambda pipe: outcomes.extend(_put(backend, request, JobStatus.QUEUED, pipe) for request in requests)
        )
        return outcomes, False
    keys = [Job.key_for(job_id) for job_id in looked_at]
    if once is not None:
        keys.append(once.name)
    for _ in range(_MOST_TRIES):
        with backend.connection.pipeline() as pipe:
            try:
                pipe.watch(*keys)
                done = once.job_ids(pipe) if once is not None else None
            except WatchError:
                # redis-py's word for a connection that broke off; nothing was written yet.
                continue
            if done is not None:
                return _as_they_are(backend, requests, done), True
            statuses = _statuses(backend, requests, looked_at)
            pipe.multi()
            outcomes = [
                Outcome(request, None) if status is None else _put(backend, request, status, pipe)
                for request, status in zip(requests, statuses, strict=True)
            ]
            if once is not None:
                once.write(pipe, [request.job_id for request in requests])
            try:
                pipe.execute()
            except WatchError as error:
                if isinstance(error.__context__, (StoreConnectionError, StoreTimeoutError)):
                    # The same word, and it is not known whether the transaction was executed.
                    raise error.__context__ from None
                continue
            return outcomes, False
    raise BusyDependencies(f'One of them changed during each of {_MOST_TRIES} attempts to enqueue.')


def _looked_at(requests: list[JobRequest]) -> list[str]:
    """Return the ids of the jobs whose existence and status decide what is enqueued."""
    ids = [name for request in requests for name in request.dependencies]
    ids += [request.job_id for request in requests if request.unique]
    return list(dict.fromkeys(ids))


def _statuses(backend: Backend, requests: list[JobRequest], looked_at: list[str]) -> list[JobStatus | None]:
    """Return the status that each job is to have at first; None where a unique one exists.

    Raises:
        NoSuchDependency: naming the first job to wait for that does not exist; RQ would take it for finished.
        UnreadableJob: naming the first that cannot be read.
    """
    found: dict[str, Seen | None] = dict(zip(looked_at, backend.jobs(looked_at), strict=True))
    statuses: list[JobStatus | None] = []
    earlier: set[str] = set()
    for index, request in enumerate(requests):
        if request.unique and (request.job_id in earlier or found[request.job_id] is not None):
            statuses.append(None)
            continue
        waits = False
        for name in request.dependencies:
            if name in earlier:
                waits = True
                continue
            seen = found[name]
            if seen is None:
                where = f'/jobs/{index}/depends_on' if len(requests) > 1 else '/depends_on'
                raise NoSuchDependency(errors=[FieldError(f'names a job that does not exist: {name}', pointer=where)])
            if seen.faults:
                # RQ reads it to enqueue what waits for it.
                raise unreadable_job(name, seen.faults)
            waits = waits or not request.is_met_by(seen.status)
        earlier.add(request.job_id)
        statuses.append(JobStatus.DEFERRED if waits else JobStatus.QUEUED)
    return statuses


def _put(backend: Backend, request: JobRequest, status: JobStatus, pipe: Pipeline) -> Outcome:
    queue = backend.entry(request.queue)
    if request.due is None:
        job = queue.create_job(request.function, job_id=request.job_id, status=status, **request.options)
        queue.enqueue_job(job, pipeline=pipe, at_front=request.at_front)
    else:
        job = queue.create_job(request.function, job_id=request.job_id, status=JobStatus.SCHEDULED, **request.options)
        if request.at_front:
            job.enqueue_at_front = True
        queue.schedule_job(job, request.due, pipeline=pipe)
    return Outcome(request, job.get_status(refresh=False).value)


def _as_they_are(backend: Backend, requests: list[JobRequest], job_ids: list[str]) -> list[Outcome]:
    outcomes = []
    for request, job_id, seen in zip(requests, job_ids, backend.jobs(job_ids), strict=True):
        request.job_id = job_id
        outcomes.append(Outcome(request, seen.status if seen is not None else 'gone'))
    return outcomes

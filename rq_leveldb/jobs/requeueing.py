"""Putting jobs that have ended back on their queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from redis import Redis
from redis.client import Pipeline
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import BaseRegistry, CanceledJobRegistry, FailedJobRegistry
from rq.utils import utcformat

from rq_leveldb.jobs.bulk import Change, Guard, Outcome, carry_out
from rq_leveldb.lookup import Seen

__all__ = ['NOT_THERE', 'CannotBeRead', 'requeue', 'requeue_many', 'requeue_seen']

NOT_THERE = (InvalidJobOperation, NoSuchJobError)
"""What RQ raises for a job that is not in the registry, or is gone: somebody else was faster."""


class CannotBeRead(Exception):
    """Something of a job cannot be read; says what."""


def _find_registry(job: Job) -> BaseRegistry | None:
    """Return the registry from which a job that failed, was stopped or was canceled is requeued; None in other states.

    Args:
        job: the job.
    """
    status = job.get_status(refresh=False)
    if status in (JobStatus.FAILED, JobStatus.STOPPED):
        kind: type[CanceledJobRegistry] | type[FailedJobRegistry] = FailedJobRegistry
    elif status == JobStatus.CANCELED:
        kind = CanceledJobRegistry
    else:
        return None
    return kind(job.origin, connection=job.connection, job_class=type(job), serializer=job.serializer)


def requeue(job: Job, at_front: bool = False) -> bool:
    """Put a job that failed, was stopped or was canceled back on its queue; say whether it was in a state for that.

    Args:
        job: the job.
        at_front: whether it is to be the next.

    Raises:
        Exception: RQ could not read what belongs to it.
    """
    (outcome,) = requeue_many(job.connection, [job], at_front)
    if isinstance(outcome, NOT_THERE):
        return False
    if outcome is not None:
        raise outcome
    return True


def requeue_many(
    connection: Redis,
    jobs: Sequence[Job],
    at_front: bool = False,
    find: Callable[[Job], BaseRegistry | None] = _find_registry,
) -> list[Outcome]:
    """Put jobs back on their queues, as `requeue` of their registries does, in few round trips.

    Args:
        connection: the store.
        jobs: the jobs, as they were read.
        at_front: whether each is to be the next.
        find: returns the registry of a job; None if it is in no state for that.

    Returns:
        For each what RQ raised, such as one of `NOT_THERE`; None if it was requeued.
    """

    def changes() -> Iterator[Change]:
        # RQ makes a queue for each job, which then asks the server for its version.
        queues: dict[tuple[str, type[Job]], Queue] = {}
        for job in jobs:
            registry = find(job)
            job_class = type(job) if registry is None else registry.job_class
            name = job.origin, job_class
            if name not in queues:
                queues[name] = Queue(job.origin, connection=connection, job_class=job_class, serializer=job.serializer)
            yield _Requeueing(job, registry, queues[name], at_front)

    return carry_out(connection, changes())


def requeue_seen(
    connection: Redis,
    found: Sequence[Seen],
    at_front: bool = False,
    find: Callable[[Job], BaseRegistry | None] = _find_registry,
) -> list[Outcome]:
    """Put those of some jobs back on their queues that can be read.

    Args:
        connection: the store.
        found: the jobs, as far as they could be read.
        at_front: as for `requeue_many`.
        find: likewise.

    Returns:
        For each what `requeue_many` returns; CannotBeRead for those that cannot be read.
    """
    outcomes = iter(requeue_many(connection, [seen.job for seen in found if not seen.faults], at_front, find))
    return [CannotBeRead('; '.join(map(str, seen.faults))) if seen.faults else next(outcomes) for seen in found]


class _Requeueing(Change):
    """What `BaseRegistry.requeue` does, but in one step."""

    def __init__(self, job: Job, registry: BaseRegistry | None, queue: Queue, at_front: bool) -> None:
        self._job = job
        self._registry = registry
        self._queue = queue
        self._at_front = at_front

    def collect(self, pipe: Pipeline) -> Sequence[Guard]:
        job = self._job
        if self._registry is None:
            raise InvalidJobOperation(f'Job {job.id} is {job.get_status(refresh=False).value}')
        # It would wait for a slot, which a script of RQ's gives it; or an application has its own way of reading jobs.
        if job.has_rate_limit or _reads_in_its_own_way(self._registry.job_class):
            return ()
        # If somebody requeues it meanwhile, it may run and fail again.
        ended_at = '' if job.ended_at is None else utcformat(job.ended_at)
        job.started_at = None
        job.ended_at = None
        job._exc_info = ''
        self._queue._enqueue_job(job, pipeline=pipe, at_front=self._at_front)
        return (
            Guard(('HGET', job.key, 'ended_at'), ended_at),
            Guard(('ZREM', self._registry.key, job.id), '1'),
        )

    def do_alone(self) -> None:
        assert self._registry is not None
        # By its id, so that it is read again.
        self._registry.requeue(self._job.id, at_front=self._at_front)


def _reads_in_its_own_way(job_class: type[Job]) -> bool:
    return job_class.fetch.__func__ is not Job.fetch.__func__ or job_class.refresh is not Job.refresh  # type: ignore[attr-defined]

"""Jobs of which everything was read that RQ's methods would read once more, job by job, to change them."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus

from rq_leveldb.jobs.bulk import Guard
from rq_leveldb.lookup import replies

__all__ = ['KnownJob', 'know']


class KnownJob(Job):
    """A job with a known status and no executions. What RQ's methods write in a pipeline holds while `guards` hold."""

    @classmethod
    def of(cls, job: Job) -> KnownJob:
        """Return it as such a job.

        Args:
            job: as it was read; an instance of no other class than RQ's.
        """
        known = cls.__new__(cls)
        vars(known).update(vars(job))
        known._known_status = job.get_status(refresh=False)
        return known

    _known_status: JobStatus

    def _fetch_status(self) -> JobStatus:
        return self._known_status

    @property
    def execution_registry(self) -> ExecutionRegistry:
        """The registry of its executions, of which there are none."""
        return _NoExecutions(self.id, connection=self.connection)

    @property
    def guards(self) -> Sequence[Guard]:
        """What holds as long as the job is as it was read."""
        return (Guard(('HGET', self.key, 'status'), self._known_status.value),)


class _NoExecutions(ExecutionRegistry):
    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        return []


def know(connection: Redis, jobs: Sequence[Job]) -> list[KnownJob | None]:
    """Return jobs with what else has to be known of them; None for each that has to be read by RQ's own methods.

    Args:
        connection: the store.
        jobs: as they were read.
    """
    pipe = connection.pipeline(transaction=False)
    for job in jobs:
        pipe.exists(job.execution_registry.key)
    return [
        KnownJob.of(job) if not has_executions and type(job) is Job and not job.has_rate_limit else None
        for job, has_executions in zip(jobs, replies(pipe), strict=True)
    ]

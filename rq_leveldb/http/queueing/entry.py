"""RQ's queue as the front uses it: many jobs in one transaction, those that wait for others included."""

from __future__ import annotations

from redis.client import Pipeline
from rq import Queue
from rq.job import Job, JobStatus

__all__ = ['EntryQueue']


class EntryQueue(Queue):
    """A queue for jobs whose status already says whether they have to wait: it is deferred then."""

    def setup_dependencies(self, job: Job, pipeline: Pipeline | None = None) -> Job:
        """Register a job that has to wait.

        RQ's own looks at the dependencies in a transaction of each job; here that is done before, for all of them.

        Args:
            job: the job.
            pipeline: the transaction.
        """
        if pipeline is None:
            return super().setup_dependencies(job)
        if job.get_status(refresh=False) is JobStatus.DEFERRED:
            job.register_dependency(pipeline=pipeline)
            job.save(pipeline=pipeline)
            job.cleanup(ttl=job.ttl, pipeline=pipeline)
        return job

"""Canceling jobs that have not started."""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from rq_leveldb.jobs.bulk import Change, Guard, Outcome, carry_out
from rq_leveldb.jobs.known import KnownJob, know

__all__ = ['cancel_many']


def cancel_many(connection: Redis, jobs: Sequence[Job], enqueue_dependents: bool = False) -> list[Outcome]:
    """Cancel jobs as `Job.cancel` does, in few round trips.

    Args:
        connection: the store.
        jobs: the jobs, as they were read.
        enqueue_dependents: whether the jobs that wait for them run all the same.

    Returns:
        For each what RQ raised: InvalidJobOperation if it is canceled already; None if it was canceled.
    """
    known: Sequence[KnownJob | None] = [None] * len(jobs) if enqueue_dependents else know(connection, jobs)
    return carry_out(connection, [_Canceling(*pair, enqueue_dependents) for pair in zip(jobs, known, strict=True)])


class _Canceling(Change):
    def __init__(self, job: Job, known: KnownJob | None, enqueue_dependents: bool) -> None:
        self._job = job
        self._known = known
        self._enqueue_dependents = enqueue_dependents

    def collect(self, pipe: Pipeline) -> Sequence[Guard]:
        if self._known is None:
            return ()
        self._known.cancel(pipeline=pipe)
        return self._known.guards

    def do_alone(self) -> None:
        self._job.cancel(enqueue_dependents=self._enqueue_dependents)

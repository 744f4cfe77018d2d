"""Putting a job that has ended back on its queue."""

from __future__ import annotations

from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry

from rq_leveldb.http.queueing.backend import Backend, acting

__all__ = ['requeue']


def requeue(backend: Backend, job: Job, at_front: bool) -> bool:
    """Put a job that failed, was stopped or was canceled back on its queue; say whether it was in a state for that.

    Args:
        backend: the store.
        job: the job.
        at_front: whether it is to be the next.

    Raises:
        UnreadableRecord: RQ could not read what belongs to it.
    """
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

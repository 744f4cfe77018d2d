"""Putting a job that has ended back on its queue."""

from __future__ import annotations

from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import CanceledJobRegistry, FailedJobRegistry

__all__ = ['requeue']


def requeue(job: Job, at_front: bool = False) -> bool:
    """Put a job that failed, was stopped or was canceled back on its queue; say whether it was in a state for that.

    Args:
        job: the job.
        at_front: whether it is to be the next.

    Raises:
        Exception: RQ could not read what belongs to it.
    """
    status = job.get_status(refresh=False)
    if status in (JobStatus.FAILED, JobStatus.STOPPED):
        kind: type[CanceledJobRegistry] | type[FailedJobRegistry] = FailedJobRegistry
    elif status == JobStatus.CANCELED:
        kind = CanceledJobRegistry
    else:
        return False
    try:
        registry = kind(job.origin, connection=job.connection, job_class=type(job), serializer=job.serializer)
        registry.requeue(job, at_front=at_front)
    except (InvalidJobOperation, NoSuchJobError):
        # Somebody else was faster.
        return False
    return True

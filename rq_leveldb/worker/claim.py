"""A job that a worker has taken off a queue, and what it met there instead of one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone

from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.utils import as_text

from rq_leveldb.unreadable import restore_job

from .sealed import restore_sealed
from .site import Site
from .untouched import is_shipped

__all__ = ['Claim', 'Unusable', 'as_moment', 'raw_fields']


@dataclass
class Claim:
    """A job that was taken off a queue by this worker.

    Args:
        queue_key: the queue's key in the store.
        job_id: the job's id.
        execution_id: id of the execution that was written for it; '' when RQ's own methods still have to do it.
        raw: the job's fields as the store returned them.
        at: when, in seconds since the epoch.
        whole: whether `raw` has all the fields; large ones are left to whoever runs the job.
    """

    queue_key: str
    job_id: str
    execution_id: str
    raw: dict[bytes, bytes]
    at: float = field(default_factory=time.time)
    whole: bool = True

    def execution(self, site: Site) -> Execution:
        """Return RQ's object for the execution that the store already knows."""
        execution = Execution(self.execution_id, self.job_id, site.connection, worker_name=site.name)
        execution.created_at = execution.last_heartbeat = as_moment(self.at)
        return execution

    def job(self, site: Site, queue: Queue) -> Job:
        """Return the job as the application has it, in the class that the worker uses.

        Raises:
            UnreadableJob: the record cannot be read.
            NoSuchJobError: it is gone.
        """
        job_class = site.job_class
        if not self.whole or not is_shipped(job_class, 'refresh') or not is_shipped(job_class, 'fetch'):
            return job_class.fetch(self.job_id, connection=site.connection, serializer=queue.serializer)
        return restore_job(
            lambda: job_class(self.job_id, connection=site.connection, serializer=site.serializer), self.raw
        )

    def sealed_job(self, site: Site) -> Job:
        """Return the job as the supervisor handles it.

        Raises:
            UnreadableJob: the record cannot be read.
        """
        return restore_sealed(site, self.job_id, self.raw if b'data' in self.raw else {**self.raw, b'data': b''})


@dataclass
class Unusable:
    """A key that holds another type of value than it should.

    Args:
        queue_key: the queue that was looked at.
        job_id: the job that was taken off it; '' if it is the queue that cannot be used.
        error: which key, and what the store says.
    """

    queue_key: str
    job_id: str
    error: str


def as_moment(seconds: float) -> datetime:
    """Return seconds since the epoch as the point in time that RQ's objects hold."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def raw_fields(job: Job) -> dict[bytes, bytes]:
    """Return a job's fields as the store would have them."""
    return {_raw(name): _raw(value) for name, value in job.to_dict().items()}


def _raw(value: object) -> bytes:
    return value if isinstance(value, bytes) else as_text(str(getattr(value, 'value', value))).encode()

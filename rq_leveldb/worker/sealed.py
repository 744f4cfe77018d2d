"""Jobs as the supervisor handles them: nothing that the application wrote is unpickled, and none of its code runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from rq.job import Job
from rq.queue import Queue

from rq_leveldb.unreadable import restore_job

from .site import Site

__all__ = ['Sealed', 'SealedSerializer', 'restore_sealed', 'sealed_queue']


class Sealed:
    """A value as the job's serializer wrote it.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    # Before RQ serializes a job's meta, it asks whether it is what RQ puts in the place of one that it cannot read.

    def __len__(self) -> int:
        return len(self.data)

    def get(self, name: str) -> None:
        """Return nothing: the value stays sealed."""
        return


class SealedSerializer:
    """A serializer that opens nothing, and lets through what is sealed.

    Args:
        serializer: the job's.
    """

    def __init__(self, serializer: Any) -> None:
        self._dumps = serializer.dumps

    @staticmethod
    def loads(data: bytes) -> Sealed:
        """Return the bytes, sealed."""
        return Sealed(data)

    def dumps(self, value: Any) -> Any:
        """Return the serialized value."""
        return value.data if isinstance(value, Sealed) else self._dumps(value)


@lru_cache(maxsize=8)
def _sealed_class(prefix: str) -> type[Job]:
    """Return RQ's job class, for jobs whose keys begin with this prefix."""
    if prefix == Job.redis_job_namespace_prefix:
        return Job
    return type('Job', (Job,), {'redis_job_namespace_prefix': prefix})


def restore_sealed(site: Site, job_id: str, raw: Mapping[bytes, bytes]) -> Job:
    """Return a job as RQ restores it from its hash, sealed.

    Args:
        site: whose connection, classes and serializer count.
        job_id: which job.
        raw: its fields, as the store returned them.

    Raises:
        NoSuchJobError: there is no `data`: to RQ, no such job.
        UnreadableJob: a field cannot be read.
    """
    job_class = _sealed_class(site.job_class.redis_job_namespace_prefix)
    serializer = SealedSerializer(site.serializer)
    return restore_job(lambda: job_class(job_id, connection=site.connection, serializer=serializer), raw)


def sealed_queue(site: Site, name: str) -> Queue:
    """Return a queue whose jobs are sealed.

    Args:
        site: whose connection, classes and serializer count.
        name: the queue's name.
    """
    prefix = site.queue_class.redis_queue_namespace_prefix
    queue_class = Queue if prefix == Queue.redis_queue_namespace_prefix else site.queue_class
    return queue_class(
        name,
        connection=site.connection,
        job_class=_sealed_class(site.job_class.redis_job_namespace_prefix),
        serializer=SealedSerializer(site.serializer),
    )

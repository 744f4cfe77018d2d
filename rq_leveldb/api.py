"""RQ's Queue, job and workers, with the default connection if none is given."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import Any

import rq
import rq.decorators
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.exceptions import WatchError
from rq.job import Job
from rq.results import Result
from rq.utils import get_connection_from_queues

from rq_leveldb.client.connection import Redis
from rq_leveldb.errors import BadAddress
from rq_leveldb.location import configured_url, parse
from rq_leveldb.paused_queues import is_paused, pause, resume

_SLICE = 200
"""Number of jobs that `Queue.empty` removes at once; nobody else is served meanwhile."""

_REMOVE = """
    local ids = redis.call('lrange', KEYS[1], 0, ARGV[1] - 1)
    if #ids == 0 then return 0 end
    local keys = {}
    for _, id in ipairs(ids) do
        keys[#keys + 1] = ARGV[2] .. id
        keys[#keys + 1] = ARGV[2] .. id .. ':dependents'
        keys[#keys + 1] = ARGV[3] .. id
    end
    redis.call('ltrim', KEYS[1], #ids, -1)
    redis.call('unlink', unpack(keys))
    return #ids
"""

__all__ = ['DefaultConnection', 'Queue', 'SimpleWorker', 'SpawnWorker', 'default_connection', 'hang_up', 'job']


def default_connection() -> Redis:
    """Return this process' client for the configured place: RQ_LEVELDB_URL, else RQ_REDIS_URL, else the default.

    Raises:
        BadAddress: the configured URL names no place.
    """
    return _client(configured_url() or parse(None).url)


def hang_up() -> None:
    """Close the connections of this process' client for the configured place, if it has one; it makes them anew."""
    if _client.cache_info().currsize:
        with contextlib.suppress(BadAddress):
            default_connection().connection_pool.disconnect()


@lru_cache(maxsize=8)
def _client(url: str) -> Redis:
    return Redis.from_url(url)


class Queue(rq.Queue):
    """rq.Queue whose connection may be left out, and which enqueues a job in one transaction instead of two or three.

    Args:
        name: the queue's name.
        connection: a client; the default one if None.
        args, options: as rq.Queue.
    """

    def __init__(self, name: str = 'default', connection: Any = None, *args: Any, **options: Any) -> None:
        super().__init__(name, default_connection() if connection is None else connection, *args, **options)

    @classmethod
    def all(cls, connection: Any = None, *args: Any, **options: Any) -> list[rq.Queue]:
        """Return all queues; arguments as rq.Queue.all, but the connection may be left out."""
        return super().all(default_connection() if connection is None else connection, *args, **options)

    def enqueue_job(
        self, job: Job, pipeline: Pipeline | None = None, at_front: bool = False, unique: bool = False
    ) -> Job:
        """Enqueue a job, or defer it until its dependencies are met.

        Args:
            job: the job.
            pipeline: a transaction of the caller's; one of its own, executed before this returns, if None.
            at_front: whether the job goes to the front of the queue.
            unique: whether there may be no job of this id yet.

        Returns:
            The job.

        Raises:
            DuplicateJobError: there is a job of this id, and `unique` was asked for.
            ValueError: RQ does not allow the combination, as in rq.Queue.enqueue_job.
        """
        if pipeline is not None or unique or job.has_rate_limit or not self.is_async:
            # Scripts and synchronous jobs: RQ does nothing of these in a transaction that it is given.
            return super().enqueue_job(job, pipeline, at_front, unique)
        status, enqueued_at = job._status, job.enqueued_at
        while True:
            with self.connection.pipeline() as pipe:
                try:
                    super().enqueue_job(job, pipe, at_front)
                    pipe.execute()
                except WatchError as error:
                    if isinstance(error.__context__, RedisConnectionError | RedisTimeoutError):
                        # redis-py's word for a connection that broke off: the transaction may have been executed.
                        raise error.__context__ from None
                    # A dependency has changed. RQ begins again as well.
                    job._status, job.enqueued_at = status, enqueued_at
                else:
                    return job

    def empty(self) -> int:
        """Remove the jobs that wait in the queue, in slices, so that others are served in between.

        If it is cut off, the other jobs are still in the queue.

        Returns:
            How many there were.
        """
        prefixes = self.job_class.redis_job_namespace_prefix, Result.get_key('')
        remove = self.connection.register_script(_REMOVE)
        found, removed = self.count, 0
        while removed < found:
            # Not more than were found: others may go on enqueueing.
            count = remove(keys=[self.key], args=[min(_SLICE, found - removed), *prefixes])
            if not count:
                break
            removed += count
        return removed

    def pause(self) -> None:
        """Let workers take nothing from this queue until it is resumed; jobs that run go on, and new ones wait."""
        pause(self)

    def resume(self) -> None:
        """Let workers take jobs from this queue again."""
        resume(self)

    @property
    def is_paused(self) -> bool:
        """Whether workers take nothing from this queue."""
        return is_paused(self)


class job(rq.decorators.job):  # noqa: N801 - it is named as what it stands in for
    """rq.decorators.job whose connection may be left out, as in `@job('default')`.

    Args:
        queue: a queue, or the name of one.
        connection: a client; the default one, looked up when a job is enqueued, if None.
        args, options: as rq.decorators.job.
    """

    queue_class = Queue

    def __init__(self, queue: rq.Queue | str, connection: Any = None, *args: Any, **options: Any) -> None:
        super().__init__(queue, connection, *args, **options)

    @property
    def connection(self) -> Any:
        """The client that jobs are enqueued with."""
        # Not when the function is decorated: an application may set its environment after its imports.
        return default_connection() if self._connection is None else self._connection

    @connection.setter
    def connection(self, connection: Any) -> None:
        self._connection = connection


class DefaultConnection:
    """Makes a worker's connection optional; must precede RQ's class among the bases."""

    def __init__(
        self,
        queues: Any,
        name: str | None = None,
        default_result_ttl: Any = ...,
        connection: Any = None,
        **options: Any,
    ) -> None:
        """Make a worker.

        Args:
            queues: names or queues.
            name: the worker's name; made up if None.
            default_result_ttl: seconds for which results are kept; RQ's default if left out.
            connection: a client; that of the first given queue, else the default one, if None.
            options: as rq.Worker.
        """
        if connection is None:
            listed = queues if isinstance(queues, list | tuple | set | frozenset) else [queues]
            connection = get_connection_from_queues(listed) or default_connection()
        if default_result_ttl is not ...:
            options['default_result_ttl'] = default_result_ttl
        super().__init__(queues, name, connection=connection, **options)  # type: ignore[call-arg]

    @classmethod
    def all(
        cls,
        connection: Any = None,
        job_class: Any = None,
        queue_class: Any = None,
        queue: Any = None,
        serializer: Any = None,
    ) -> list[Any]:
        """Return all workers, or those of a queue; arguments as rq.Worker.all."""
        connection = _connection_for(connection, queue)
        workers: list[Any] = super().all(connection, job_class, queue_class, queue, serializer)  # type: ignore[misc]
        return workers

    @classmethod
    def all_keys(cls, connection: Any = None, queue: Any = None) -> list[str]:
        """Return the keys of all workers, or of those of a queue; arguments as rq.Worker.all_keys."""
        keys: list[str] = super().all_keys(_connection_for(connection, queue), queue)  # type: ignore[misc]
        return keys

    @classmethod
    def count(cls, connection: Any = None, queue: Any = None) -> int:
        """Return how many workers there are, or how many for a queue; arguments as rq.Worker.count."""
        number: int = super().count(_connection_for(connection, queue), queue)  # type: ignore[misc]
        return number


def _connection_for(connection: Any, queue: Any) -> Any:
    return default_connection() if connection is None and queue is None else connection


class SimpleWorker(DefaultConnection, rq.SimpleWorker):
    """rq.SimpleWorker whose connection may be left out."""


class SpawnWorker(DefaultConnection, rq.SpawnWorker):
    """rq.SpawnWorker whose connection may be left out."""

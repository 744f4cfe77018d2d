"""The store as the resources see it: the connection, RQ's queues over it, the settings."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

from redis import Redis
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError, InvalidJobOperation, InvalidJobOperationError, NoSuchJobError
from rq.job import Job

from rq_leveldb.api import Queue
from rq_leveldb.errors import StoreError
from rq_leveldb.http.access.allow import AllowList
from rq_leveldb.http.problems import NoSuchJob, NoSuchQueue, Problem, UnreadableJob, UnreadableRecord
from rq_leveldb.http.queueing.combiner import Combiner
from rq_leveldb.http.queueing.entry import EntryQueue
from rq_leveldb.http.request.fields import identifier
from rq_leveldb.http.settings import HttpSettings
from rq_leveldb.lookup import Seen, find_queues, is_refused, replies, see_jobs, wrong_type
from rq_leveldb.reading import Reader
from rq_leveldb.unreadable import Fault

__all__ = ['Backend', 'acting', 'no_such_job', 'unreadable_job']

_MOST_QUEUES = 1024

# Errors that say something about the request or the store, and are answered as such.
_MEANT = (
    RedisError,
    StoreError,
    Problem,
    InvalidJobOperation,
    InvalidJobOperationError,
    NoSuchJobError,
    DuplicateJobError,
)
_log = logging.getLogger('rq_leveldb.http')


class Backend:
    """The store as the resources see it.

    Args:
        connection: a connection to the store, or to a real Redis server; replies are bytes.
        settings: the settings.
        allow: the functions that may be enqueued.
    """

    def __init__(self, connection: Redis, settings: HttpSettings, allow: AllowList) -> None:
        self.connection = connection
        self.settings = settings
        self.allow = allow
        self.reader = Reader(settings.serializer, settings.max_value)
        self.combiner = Combiner(connection)
        # RQ looks at a serializer that it is given each time it makes a job, which costs more than the pickling.
        self._writer = None if settings.serializer == 'pickle' else self.reader
        # Kept, since a queue asks the server for its version once.
        self.queue = functools.lru_cache(_MOST_QUEUES)(self._queue)
        self.entry = functools.lru_cache(_MOST_QUEUES)(self._entry)

    def _queue(self, name: str) -> Queue:
        """Return RQ's queue of a name, whether or not it exists."""
        return Queue(name, connection=self.connection, serializer=self.reader)

    def _entry(self, name: str) -> EntryQueue:
        """Return the queue of a name for putting jobs on it, and nothing else."""
        queue = EntryQueue(name, connection=self.connection, serializer=self._writer)
        if self._writer is None:
            queue.serializer = cast(Any, None)
        return queue

    def queue_names(self) -> list[str]:
        """Return the names of all queues, sorted; entries that cannot be read are left out."""
        return find_queues(self.connection).names

    def existing_queue(self, name: str) -> Queue:
        """Return a queue that exists.

        Args:
            name: the name.

        Raises:
            NoSuchQueue: it does not exist.
        """
        queue = self.queue(name)
        pipe = self.connection.pipeline(transaction=False)
        pipe.sismember(Queue.redis_queues_keys, queue.key)
        pipe.exists(queue.key)
        known, length = replies(pipe)
        if known is not True and known != 1 and not length:
            raise NoSuchQueue(f'No job was ever enqueued on {name[:100]!r}.')
        return queue

    def job(self, job_id: str) -> Job:
        """Return a job, to do something with it.

        Args:
            job_id: its id, from a URL.

        Raises:
            NoSuchJob: it does not exist.
            UnreadableJob: it cannot be read.
        """
        seen = self.seen(job_id)
        if seen.faults:
            raise unreadable_job(job_id, seen.faults)
        return seen.job

    def seen(self, job_id: str) -> Seen:
        """Return a job as far as it can be read, to show it.

        Args:
            job_id: its id, from a URL.

        Raises:
            NoSuchJob: it does not exist.
        """
        try:
            found = self.jobs([identifier.read(job_id)])[0]
        except ValueError:
            raise no_such_job(job_id) from None
        if found is None:
            raise no_such_job(job_id)
        return found

    def check_dependents(self, job: Job) -> None:
        """Make sure that the jobs which wait for a job can be read, before something is done with them as well.

        Args:
            job: the job.

        Raises:
            UnreadableJob: one cannot.
        """
        (members,) = replies(self.connection.pipeline(transaction=False).smembers(job.dependents_key))
        if is_refused(members):
            raise unreadable_job(job.id, [wrong_type('dependents', job.dependents_key)])
        for seen in self.jobs([member.decode('utf-8', 'replace') for member in members]):
            if seen is not None and seen.faults:
                raise unreadable_job(seen.job.id, seen.faults)

    def jobs(self, job_ids: list[str]) -> list[Seen | None]:
        """Return jobs as far as they can be read, None for each that is gone.

        Args:
            job_ids: their ids.
        """
        return see_jobs(self.connection, job_ids, self.reader)


def unreadable_job(job_id: str, faults: Sequence[Fault]) -> UnreadableJob:
    """Return the error for a job with which nothing can be done.

    Args:
        job_id: its id.
        faults: what cannot be read.
    """
    return UnreadableJob(f'Job {job_id}: {"; ".join(map(str, faults))}.')


@contextmanager
def acting(what: str) -> Iterator[None]:
    """Let RQ do something that makes it read further records; one that it cannot read is not a bug in this service.

    Args:
        what: what it is done to, for the error.

    Raises:
        UnreadableRecord: RQ could not read something.
    """
    try:
        yield
    except _MEANT:
        raise
    except Exception as error:
        _log.warning('RQ could not read what belongs to %s', what, exc_info=True)
        raise UnreadableRecord(
            f'{what}: {type(error).__name__}: {error}'[:1000], hint='The log of the HTTP front has the details.'
        ) from error


def no_such_job(job_id: str) -> NoSuchJob:
    """Return the error for a job that does not exist.

    Args:
        job_id: its id.
    """
    return NoSuchJob(f'No job {job_id[:200]!r} is stored.')

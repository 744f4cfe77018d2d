"""Tests of an application that enqueues jobs: a store of their own, and jobs that run in the test's process when told.

`rq_leveldb.testing.fixtures` has the same as a fixture of pytest.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any

from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler
from rq.timeouts import TimerDeathPenalty

from rq_leveldb.api import SimpleWorker
from rq_leveldb.client.autostart import stop
from rq_leveldb.client.connection import Redis
from rq_leveldb.location import DataDirectory

__all__ = ['JobStore']

_VARIABLE = 'RQ_LEVELDB_URL'


class _Scheduler(RQScheduler):
    """Enqueues what is due, once, over a client that is there."""

    def __init__(self, queues: list[Queue], connection: Redis) -> None:
        super().__init__(queues, connection, logging_level='ERROR', serializer=queues[0].serializer)
        self._connection = connection  # type: ignore[assignment]

    def enqueue_due(self) -> None:
        self.acquire_locks()
        try:
            self.enqueue_scheduled_jobs()
        finally:
            self.release_locks()


class _Worker(SimpleWorker):
    """Runs jobs here and now, and keeps what they raised."""

    def __init__(self, queues: list[Queue], connection: Redis) -> None:
        super().__init__(queues, connection=connection, serializer=queues[0].serializer)
        self.ran: list[Job] = []
        self.raised: dict[str, BaseException] = {}
        if threading.current_thread() is not threading.main_thread():
            # RQ's usual one needs signals, which only the main thread gets.
            self.death_penalty_class = TimerDeathPenalty

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Keep the exception; raise it if it is meant for the test, such as KeyboardInterrupt."""
        error = exc_info[1]
        if not isinstance(error, Exception):
            raise error
        self.raised[job.id] = error
        super().handle_exception(job, *exc_info)

    def run_queued(self) -> bool:
        """Run what is queued, and return whether there was anything."""
        before = len(self.ran)
        while found := Queue.dequeue_any(self.queues, None, self.connection, serializer=self.serializer):
            job, queue = found
            self.ran.append(job)
            self.execute_job(job, queue)
        return len(self.ran) > before


class JobStore(AbstractContextManager['JobStore']):
    """A store for tests, which is the default place (RQ_LEVELDB_URL) while it is open.

    Args:
        directory: a data directory that is new or was made by another JobStore; a temporary one if None.

    Attributes:
        url: the place.
        connection: a client of it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary: TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = TemporaryDirectory(prefix='jobs-')
            directory = Path(self._temporary.name, 'store')
        self._directory = DataDirectory(directory)
        self.url = f'leveldb://{self._directory.path}'
        self.connection = Redis.from_url(self.url)
        self._before: str | None = None

    def __enter__(self) -> JobStore:
        self._before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = self.url
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before
        self.close()

    def close(self) -> None:
        """Stop the store, and remove it if it is a temporary one."""
        self.connection.close()
        stop(self._directory)
        if self._temporary is not None:
            self._temporary.cleanup()

    def clear(self) -> None:
        """Remove everything."""
        self.connection.flushall()

    def run_all(self, *queues: Queue, propagate: bool = True) -> list[Job]:
        """Run all jobs that are queued or due, and those that they enqueue in turn, in this process and thread.

        Dependents, retries, callbacks and repeats happen as in a worker. A retry with a pause waits for `travel`.

        Args:
            queues: only these, which have one serializer; all if none is given.
            propagate: whether to raise what the first job that failed for good has raised, when all have been run.

        Returns:
            The jobs in the order in which they ran; one that was retried is there more than once.
        """
        ran: list[Job] = []
        raised: dict[str, BaseException] = {}
        while True:
            served = list(queues) or Queue.all(self.connection)
            if not served:
                break
            _Scheduler(served, self.connection).enqueue_due()
            worker = _Worker(served, self.connection)
            worker.register_birth()
            try:
                worked = worker.run_queued()
            finally:
                worker.register_death()
            ran += worker.ran
            raised |= worker.raised
            if not worked:
                break
        if propagate:
            for job in ran:
                if job.id in raised and job.get_status() is JobStatus.FAILED:
                    raise raised[job.id]
        return ran

    def travel(self, time: timedelta | float) -> None:
        """Let time pass for scheduled jobs: they become due so much earlier. No clock is changed.

        Args:
            time: how much, in seconds if it is a number.
        """
        seconds = time.total_seconds() if isinstance(time, timedelta) else time
        for queue in Queue.all(self.connection):
            registry = ScheduledJobRegistry(queue=queue)
            for job_id in registry.get_job_ids(cleanup=False):
                self.connection.zincrby(registry.key, -seconds, job_id)

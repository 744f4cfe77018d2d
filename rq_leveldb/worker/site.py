"""What the parts of one worker share: its name, its store, its log, its settings and RQ's classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from redis import Redis
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue
from rq.worker.base import BaseWorker

from .name_lock import NameLocks
from .settings import Settings
from .worker_log import WorkerLog

__all__ = ['LEASE', 'Site']

LEASE = 86400
"""Seconds for which a store keeps an execution of which it hears nothing.

Nobody waits for them there: whether a worker lives is asked of the kernel. They only have to be longer than any pause,
since RQ's own code in applications (`get_job_ids` of a registry) fails what has expired without asking.
"""


@dataclass
class Site:
    """Where a worker's parts work, without the worker itself. The names are those that RQ's worker has for the same.

    Args:
        name: the worker's name.
        key: of the worker's record in the store.
        executions_key: of the list of its executions.
        connection: the store.
        log: the worker's log, in which each line begins with its name.
        settings: how it differs from RQ's worker.
        queues: which it serves.
        job_class: the class of its jobs.
        queue_class: the class of its queues.
        serializer: of its jobs.
        death_penalty_class: how its jobs are ended by their time-outs.
        worker_ttl: seconds for which its record is kept without a heartbeat.
        job_monitoring_interval: seconds between two heartbeats of a job.
        executions: what it has in hand, by their ids.
        exponential_backoff_factor: by how much each pause after trouble is longer than the one before.
        cleanup_execution, increment_failed_job_count: the worker's own methods, which may be overridden.
        touched: what somebody has subclassed or replaced, so that RQ's own way is taken; None if nothing. Found out
            in the supervisor, and in the forker once more when it has imported the application.
        registered: whether the store knows the worker; before that it recovers what others left.
    """

    name: str
    key: str
    executions_key: str
    connection: Redis
    log: WorkerLog
    settings: Settings
    queues: list[Queue]
    job_class: type[Job]
    queue_class: type[Queue]
    serializer: Any
    death_penalty_class: Any
    worker_ttl: int
    job_monitoring_interval: int
    executions: dict[str, Execution]
    exponential_backoff_factor: float
    cleanup_execution: Callable[..., None]
    increment_failed_job_count: Callable[..., None]
    touched: str | None = None
    registered: bool = False
    locks: NameLocks | None = field(init=False)
    _blank_job: Job | None = field(init=False, default=None)
    _queues_by_key: dict[str, Queue] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.locks = NameLocks.of(self.connection)

    @classmethod
    def of(cls, worker: BaseWorker, settings: Settings) -> Site:
        """Return the site of a worker.

        Args:
            worker: any of RQ's.
            settings: how it differs from RQ's.
        """
        own: dict[str, Any] = {'log': WorkerLog(worker.log, worker.name), 'settings': settings}
        needed = [item.name for item in fields(cls) if item.init and item.default is MISSING]
        return cls(**own, **{name: getattr(worker, name) for name in needed if name not in own})

    @property
    def shortest_lease(self) -> int:
        """Seconds for which an execution is taken to run at least, without another word."""
        return LEASE if self.locks is not None else 0

    def queue_for(self, key: str) -> Queue:
        """Return the queue that has this key in the store."""
        queue = self._queues_by_key.get(key)
        if queue is None:
            self._queues_by_key.update({served.key: served for served in self.queues})
            queue = self._queues_by_key.get(key)
        if queue is None:
            queue = self._queues_by_key[key] = self.queue_class.from_queue_key(
                key,
                connection=self.connection,
                job_class=self.job_class,
                serializer=self.serializer,
                death_penalty_class=self.death_penalty_class,
            )
        return queue

    def blank_job(self) -> Job:
        """Return the job that `job_from` copies, made where nothing is subclassed or replaced.

        Made before the fork: what RQ's constructor goes through need not be gone through in every child.
        """
        if self._blank_job is None:
            self._blank_job = Job(None, connection=self.connection, serializer=self.serializer)
        return self._blank_job

    def job_from(self, state: dict[str, Any]) -> Job:
        """Return RQ's object for a job that was sent to a child, where nothing is subclassed or replaced.

        Args:
            state: the attributes that `assignment.state_of` sends.
        """
        job = Job.__new__(Job)
        job.__dict__.update(self.blank_job().__dict__, meta={})
        job.__dict__.update(state)
        return job

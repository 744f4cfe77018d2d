"""Scheduled jobs and cron, inside the worker's own process and loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rq.cron import CronScheduler
from rq.defaults import RQ_KEY_PREFIX
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler, SchedulerStatus
from rq.scripts import acquire_or_refresh_lock, release_lock

if TYPE_CHECKING:
    from redis import Redis

__all__ = ['InProcessScheduler', 'WorkerCron', 'cron_lock_key']

_CRON_LOCK_TTL = 60
# The locks live 61 s, and with a thousand queues to refresh them costs 40 ms.
_HEARTBEAT_SECONDS = 30.0


def cron_lock_key(path: str) -> str:
    """Return the store's key of the lock that says which worker runs these definitions."""
    return f'{RQ_KEY_PREFIX}:cron-lock:{path}'


class InProcessScheduler(RQScheduler):
    """RQ's scheduler, stepped by the worker's loop instead of sleeping in a process of its own.

    Its name is the worker's, so that whoever recovers a dead worker can give back its locks.
    """

    def use(self, connection: Redis) -> None:
        """Go on over the worker's connection: there is only one process now."""
        self._connection = connection  # type: ignore[assignment]
        self._next_heartbeat = 0.0

    def begin(self) -> None:
        """Register, and try to get the locks."""
        self._status = SchedulerStatus.STARTED
        self.register_birth()
        self.acquire_locks()

    def step(self) -> None:
        """Enqueue what is due. Takes over queues whose scheduler went away."""
        clock = time.monotonic()
        if clock >= self._next_heartbeat:
            # Also asks again for the locks that others hold: RQ does so every ten minutes only.
            if self._acquired_locks != self._queue_names:
                self.acquire_locks()
            self.heartbeat()
            self._next_heartbeat = clock + _HEARTBEAT_SECONDS
        names = self._with_schedule()
        if names:
            self.prepare_registries(names)
            self.enqueue_scheduled_jobs()

    def _with_schedule(self) -> list[str]:
        """Return the queues for which anything is scheduled: RQ asks each in a round trip, and there may be many."""
        names = sorted(self.acquired_locks)
        keys = [ScheduledJobRegistry.key_template.format(name) for name in names]
        if not keys or not self.connection.exists(*keys):
            return []
        if len(keys) == 1:
            return names
        with self.connection.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.exists(key)
            return [name for name, there in zip(names, pipeline.execute(), strict=True) if there]

    def others_died(self) -> None:
        """Ask for the locks at the next step: some may have become free."""
        self._next_heartbeat = 0.0


class WorkerCron:
    """RQ's cron definitions, run by one of the workers that have them.

    Args:
        connection: the store.
        path: module or file as RQ's `rq cron` takes it.
        owner: name of the worker.
        log_level: of RQ's cron scheduler.
    """

    def __init__(self, connection: Redis, path: str, owner: str, log_level: str | int = 'INFO') -> None:
        self._connection = connection
        self._owner = owner
        self._lock_key = cron_lock_key(path)
        self._scheduler = CronScheduler(connection, logging_level=log_level, name=f'{owner}:cron')
        self._scheduler.load_config_from_file(path)
        self._active = False
        self._next_look = 0.0

    def step(self) -> None:
        """Enqueue what is due, if this worker is the one."""
        clock = time.monotonic()
        if clock < self._next_look:
            return
        outcome = acquire_or_refresh_lock(self._connection, self._lock_key, self._owner, _CRON_LOCK_TTL)
        if outcome == 'taken':
            self._give_up()
            self._next_look = clock + 1.0
            return
        if not self._active:
            self._active = True
            self._scheduler.register_birth()
        if self._scheduler.enqueue_jobs():
            self._scheduler.save()
        self._scheduler.heartbeat()
        self._next_look = clock + min(self._scheduler.calculate_sleep_interval(), 1.0)

    def _give_up(self) -> None:
        if self._active:
            self._active = False
            self._scheduler.register_death()

    def stop(self) -> None:
        """Let another worker have them."""
        self._give_up()
        release_lock(self._connection, self._lock_key, self._owner)

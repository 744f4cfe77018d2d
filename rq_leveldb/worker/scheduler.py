"""Scheduled jobs, inside the worker's own process and loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redis.exceptions import ResponseError
from rq.registry import ScheduledJobRegistry
from rq.scheduler import RQScheduler, SchedulerStatus
from rq.utils import current_timestamp

from .release import Source, release_due
from .site import Site

__all__ = ['InProcessScheduler']

# The locks live a minute longer than RQ's interval, and are refreshed in half of that.
_LIFE = 60
# Refreshing a lock takes 0.1 ms of worker and store: with a thousand queues it is done every three minutes.
_QUEUES_A_SECOND = 3


class InProcessScheduler(RQScheduler):
    """RQ's scheduler, stepped by the worker's loop instead of sleeping in a process of its own.

    Its name is the worker's, so that whoever recovers a dead worker can give back its locks. The locks save work and
    nothing else: two schedulers of one queue enqueue each job once.
    """

    def use(self, site: Site) -> None:
        """Go on over the worker's connection: there is only one process now."""
        self._site = site
        self._connection = site.connection  # type: ignore[assignment]
        self._next_heartbeat = 0.0
        self._complaint = ''
        self.interval = max(self.interval, len(self._queue_names) // _QUEUES_A_SECOND)

    def begin(self) -> None:
        """Register, and try to get the locks."""
        self._status = SchedulerStatus.STARTED
        self._bear(self.register_birth)
        self._take_locks()

    def step(self) -> None:
        """Enqueue what is due, and take over queues whose scheduler went away.

        Raises:
            ConnectionError: the store went away.
        """
        clock = time.monotonic()
        if clock >= self._next_heartbeat:
            # Also asks again for the locks that others hold: RQ does so every ten minutes only.
            if self._acquired_locks != self._queue_names:
                self._take_locks()
            self._bear(self.heartbeat)
            self._next_heartbeat = clock + (self.interval + _LIFE) / 2
        if self._bear(self.enqueue_scheduled_jobs):
            self._complaint = ''

    def _take_locks(self) -> None:
        if not self._bear(self.acquire_locks):
            # One of the keys is not a lock. It does no harm if others schedule these queues too.
            self._acquired_locks = set(self._queue_names)
            self._scheduled_job_registries = []

    def _bear(self, do: Callable[[], Any]) -> bool:
        """Call something of RQ's that stumbles over a key of another type; returns whether it went well."""
        try:
            do()
        except ResponseError as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self.log.error('Scheduler %s: the store refused a command: %s', self.name, error)
            return False
        return True

    def enqueue_scheduled_jobs(self) -> None:
        """Enqueue the jobs that are due, each in one step, whatever state the others are in."""
        self._status = SchedulerStatus.WORKING
        try:
            if not self._scheduled_job_registries and self._acquired_locks:
                self.prepare_registries()
            for registry in self._in_use():
                release_due(self._site, Source(registry.name, registry.key), current_timestamp())
        finally:
            self._status = SchedulerStatus.STARTED

    def _in_use(self) -> list[ScheduledJobRegistry]:
        """Return the registries that exist: there may be a thousand queues, and nothing scheduled in any."""
        registries = self._scheduled_job_registries
        connection = self._site.connection
        if not registries or not connection.exists(*(registry.key for registry in registries)):
            return []
        with connection.pipeline(transaction=False) as pipeline:
            for registry in registries:
                pipeline.exists(registry.key)
            return [registry for registry, there in zip(registries, pipeline.execute(), strict=True) if there]

    def others_died(self) -> None:
        """Ask for the locks at the next step: some may have become free."""
        self._next_heartbeat = 0.0

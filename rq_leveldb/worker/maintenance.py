"""RQ's maintenance, one guarded step after the other: what cannot be read keeps nothing else from being cleaned.

RQ's own steps go by the clock. Before each of them whoever has a job is asked whether it lives: `Recovery`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rq.queue import Queue
from rq.registry import BaseRegistry, DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, StartedJobRegistry
from rq.utils import as_text, current_timestamp, missing_keys
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from rq_leveldb.records import CLAIMS_KEY_TEMPLATE
from rq_leveldb.unreadable import list_aside

from .broken import fail_unreadable
from .found import find, read_as, read_members, text_of
from .liveness import Life
from .performing import PerformingWorker
from .ready import enqueue_ready
from .recovery import Recovery, clean_rate_limits
from .trouble import guarded

__all__ = ['Maintenance']

_SLICE = 1000


class Maintenance:
    """Cleans up the registries of a worker's queues.

    Args:
        worker: whose queues.
        recovery: knows who lives, and what a dead worker had.
    """

    def __init__(self, worker: PerformingWorker, recovery: Recovery) -> None:
        self._worker = worker
        self._site = worker.site
        self._recovery = recovery
        self._connection = worker.connection
        self._cleaned = time.monotonic()

    def is_due(self, interval: float) -> bool:
        """Say whether the last cleaning is longer ago than `interval` seconds."""
        return time.monotonic() - self._cleaned > interval

    def clean_queues(self, exception_handlers: list[Any]) -> None:
        """Clean what belongs to each queue, unless another worker is at it.

        Args:
            exception_handlers: for jobs that were abandoned.
        """
        self._cleaned = time.monotonic()
        for queue in self._site.queues:
            guarded(self._site, f'maintenance of queue {queue.name}', partial(self._clean, queue, exception_handlers))
        guarded(self._site, 'maintenance of rate limits', partial(clean_rate_limits, self._site))

    def _clean(self, queue: Queue, exception_handlers: list[Any]) -> None:
        site = self._site
        if not queue.acquire_maintenance_lock():
            return
        site.log.info('cleaning registries for queue: %s', queue.name)
        steps: dict[str, Callable[[], object]] = {
            'jobs that are marked as started': lambda: self._recovery.recover_started([queue.name]),
            'finished jobs': lambda: self._drop_expired(self._registry(FinishedJobRegistry, queue)),
            'started jobs': lambda: self._registry(StartedJobRegistry, queue).cleanup(
                exception_handlers=exception_handlers
            ),
            'failed jobs': lambda: self._drop_expired(self._registry(FailedJobRegistry, queue)),
            'deferred jobs': self._registry(DeferredJobRegistry, queue).cleanup,
            'jobs that are ready': lambda: enqueue_ready(self._site, [queue.name]),
            'workers': lambda: self._clean_workers(queue),
            'jobs between queue and start': lambda: self._clean_intermediate(queue),
        }
        try:
            for what, step in steps.items():
                guarded(self._site, f'maintenance of queue {queue.name}, {what}', step)
        finally:
            queue.release_maintenance_lock()

    @staticmethod
    def _registry(kind: type[BaseRegistry], queue: Queue) -> BaseRegistry:
        return kind(
            name=queue.name, connection=queue.connection, job_class=queue.job_class, serializer=queue.serializer
        )

    def _drop_expired(self, registry: BaseRegistry) -> None:
        """Have a registry cleaned up whose expired entries were dropped in slices: nobody else is served during one."""
        now = current_timestamp()
        connection: Any = self._connection
        # The scores say who goes, as an entry that was just read may have been renewed since.
        while found := connection.zrangebyscore(registry.key, 0, now, start=_SLICE, num=1, withscores=True):
            connection.zremrangebyscore(registry.key, 0, found[0][1])
        registry.cleanup()

    def _is_readable(self, raw: bytes | str, queue: Queue, where: str) -> bool:
        """Say whether a job can be read; one that cannot fails."""
        try:
            job_id = as_text(raw)
        except UnicodeDecodeError:
            list_aside(self._connection, where, f'an entry was no text and was removed: {text_of(raw)}')
            return False
        found = find(self._site, f'{job_id}:', queue_name=queue.name)
        if found.fault is None:
            return True
        fail_unreadable(self._site, job_id, queue.name, found.fault)
        return False

    def _clean_workers(self, queue: Queue) -> None:
        """Unregister workers whose record has expired, but not those that live or have jobs to be recovered."""
        registered = read_members(self._connection, WORKERS_BY_QUEUE_KEY % queue.name)
        for key in missing_keys(self._connection, registered):
            name = key.removeprefix(self._worker.redis_worker_namespace_prefix)
            if self._recovery.life(name) is Life.ALIVE:
                continue
            with self._connection.pipeline() as pipeline:
                pipeline.srem(WORKERS_BY_QUEUE_KEY % queue.name, key)
                if not self._connection.exists(CLAIMS_KEY_TEMPLATE.format(name)):
                    pipeline.srem(REDIS_WORKER_KEYS, key)
                pipeline.execute()

    def _clean_intermediate(self, queue: Queue) -> None:
        """Fail jobs that are stuck there, by RQ's rule, but not those that a live worker is about to start."""
        intermediate = queue.intermediate_queue
        waiting: list[Any] = self._connection.lrange(intermediate.key, 0, -1)
        if not waiting:
            return
        claimed = self._claimed()
        started = set(queue.started_job_registry.get_job_ids(cleanup=False))
        for raw in waiting:
            if not self._is_readable(raw, queue, intermediate.key):
                self._connection.lrem(intermediate.key, 1, raw)
                continue
            job_id = as_text(raw)
            if job_id in claimed or job_id in started:
                continue
            job = queue.fetch_job(job_id)
            if job is None:
                intermediate.remove(job_id)
            elif not intermediate.set_first_seen(job_id) and intermediate.should_be_cleaned_up(job_id):
                self._worker.handle_job_failure(job, queue, exc_string='Job was stuck in intermediate queue.')
                intermediate.remove(job_id)

    def _claimed(self) -> set[str]:
        claimed: set[str] = set()
        for worker_key in read_members(self._connection, REDIS_WORKER_KEYS):
            name = worker_key.removeprefix(self._worker.redis_worker_namespace_prefix)
            key = CLAIMS_KEY_TEMPLATE.format(name)
            claimed.update(map(text_of, read_as(self._connection, 'hash', key, self._connection.hkeys, ())))
        return claimed

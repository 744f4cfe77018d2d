"""What will be enqueued later: scheduled jobs, and cron's entries."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import falcon
from rq.cron import CronScheduler, get_cron_job_ids
from rq.registry import ScheduledJobRegistry

from rq_leveldb.http import body, query
from rq_leveldb.http.backend import Backend
from rq_leveldb.http.job_view import job_url, timestamp

__all__ = ['Cron', 'Schedules']

_RECENT = 10


class Schedules:
    """How many jobs are scheduled on each queue, and the next of them; the jobs themselves are listed as jobs.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the queues with scheduled jobs."""
        query.read_query(request, {})
        backend = self._backend
        names = backend.queue_names()
        pipe = backend.connection.pipeline(transaction=False)
        for name in names:
            key = ScheduledJobRegistry(queue=backend.queue(name)).key
            pipe.zcard(key)
            pipe.zrange(key, 0, 0, withscores=True)
        replies = pipe.execute() if names else []
        items = []
        for name, count, first in zip(names, replies[::2], replies[1::2], strict=True):
            if count and first:
                job_id = first[0][0].decode()
                items.append(
                    {
                        'queue': name,
                        'count': count,
                        'next_job': job_id,
                        'next_job_url': job_url(job_id),
                        'next_at': timestamp(_from_score(float(first[0][1]))),
                    }
                )
        body.answer(response, {'items': items, 'next': None})


class Cron:
    """Cron's entries.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the entries of all cron schedulers that run."""
        query.read_query(request, {})
        connection = self._backend.connection
        items: list[dict[str, Any]] = []
        for scheduler in CronScheduler.all(connection):
            for entry in scheduler.get_jobs():
                items.append(
                    {
                        'name': entry.name,
                        'function': entry.func_name,
                        'queue': entry.queue_name,
                        'cron': entry.cron,
                        'interval_seconds': entry.interval,
                        'last_at': timestamp(entry.latest_enqueue_time),
                        'next_at': timestamp(entry.next_enqueue_time),
                        'scheduler': scheduler.name,
                        'config_file': scheduler.config_file or None,
                        'recent_jobs': get_cron_job_ids(entry.name, connection, 0, _RECENT - 1),
                    }
                )
        body.answer(response, {'items': items, 'next': None})


def _from_score(score: float) -> datetime:
    return datetime.fromtimestamp(score, timezone.utc)

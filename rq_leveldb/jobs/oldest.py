"""How long the next job of a queue has waited."""

from __future__ import annotations

import time
from collections.abc import Sequence

from redis import Redis

from rq_leveldb.lookup import is_refused, registry_key, replies, see_jobs
from rq_leveldb.reading import Reader

__all__ = ['oldest_waiting']


def oldest_waiting(connection: Redis, reader: Reader, names: Sequence[str]) -> list[float | None]:
    """Return for each queue how long the job at its front has waited, seconds; None for an empty queue.

    Args:
        connection: the store.
        reader: reads the jobs.
        names: the queues.
    """
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.lindex(registry_key('queued', name), 0)
    first = [None if is_refused(member) else member for member in replies(pipe)] if names else []
    ids = [member.decode('utf-8', 'replace') for member in first if member is not None]
    found = iter(see_jobs(connection, ids, reader))
    now = time.time()
    ages: list[float | None] = []
    for member in first:
        seen = next(found) if member is not None else None
        since = seen.job.enqueued_at or seen.job.created_at if seen is not None and not seen.faults else None
        ages.append(None if since is None else round(max(0.0, now - since.timestamp()), 3))
    return ages

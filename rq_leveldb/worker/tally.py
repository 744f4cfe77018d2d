"""How many jobs were started, how long they waited and ran: counted here, added up in the store for all workers.

RQ counts for each worker, and forgets with the worker. The HTTP front shows these numbers to Prometheus. They are one
hash whose fields are words joined by `|`, the queue's name last:

    started|QUEUE, finished|, failed|            how many
    sum|KIND|QUEUE                               seconds; KIND is wait or duration
    bucket|KIND|BOUND|QUEUE                      how many took up to BOUND seconds and more than the bound before it
"""

from __future__ import annotations

import bisect
import time
from collections import Counter
from typing import Any

from rq.utils import utcparse

from rq_leveldb.records import TALLY_BOUNDS, TALLY_KEY

from .site import Site

__all__ = ['Tally']

_PAUSE = 2.0
_COUNTED_BY_RQ = (('finished', 'successful_job_count'), ('failed', 'failed_job_count'))


class Tally:
    """Counts one worker's jobs.

    Args:
        site: whose jobs.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._counts: Counter[str] = Counter()
        self._sums: dict[str, float] = {}
        self._told = {name: 0 for name, _ in _COUNTED_BY_RQ}
        self._due = 0.0

    def ended(self, queue: str, enqueued_at: bytes | None, started: float, seconds: float) -> None:
        """Count a job that has ended.

        Args:
            queue: name of its queue.
            enqueued_at: when it was enqueued, as RQ stores it.
            started: when it was taken off the queue, in seconds since the epoch.
            seconds: for how long it ran.
        """
        self._counts[f'started|{queue}'] += 1
        self._add('duration', queue, seconds)
        if enqueued_at:
            try:
                self._add('wait', queue, max(0.0, started - utcparse(enqueued_at.decode()).timestamp()))
            except ValueError:
                # Not a time that RQ wrote; the job is still counted.
                pass

    def _add(self, kind: str, queue: str, seconds: float) -> None:
        bound = TALLY_BOUNDS[bisect.bisect_left(TALLY_BOUNDS, seconds)]
        self._counts[f'bucket|{kind}|{bound}|{queue}'] += 1
        name = f'sum|{kind}|{queue}'
        self._sums[name] = self._sums.get(name, 0.0) + seconds

    def flush(self, *, now: bool = False) -> None:
        """Add to the store what was counted since the last time, at most every two seconds.

        Args:
            now: at once.
        """
        clock = time.monotonic()
        if not self._counts or (clock < self._due and not now):
            return
        self._due = clock + _PAUSE
        site = self._site
        stored: Any = site.connection.hmget(site.key, [field for _, field in _COUNTED_BY_RQ])
        pipe = site.connection.pipeline()
        for (name, _), value in zip(_COUNTED_BY_RQ, stored, strict=True):
            total = int(value or 0)
            if total > self._told[name]:
                pipe.hincrby(TALLY_KEY, f'{name}|', total - self._told[name])
            self._told[name] = total
        for name, number in self._counts.items():
            pipe.hincrby(TALLY_KEY, name, number)
        for name, seconds in self._sums.items():
            pipe.hincrbyfloat(TALLY_KEY, name, round(seconds, 6))
        # Cleared before sending: if a reply is lost, missing two seconds is better than counting them twice.
        self._counts.clear()
        self._sums.clear()
        pipe.execute()

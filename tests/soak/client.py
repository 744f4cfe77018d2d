"""A client of a soak: enqueues as fast as the worker takes, and tells what was acknowledged and how long that took."""

from __future__ import annotations

import time
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

from redis.exceptions import ConnectionError, TimeoutError
from rq import Queue, Retry

from rq_leveldb import Redis
from tests.soak import jobs

BACKLOG = 40
"""Jobs in the queue above which nothing is enqueued: what is measured is not how long a queue can get."""
_LOOK = 8
_TELL = 0.5
_LARGE = 'x' * 50_000


def job_id(number: int) -> str:
    """Return the id of the job with this number."""
    return f'soak-{number}'


def enqueue(queue: Queue, number: int, ttl: int) -> None:
    """Enqueue the job with this number.

    Args:
        queue: where to.
        number: of the job.
        ttl: seconds for which an ended job is kept.
    """
    kind = jobs.kind_of(number)
    options: dict[str, Any] = {'job_id': job_id(number), 'result_ttl': ttl, 'failure_ttl': ttl}
    if kind == 'retried':
        options['retry'] = Retry(max=jobs.RETRIES, interval=1)
    arguments = (number, time.time(), _LARGE if kind == 'large' else '')
    if kind == 'scheduled':
        queue.enqueue_in(timedelta(seconds=1 + number % 5), jobs.run, *arguments, **options)
    else:
        queue.enqueue(jobs.run, *arguments, **options)


def serve(url: str, first: int, step: int, ttl: int, told: Connection, over: Event) -> None:
    """Enqueue the jobs `first`, `first + step` and so on until it is over.

    Args:
        url: the store.
        first: number of the first job.
        step: how many clients there are.
        ttl: seconds for which an ended job is kept.
        told: gets pairs: the numbers that were acknowledged, and how many seconds each took.
        over: set when enough was enqueued.
    """
    numbers: list[int] = []
    seconds: list[float] = []
    number = first
    tell_at = time.monotonic() + _TELL
    with Redis.from_url(url) as connection:
        queue = Queue(connection=connection)
        while not over.is_set():
            if time.monotonic() >= tell_at:
                told.send((numbers, seconds))
                numbers, seconds = [], []
                tell_at = time.monotonic() + _TELL
            try:
                if number // step % _LOOK == 0 and queue.count > BACKLOG:
                    over.wait(0.01)
                    continue
                started = time.perf_counter()
                enqueue(queue, number, ttl)
            except (ConnectionError, TimeoutError):
                # Its store was killed: the job may be there or not, and both are right.
                pass
            else:
                seconds.append(time.perf_counter() - started)
                numbers.append(number)
            number += step
    told.send((numbers, seconds))
    told.close()

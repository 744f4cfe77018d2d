"""The shop in the style of RQ 1.x: no connection is named anywhere. RQ itself no longer accepts this."""

from __future__ import annotations

from rq_leveldb import Queue, SimpleWorker, job


@job('bare')
def double(number: int) -> int:
    return number * 2


def triple(number: int) -> int:
    return number * 3


def run() -> list[int]:
    """Enqueues in both ways, works, and returns the results."""
    queue = Queue('bare')
    jobs = [double.delay(4), queue.enqueue(triple, 5), queue.enqueue('shop.bare.triple', 6)]
    SimpleWorker([queue]).work(burst=True, logging_level='ERROR')
    return [job.return_value(refresh=True) for job in jobs]

"""Functions that the tests of the command line run as jobs."""

from __future__ import annotations

from rq_leveldb import Queue, job


def add(left: int, right: int) -> int:
    return left + right


def fail() -> None:
    raise ValueError('on purpose')


def delay_another() -> str:
    return str(added.delay(2, 3).id)


def enqueue_another() -> str:
    return str(Queue().enqueue(add, 2, 3).id)


@job('default')
def added(x: int, y: int) -> int:
    return x + y

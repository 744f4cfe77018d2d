"""The shop's jobs, callbacks and handlers."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

from rq import Retry, get_current_job
from rq.decorators import job
from rq.job import Job

from shop.connection import connect

connection = connect()
journal = 'shop:journal'


class CardDeclined(Exception):
    """The payment provider said no."""


class Warehouse:
    """State travels with the job as a pickled instance."""

    def __init__(self, town: str) -> None:
        self.town = town

    def ship(self, parcel: str) -> str:
        return f'{parcel} from {self.town}'

    @classmethod
    def towns(cls) -> list[str]:
        return ['Graz', 'Linz']


def note(entry: str) -> None:
    """The shop's own use of the connection, next to RQ's."""
    connection.rpush(journal, entry)


def entries() -> list[str]:
    return [entry.decode() for entry in connection.lrange(journal, 0, -1)]


@job('default', connection=connection, timeout=60, result_ttl=300)
def price(quantity: int, each: int = 5) -> int:
    note(f'price {quantity}')
    return quantity * each


@job('mail', connection=connection, retry=Retry(max=2), meta={'kind': 'mail'}, description='a letter', at_front=True)
def mail(to: str) -> str:
    note(f'mail {to}')
    return f'mailed {to}'


def invoice(customer: str) -> dict[str, Any]:
    """Reads the results of what it depends on."""
    current = get_current_job(connection)
    assert current is not None
    parts = [dependency.return_value() for dependency in current.fetch_dependencies()]
    return {'customer': customer, 'total': sum(part for part in parts if part)}


def flaky(name: str, failures: int) -> str:
    """Fails the first times, as networks do."""
    tries = connection.incr(f'shop:tries:{name}')
    if tries <= failures:
        raise ConnectionError(f'try {tries} of {name}')
    return f'{name} after {tries}'


def try_again(name: str, failures: int) -> Any:
    """Asks for another try by its result instead of by an exception."""
    tries = connection.incr(f'shop:tries:{name}')
    return Retry(max=failures, interval=0) if tries <= failures else tries


def charge(card: str) -> str:
    if card == 'stolen':
        raise CardDeclined('no funds on \N{CREDIT CARD}')
    return f'charged {card}'


def progress(steps: int) -> int:
    current = get_current_job()
    assert current is not None
    for step in range(steps):
        current.meta['step'] = step + 1
        current.save_meta()
    return steps


def slow(seconds: float) -> None:
    """Announces that it runs, so that others need not guess."""
    current = get_current_job()
    assert current is not None
    connection.rpush(f'shop:running:{current.id}', 'yes')
    time.sleep(seconds)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_once(number: int) -> int:
    """For several workers at once: every number must come up exactly one time."""
    return int(connection.hincrby('shop:counted', str(number), 1))


async def fetch(page: str) -> str:
    await asyncio.sleep(0)
    return f'fetched {page}'


def echo(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs]


def nightly() -> str:
    note('nightly')
    return 'done'


def reserve(name: str, lock_timeout: float = 10) -> int:
    """Redis' own lock and a transaction with WATCH, as applications use them inside their jobs."""
    with connection.lock('shop:stock-lock', timeout=lock_timeout):

        def take(pipe: Any) -> None:
            left = int(pipe.hget('shop:stock', name) or 0)
            pipe.multi()
            pipe.hset('shop:stock', name, left - 1)

        connection.transaction(take, 'shop:stock')
    return int(connection.hget('shop:stock', name) or 0)


def celebrate(job: Job, connection: Any, result: Any, *args: Any, **kwargs: Any) -> None:
    note(f'success {job.id} {result}')


def console(job: Job, connection: Any, kind: Any, value: Any, traceback: Any) -> None:
    note(f'failure {job.id} {kind.__name__}')


def tidy_up(job: Job, connection: Any) -> None:
    note(f'stopped {job.id}')


def ask_the_boss(job: Job, kind: Any, value: Any, traceback: Any) -> bool:
    """An exception handler that ends the chain for declined cards only."""
    note(f'boss {job.id} {kind.__name__}')
    return kind is not CardDeclined


def second_handler(job: Job, kind: Any, value: Any, traceback: Any) -> bool:
    note(f'second {job.id}')
    return True


def bury(job: Job, pid: int, status: int, usage: Any) -> None:
    """Called by the worker when the process of a job was killed."""
    note(f'buried {job.id}')

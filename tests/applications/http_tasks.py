"""Functions that the tests enqueue over HTTP."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from rq import get_current_job
from rq.decorators import job


@job('default', connection=None)  # type: ignore[arg-type]
def add(x: int, y: int = 0) -> int:
    return x + y


def echo(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {'args': list(args), 'kwargs': kwargs}


def fail(message: str = 'no') -> None:
    raise ValueError(message)


def price() -> Decimal:
    return Decimal('1.50')


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount


def money() -> Money:
    return Money(7)


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def on_end(*args: Any) -> None:
    pass


def repeat(key: str) -> None:
    """Print what is pushed onto a list of the store, until that is `end`."""
    current = get_current_job()
    assert current is not None
    while (said := current.connection.blpop([key], timeout=60)) is not None and said[1] != b'end':
        print(said[1].decode(), flush=True)

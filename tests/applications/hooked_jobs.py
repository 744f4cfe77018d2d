"""Jobs with hooks, and functions that enqueue themselves: a worker that runs them needs our package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from rq_leveldb.delayed import handle_asynchronously
from rq_leveldb.resque import DontPerform


def note(notes: str, word: str) -> None:
    """Append a line to a file."""
    with open(notes, 'a') as file:
        file.write(word + '\n')


def noted(notes: Path) -> list[str]:
    """Return the lines that were written."""
    return notes.read_text().splitlines() if notes.exists() else []


class Logged:
    """Is a plugin: hooks that its subclasses inherit."""

    @classmethod
    def before_perform_log(cls, notes: str, what: str = '') -> None:
        note(notes, f'before {cls.__name__}')

    @staticmethod
    def on_failure_log(error: BaseException, notes: str, what: str = '') -> None:
        note(notes, f'on_failure {type(error).__name__}: {error}')


class Report(Logged):
    """Has every hook; `what` says where something happens."""

    queue = 'reports'

    @staticmethod
    def before_enqueue_check(notes: str, what: str = '') -> bool | None:
        note(notes, 'before_enqueue')
        return what != 'unwanted' and None

    @staticmethod
    def before_enqueue_last(notes: str, what: str = '') -> None:
        note(notes, 'before_enqueue last')

    @staticmethod
    def after_enqueue(notes: str, what: str = '') -> None:
        note(notes, 'after_enqueue')

    @staticmethod
    def before_perform(notes: str, what: str = '') -> None:
        note(notes, 'before first')
        if what == 'skip before':
            raise DontPerform

    @staticmethod
    def around_perform_a(notes: str, what: str = '') -> Iterator[None]:
        note(notes, 'a begins')
        try:
            yield
        finally:
            note(notes, 'a ends')

    @staticmethod
    def around_perform_b(notes: str, what: str = '') -> Iterator[None]:
        if what == 'skip around':
            raise DontPerform
        note(notes, 'b begins')
        try:
            yield
        except KeyError:
            note(notes, 'b forgives')
        note(notes, 'b ends')

    @staticmethod
    async def perform(notes: str, what: str = '') -> str:
        await asyncio.sleep(0)
        note(notes, 'perform')
        if what == 'fail':
            raise ValueError('as expected')
        if what == 'forgiven':
            raise KeyError(what)
        return 'done'

    @staticmethod
    def after_perform(notes: str, what: str = '') -> None:
        note(notes, 'after')
        if what == 'fail after':
            raise ValueError('too late')


class Both(Logged):
    """Is told twice what to do with a failure."""

    queue = 'reports'
    enqueue_options = {'on_failure': 'hooked_jobs.noted'}

    @staticmethod
    def perform(notes: str) -> None:
        """Do nothing."""


class Phone:
    """Has methods that enqueue themselves."""

    def __init__(self, number: str) -> None:
        self.number = number

    @handle_asynchronously
    def ring(self, times: int) -> str:
        """Ring."""
        return f'{self.number}: {"ring " * times}'.strip()

    @handle_asynchronously(queue=lambda phone: f'calls-{phone.number}', run_at=timedelta(hours=1), max_attempts=3)
    def call(self, other: Phone) -> str:
        return f'{self.number} calls {other.number}'

    @classmethod
    @handle_asynchronously
    def lookup(cls, number: str) -> Any:
        """Is decorated in the wrong order."""


class Mobile(Phone):
    """Inherits them."""


@handle_asynchronously(queue='sums', at_front=lambda: True)
def total(*numbers: int) -> int:
    return sum(numbers)

"""Progress of what takes long: a bar on a terminal, a line now and then in a pipe, both on standard error."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from typing import Any

import click

__all__ = ['Progress']

_SHOWN_AFTER = 2.0
"""Seconds after which there is a bar."""

_LINE_EVERY = 10.0
"""Seconds between two lines in a pipe."""


class Progress:
    """Shows nothing of what ends within two seconds; to be used as a context.

    Args:
        unit: what is counted, shown with the rate; empty if only the share that is done means something.
    """

    def __init__(self, unit: str = '') -> None:
        self._unit = unit
        self._started = time.monotonic()
        self._said = self._started
        self._stack = ExitStack()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def pause(self) -> None:
        """Take the bar away, so that something can be printed; the next call of `show` brings it back."""
        self._stack.close()
        self._bar = None
        self._tasks = {}

    def show(self, what: str, done: int, size: int) -> None:
        """Show how far it is.

        Args:
            what: is being done.
            done: how much of it is done.
            size: how much there is.
        """
        now = time.monotonic()
        if now - self._started < _SHOWN_AFTER:
            return
        if not sys.stderr.isatty():
            if now - self._said >= _LINE_EVERY:
                self._said = now
                far = f'{done:,} of {size:,} {self._unit}' if self._unit else f'{done / max(size, 1):.0%}'
                click.echo(f'{what}: {far}', err=True)
            return
        if self._bar is None:
            self._bar = self._stack.enter_context(self._new_bar())
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=size, rate='')
        task = self._tasks[what]
        speed = next((one.speed for one in self._bar.tasks if one.id == task), None)
        rate = f'{speed:,.0f} {self._unit}/s' if speed and self._unit else ''
        self._bar.update(task, completed=done, total=size, rate=rate)

    def _new_bar(self) -> Any:
        from rich import progress
        from rich.console import Console

        far = progress.MofNCompleteColumn() if self._unit else progress.TaskProgressColumn()
        return progress.Progress(
            progress.TextColumn('{task.description}'),
            progress.BarColumn(),
            far,
            progress.TextColumn('{task.fields[rate]}'),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )

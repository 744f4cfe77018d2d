"""The options of status --check. Reading them imports nothing unless they are given: status is to answer at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ['EPILOG', 'check_options']

EPILOG = """\b
For a monitoring system, with limits for a warning and for what is critical:
  rq-leveldb status --check
  rq-leveldb status --check --max-wait 5m,30m --max-failed 5,50 --within 10m
It prints one line and ends with 0 (all is well), 1 (warning) or 2 (critical),
as a plug-in of Nagios does. It is critical that a queue with jobs has no
worker, that all workers died, or that the store does not answer.
"""

_WITHIN = 900.0
"""Seconds."""

Command = TypeVar('Command', bound=Callable[..., Any])


def _seconds(text: str) -> float | None:
    from rq_leveldb.cli.checks import read_seconds

    return read_seconds(text)


def _within(context: click.Context, parameter: click.Parameter, value: str | None) -> float:
    if value is None:
        return _WITHIN
    try:
        return float(_seconds(value) or 0)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _limits(
    name: str, read: Callable[[str], float | None], unlimited: float, default: tuple[float, float], what: str
) -> Any:
    """Return the option of a limit for a warning and one for what is critical, or only the first.

    Args:
        name: of the option.
        read: reads one of them.
        unlimited: what stands for the second where there is none; the smaller number is the worse if it is negative.
        default: both.
        what: they are.
    """

    def convert(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, float]:
        if value is None:
            return default
        first, _, second = value.partition(',')
        try:
            warning = float(read(first) or 0)
            critical = float(read(second) or 0) if second else unlimited
        except ValueError as error:
            raise click.BadParameter(f'{error}; two limits look like those of the default') from error
        if warning > critical if unlimited > 0 else warning < critical:
            raise click.BadParameter(f'{value!r}: the first limit is that of a warning, and is reached first')
        return warning, critical

    return click.option(name, callback=convert, metavar='WARN,CRIT', help=what)


_OPTIONS = (
    click.option('--check', is_flag=True, help='Only say whether all is well, with the exit code.'),
    _limits('--max-wait', _seconds, math.inf, (600.0, 3600.0), 'How long a job may wait.  [default: 10m,1h]'),
    _limits('--max-failed', float, math.inf, (1.0, 10.0), 'How many jobs fail within --within.  [default: 1,10]'),
    click.option(
        '--within',
        callback=_within,
        metavar='DURATION',
        help='For how long a failed job counts.  [default: 15m]',
    ),
    _limits('--min-free', float, -math.inf, (10.0, 5.0), 'Percent of the disk that are free.  [default: 10,5]'),
)
"""The last four matter only with the first."""


def check_options(command: Command) -> Command:
    """Give a command the options.

    Args:
        command: takes `check`, and the fields of `status_check.Thresholds`.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    return command

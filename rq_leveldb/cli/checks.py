"""Checks of options for which RQ's own code would show a traceback: classes, log formats, durations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import click
from rq.job import validate_job_id
from rq.serializers import resolve_serializer
from rq.utils import import_attribute, import_job_class, import_worker_class, parse_timeout

from rq_leveldb.failed_import import describe
from rq_leveldb.process import most_processes

__all__ = ['check', 'read_seconds']

# RQ sets alarms with these, and adds them to the current time: 68 years.
_MOST_SECONDS = 2**31 - 1
# MiB that one of RQ's own workers takes at least.
_WORKER_SIZE = 16


def check(command: click.Command, values: Mapping[str, Any]) -> None:
    """Check that RQ will be able to read the values of a command's options.

    Args:
        command: whose options they are.
        values: by the options' names.

    Raises:
        BadParameter: one cannot be read.
    """
    for parameter in command.params:
        read = _READERS.get(parameter.name or '')
        given = values.get(parameter.name or '')
        if read is None or given is None:
            continue
        for value in given if isinstance(given, tuple | list) else (given,):
            try:
                read(value)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                said = str(error) if isinstance(error, ValueError) else describe(str(value), error)
                raise click.BadParameter(said, param_hint=parameter.opts[0]) from error


def _read_level(text: str) -> None:
    logging.Logger('').setLevel(text.upper())


def _read_timeout(text: str) -> None:
    if _read_time(text) == 0:
        raise ValueError('0 is not a valid time-out; use -1 for none')


def _read_lifetime(text: str) -> None:
    seconds = _read_time(text)
    if seconds is not None and seconds < 1:
        raise ValueError(f'{text} must be more than 0')


def read_seconds(text: str) -> int | None:
    """Return the seconds of a duration as RQ writes it, None for none.

    Args:
        text: such as 90, 10m or 2h.

    Raises:
        ValueError: it is no duration.
    """
    try:
        return parse_timeout(text)
    except Exception as error:
        raise ValueError(f'{text!r} is not a duration such as 90, 10m or 2h') from error


def _read_time(text: str) -> int | None:
    """Return the seconds of a duration that RQ gives to system calls and to the store, as `read_seconds`."""
    seconds = read_seconds(text)
    if seconds is not None and seconds > _MOST_SECONDS:
        raise ValueError(f'{text} is more than {_MOST_SECONDS:,} seconds; use -1 for no end')
    return seconds


def _read_delay(text: str) -> None:
    try:
        datetime.now() + timedelta(seconds=read_seconds(text) or 0)
    except OverflowError as error:
        raise ValueError(f'{text} is too far away') from error


def _read_moment(text: str) -> None:
    try:
        datetime.strptime(text, '%Y-%m-%dT%H:%M:%S')
    except ValueError as error:
        raise ValueError(f'{text!r} is not a local time such as 2030-12-31T23:59:00') from error


def _between(least: int, most: int = _MOST_SECONDS) -> Callable[[float], None]:
    def read(number: float) -> None:
        if number < least:
            raise ValueError(f'{number} must not be less than {least}')
        # Nor is nan.
        if not number <= most:
            raise ValueError(f'{number} must not be more than {most:,}')

    return read


def _read_workers(number: int) -> None:
    most = most_processes(_WORKER_SIZE)
    if number < 1:
        raise ValueError(f'{number} workers run no job: it must be 1 or more')
    if number > most:
        raise ValueError(f'not more than {most:,} workers fit into the memory of this machine')


def _read_module(text: str) -> None:
    if not text:
        raise ValueError('the name of a module is empty')


_READERS: Mapping[str, Callable[[Any], object]] = {
    'connection_class': import_attribute,
    'death_penalty_class': import_attribute,
    'exception_handler': import_attribute,
    'duration': _between(1),
    'failure_ttl': _read_time,
    'imports': _read_module,
    'interval': _between(0),
    'job_class': import_job_class,
    'job_id': validate_job_id,
    'job_monitoring_interval': _between(1),
    'log_format': logging.Formatter,
    'logging_level': _read_level,
    'maintenance_interval': _between(0),
    'max_idle_time': _between(0),
    'max_jobs': _between(1),
    'num_workers': _read_workers,
    'queue_class': import_attribute,
    'result_ttl': _read_time,
    'results_ttl': _between(-1),
    'retry_interval': _between(0),
    'retry_max': _between(0),
    'schedule_at': _read_moment,
    'schedule_in': _read_delay,
    'serializer': resolve_serializer,
    'timeout': _read_timeout,
    'ttl': _read_lifetime,
    'worker_class': import_worker_class,
    'worker_ttl': _between(1),
}

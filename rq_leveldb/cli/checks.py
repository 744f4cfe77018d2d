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

__all__ = ['check', 'read_seconds']


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
    if read_seconds(text) == 0:
        raise ValueError('0 is not a valid time-out; use -1 for none')


def _read_lifetime(text: str) -> None:
    if (read_seconds(text) or 1) < 1:
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


def _read_interval(seconds: int) -> None:
    if seconds < 0:
        raise ValueError(f'{seconds} must not be less than 0')


def _read_module(text: str) -> None:
    if not text:
        raise ValueError('the name of a module is empty')


_READERS: Mapping[str, Callable[[Any], object]] = {
    'connection_class': import_attribute,
    'death_penalty_class': import_attribute,
    'exception_handler': import_attribute,
    'failure_ttl': read_seconds,
    'imports': _read_module,
    'job_class': import_job_class,
    'job_id': validate_job_id,
    'log_format': logging.Formatter,
    'logging_level': _read_level,
    'queue_class': import_attribute,
    'result_ttl': read_seconds,
    'retry_interval': _read_interval,
    'retry_max': _read_interval,
    'schedule_at': _read_moment,
    'schedule_in': _read_delay,
    'serializer': resolve_serializer,
    'timeout': _read_timeout,
    'ttl': _read_lifetime,
    'worker_class': import_worker_class,
}

"""The settings of the HTTP front, and the environment variable of each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rq_leveldb.errors import StoreError
from rq_leveldb.http_address import DEFAULT_ADDRESS

__all__ = ['MOST_PROCESSES', 'MOST_THREADS', 'BadSetting', 'HttpSettings', 'variable']

MOST_THREADS = 10_000
"""Most requests that a process may be told to serve at a time."""

MOST_PROCESSES = 1000
"""Most processes that may be told to serve; each takes some 40 MB."""


class BadSetting(StoreError, ValueError):
    """An environment variable or option that cannot be understood."""

    default_title = 'This setting cannot be understood'


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(',', ' ').split())


def _flag(text: str) -> bool:
    value = text.strip().lower()
    if value in ('1', 'yes', 'true', 'on'):
        return True
    if value in ('', '0', 'no', 'false', 'off'):
        return False
    raise ValueError('write 1 or 0')


_MOST_DIGITS = 20


def _count(text: str) -> int:
    value = text.strip()
    # Python does not read thousands of digits.
    if not value.isascii() or not value.isdigit() or len(value) > _MOST_DIGITS or not int(value):
        raise ValueError('write a whole number above zero')
    return int(value)


def _at_most(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        count = _count(text)
        if count > most:
            raise ValueError(f'write a whole number from 1 to {most:,}')
        return count

    return read


def _setting(variable: str, read: Callable[[str], Any], default: Any) -> Any:
    return field(default=default, metadata={'variable': variable, 'read': read})


@dataclass(frozen=True)
class HttpSettings:
    """The settings of the HTTP front; each can also be given by its environment variable.

    Args:
        address: `host:port`, `:port` (loopback) or `unix:path`. RQ_LEVELDB_HTTP
        token: the bearer token; None takes the one in the data directory. RQ_LEVELDB_HTTP_TOKEN
        token_file: the file that the token is kept in; None takes the one in the data directory. It is made if it does
            not exist. RQ_LEVELDB_HTTP_TOKEN_FILE
        open: require no token; only on loopback or a unix socket. RQ_LEVELDB_HTTP_OPEN
        imports: modules to import; functions with `@job` in them may be enqueued. RQ_LEVELDB_IMPORT
        allow: patterns of further functions that may be enqueued. RQ_LEVELDB_ALLOW
        hosts: names by which this service is reached, besides localhost and IP addresses. RQ_LEVELDB_HTTP_HOSTS
        origins: web origins whose pages may use this service (CORS); none by default. RQ_LEVELDB_HTTP_ORIGINS
        serializer: RQ's serializer of the jobs: `pickle`, `json` or the name of a class. RQ_LEVELDB_SERIALIZER
        threads: requests that are served at a time. RQ_LEVELDB_HTTP_THREADS
        processes: processes that serve. RQ_LEVELDB_HTTP_PROCESSES
        max_body: largest request body, bytes. RQ_LEVELDB_HTTP_MAX_BODY
        head_seconds: longest time for a request's head to arrive, from its first byte. RQ_LEVELDB_HTTP_HEAD_SECONDS
        body_seconds: longest time for its body to arrive after that. RQ_LEVELDB_HTTP_BODY_SECONDS
        max_per_address: most connections of one address at a time. RQ_LEVELDB_HTTP_MAX_PER_ADDRESS
        max_batch: most jobs in one request. RQ_LEVELDB_HTTP_MAX_BATCH
        max_wait: longest wait for a result, seconds. RQ_LEVELDB_HTTP_MAX_WAIT
        max_waiting: most requests that wait for results at a time. RQ_LEVELDB_HTTP_MAX_WAITING
        max_streams: most event streams at a time. RQ_LEVELDB_HTTP_MAX_STREAMS
        max_value: largest stored value (arguments, result) that is decoded for showing, bytes.
            RQ_LEVELDB_HTTP_MAX_VALUE
        access_log: log every request. RQ_LEVELDB_HTTP_ACCESS_LOG
    """

    address: str = _setting('RQ_LEVELDB_HTTP', str, DEFAULT_ADDRESS)
    token: str | None = _setting('RQ_LEVELDB_HTTP_TOKEN', str, None)
    token_file: str | None = _setting('RQ_LEVELDB_HTTP_TOKEN_FILE', str, None)
    open: bool = _setting('RQ_LEVELDB_HTTP_OPEN', _flag, False)
    imports: tuple[str, ...] = _setting('RQ_LEVELDB_IMPORT', _words, ())
    allow: tuple[str, ...] = _setting('RQ_LEVELDB_ALLOW', _words, ())
    hosts: tuple[str, ...] = _setting('RQ_LEVELDB_HTTP_HOSTS', _words, ())
    origins: tuple[str, ...] = _setting('RQ_LEVELDB_HTTP_ORIGINS', _words, ())
    serializer: str = _setting('RQ_LEVELDB_SERIALIZER', str, 'pickle')
    threads: int = _setting('RQ_LEVELDB_HTTP_THREADS', _at_most(MOST_THREADS), 24)
    processes: int = _setting('RQ_LEVELDB_HTTP_PROCESSES', _at_most(MOST_PROCESSES), 1)
    max_body: int = _setting('RQ_LEVELDB_HTTP_MAX_BODY', _count, 8 * 1024 * 1024)
    head_seconds: int = _setting('RQ_LEVELDB_HTTP_HEAD_SECONDS', _count, 10)
    body_seconds: int = _setting('RQ_LEVELDB_HTTP_BODY_SECONDS', _count, 30)
    max_per_address: int = _setting('RQ_LEVELDB_HTTP_MAX_PER_ADDRESS', _count, 400)
    max_batch: int = _setting('RQ_LEVELDB_HTTP_MAX_BATCH', _count, 1000)
    max_wait: int = _setting('RQ_LEVELDB_HTTP_MAX_WAIT', _count, 60)
    max_waiting: int = _setting('RQ_LEVELDB_HTTP_MAX_WAITING', _count, 8)
    max_streams: int = _setting('RQ_LEVELDB_HTTP_MAX_STREAMS', _count, 8)
    max_value: int = _setting('RQ_LEVELDB_HTTP_MAX_VALUE', _count, 1024 * 1024)
    access_log: bool = _setting('RQ_LEVELDB_HTTP_ACCESS_LOG', _flag, False)

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, **given: Any) -> HttpSettings:
        """Return the settings: those given, else from the environment, else the defaults.

        Args:
            environ: environment variables; an empty one counts as not set.
            given: settings by name; None and () count as not given.

        Raises:
            BadSetting: a variable does not hold what it should.
        """
        values = {name: value for name, value in given.items() if value is not None and value != ()}
        for item in fields(cls):
            name = item.metadata['variable']
            text = environ.get(name, '')
            if item.name in values or not text:
                continue
            try:
                values[item.name] = item.metadata['read'](text)
            except ValueError as error:
                raise BadSetting(f'{name}={text}', advice=f'{str(error).capitalize()}.') from error
        return cls(**values)


def variable(name: str) -> str:
    """Return the environment variable of a setting.

    Args:
        name: the setting's name in `HttpSettings`.
    """
    return str(HttpSettings.__dataclass_fields__[name].metadata['variable'])

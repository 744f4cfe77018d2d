"""Make the place of a connection the default for a process and its children."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from redis.connection import SSLConnection, UnixDomainSocketConnection

from rq_leveldb.client.connection import SocketPath
from rq_leveldb.location import DEFAULT_IDLE, URL_VARIABLES, configured_url

__all__ = ['default_place', 'url_of']


def url_of(connection: Any) -> str | None:
    """Return the URL of a client's place; None if no URL can express it, as with Sentinels.

    Args:
        connection: a redis.Redis.
    """
    pool = connection.connection_pool
    options = pool.connection_kwargs
    path = options.get('path')
    db = options.get('db') or 0
    if isinstance(path, SocketPath):
        # The client's options do not belong to the place, and the number of the database is not in the path.
        return replace(path.location, db=db, idle=DEFAULT_IDLE, extra={}).url
    user, password = options.get('username') or '', options.get('password') or ''
    login = f'{quote(user, safe="")}:{quote(password, safe="")}@' if user or password else ''
    if issubclass(pool.connection_class, UnixDomainSocketConnection) and path:
        return f'unix://{login}{quote(str(path))}?{urlencode({"db": db})}'
    host = options.get('host')
    if not host or 'connection_pool' in options:
        return None
    is_tls = issubclass(pool.connection_class, SSLConnection)
    query = {name: value for name, value in options.items() if name.startswith('ssl_') and isinstance(value, str)}
    name = f'[{host}]' if ':' in host else host
    return (
        f'{"rediss" if is_tls else "redis"}://{login}{name}:{options.get("port", 6379)}/{db}'
        f'{"?" if query and is_tls else ""}{urlencode(query) if is_tls else ""}'
    )


@contextmanager
def default_place(connection: Any) -> Iterator[None]:
    """Make a client's place the default, unless the environment names one.

    Args:
        connection: a redis.Redis.
    """
    url = url_of(connection)
    if url is None or configured_url() is not None:
        yield
        return
    os.environ[URL_VARIABLES[0]] = url
    try:
        yield
    finally:
        os.environ.pop(URL_VARIABLES[0], None)

"""Keep a store running for clients that cannot start one, because all they know is its URL."""

from __future__ import annotations

import _thread
import contextlib
import dataclasses
import inspect
import logging
import os
import signal
import threading
import time
from functools import cache
from typing import cast
from urllib.parse import urlencode

from redis.exceptions import RedisError

from rq_leveldb.client.connection import StoreConnection, connection_options
from rq_leveldb.client.options import for_store
from rq_leveldb.client.pool import StorePool
from rq_leveldb.location import Location, configured_url, is_redis_url, parse

__all__ = ['KEEPER_THREAD', 'Keeper', 'socket_url', 'unix_url']

logger = logging.getLogger(__name__)

KEEPER_THREAD = 'rq-leveldb keeper'
"""The name of a keeper's thread. It holds no lock except while it starts a store."""

# Seconds between two attempts to start a store.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0


class Keeper:
    """Keeps the store of a place running for as long as this process lives.

    It holds a connection, so the store does not exit for want of clients. A thread waits for the end of that connection
    and connects again, which starts the store. Both are shared with processes that are forked later: these inherit the
    connection and wait for its end too, since they may outlive this process. Programs that are started inherit neither.

    Where gevent or eventlet has replaced threads, a forked process only inherits the connection: there is no loop yet
    that could run another thread.

    Args:
        location: the place; its database number and further options do not matter.

    Raises:
        StoreUnavailable: there is no store and none can be started.
    """

    def __init__(self, location: Location) -> None:
        self._directory = location.directory
        pool = StorePool(**connection_options(location, {'client_name': 'keeper'}))
        self._connection = cast(StoreConnection, pool.make_connection())
        self._connection.connect()
        threading.Thread(target=self._keep, name=KEEPER_THREAD, daemon=True).start()
        os.register_at_fork(after_in_child=self._start_in_child)

    def _start_in_child(self) -> None:
        if _has_real_threads():
            # There may be no room for a thread. The process that forked has one as well.
            with contextlib.suppress(RuntimeError):
                # Not a Thread, which would wait until it runs: a worker forks a process for every job.
                _thread.start_new_thread(self._keep, ())

    def _keep(self) -> None:
        if _has_real_threads():
            # They are for the application, which may wait for them with sigwait(3).
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while True:
            if self._connection.is_connected:
                self._connection.wait_for_news()
                self._connection.disconnect()
            self._connect_again()

    def _connect_again(self) -> None:
        pause = _FIRST_PAUSE
        told = ''
        while True:
            # Whoever has removed the directory does not want it back. A store that is there again is kept again.
            if self._directory.path.exists():
                try:
                    self._connection.connect()
                    return
                except (RedisError, OSError) as error:
                    if str(error) != told:
                        told = str(error)
                        logger.warning('the store cannot be started again, trying on: %s', error)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


def _has_real_threads() -> bool:
    """Return whether threads are the system's, and not what gevent or eventlet has put in their place."""
    return inspect.isbuiltin(_thread.start_new_thread)


def unix_url(url: str | None = None) -> str:
    """Return the unix:// URL of a store for clients of Redis; it runs for as long as this process lives.

    The store is started if it is not running, and started again when it was killed. For a tool that takes nothing but
    the URL of a Redis server; `Redis` needs none of this.

    Args:
        url: `leveldb:///dir`, as for Redis.from_url; None for the configured place. If it is the URL of a real server
            it is returned as it is, and nothing is kept: the same settings then run on Redis.

    Returns:
        A URL that redis.Redis.from_url takes. The path in it does not change.

    Raises:
        BadAddress: the URL names no place, or the path of the socket is too long for other clients.
        StoreUnavailable: there is no store and none can be started.
    """
    url = url or configured_url()
    if url is not None and is_redis_url(url):
        return url
    location = parse(url)
    address = socket_url(location)
    _keeper(dataclasses.replace(location, db=0, extra={}).url)
    return address


def socket_url(location: Location) -> str:
    """Return the unix:// URL of a place, whether or not a store is running there.

    Args:
        location: the place.

    Raises:
        BadAddress: as `unix_url`.
    """
    address = location.directory.socket_url
    names = ('db', *location.extra)
    # An option that is off is left out: redis-py takes any word for true.
    query = {name: value for name, value in for_store(location, {}).items() if name in names and value}
    return f'{address}{"?" if query else ""}{urlencode(query)}'


@cache
def _keeper(url: str) -> Keeper:
    return Keeper(parse(url))

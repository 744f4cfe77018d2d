"""The client for asyncio: redis.asyncio's own, over a connection to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import redis.asyncio
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from rq_leveldb.client import autostart
from rq_leveldb.client.connection import SocketPath, configured_pool, connection_options
from rq_leveldb.client.older_redis_py import NO_SETINFO, AsyncUnixConnection
from rq_leveldb.client.options import warn_of_unused
from rq_leveldb.client.retry import Progress, StoreUnavailable, unavailable
from rq_leveldb.errors import DurabilityMismatch, StoreError
from rq_leveldb.location import DataDirectory, Location, is_redis_url, parse

__all__ = ['AsyncRedis', 'AsyncStoreConnection', 'AsyncUnsentRetry']

R = TypeVar('R', bound='AsyncRedis')
T = TypeVar('T')


class AsyncUnsentRetry(Retry):
    """The counterpart of `rq_leveldb.client.retry.UnsentRetry` for asyncio.

    Args:
        progress: the connection's.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(NoBackoff(), 1)
        self._progress = progress

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[T]],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Call `do`, and once more if it failed before it sent anything; arguments as redis.asyncio.retry.Retry."""
        progress = self._progress
        for attempt in (1, 2):
            progress.sent = False
            try:
                return await do()
            except self._supported_errors as error:
                if is_retryable and not is_retryable(error):
                    raise
                last = attempt == 2 or progress.sent or isinstance(error, StoreUnavailable)
                await (fail(error, 2 if last else 1) if with_failure_count else fail(error))
                if last:
                    raise
        raise AssertionError('the second attempt returns or raises')


class AsyncStoreConnection(AsyncUnixConnection):
    """A connection to the store, which is started if none is running.

    Args:
        path: the store's socket: a `SocketPath`, or a plain string for the default options.
        options: as redis.asyncio.connection.UnixDomainSocketConnection, except those about retries.
    """

    def __init__(self, *, path: str = '', **options: Any) -> None:
        for name in ('retry', 'retry_on_error', 'retry_on_timeout'):
            options.pop(name, None)
        options.update(NO_SETINFO)
        super().__init__(path=path, **options)
        self._location = path.location if isinstance(path, SocketPath) else Location(DataDirectory(Path(path).parent))
        self._progress = Progress()
        self.retry = AsyncUnsentRetry(self._progress)

    async def _connect(self) -> None:
        # In a thread, since a store may have to be started, which takes a fraction of a second.
        sock = await asyncio.to_thread(autostart.connect, self._location, self.socket_connect_timeout)
        sock.setblocking(False)
        self._reader, self._writer = await asyncio.open_unix_connection(sock=sock)

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect, and replace a running store of an older version; arguments as redis-py."""
        if self.is_connected:
            return
        await self._connect_once(check_health, retry_socket_connect)
        metadata: Mapping[Any, Any] = getattr(self, 'handshake_metadata', None) or {}
        version = metadata.get(b'rq_leveldb_version', metadata.get('rq_leveldb_version'))
        if not autostart.must_be_replaced(self._location.directory, version):
            return
        await self.disconnect()
        try:
            await asyncio.to_thread(autostart.replace, self._location)
        except StoreError as error:
            raise unavailable(error) from error
        await self._connect_once(check_health, retry_socket_connect)

    async def _connect_once(self, check_health: bool, retry_socket_connect: bool) -> None:
        try:
            await super().connect_check_health(check_health, retry_socket_connect)
        except redis.exceptions.ConnectionError as error:
            # redis-py wraps whatever connecting raises.
            if isinstance(error.__cause__, StoreError):
                raise unavailable(error.__cause__) from error.__cause__
            raise

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Shake hands, and check that the store is as durable as the URL asks for; arguments as redis-py."""
        sent = self._progress.sent
        try:
            await super().on_connect_check_health(check_health)
            if self._location.fsync == 'always':
                await self.send_command('CONFIG', 'SET', 'appendfsync', 'always', check_health=False)
                await self.read_response()
        except ResponseError as error:
            raise unavailable(DurabilityMismatch(self._location.url)) from error
        finally:
            # The handshake may be repeated on another socket: nothing from the user was sent.
            self._progress.sent = sent

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        """Send packed pieces, noting that they were handed over; arguments and errors as redis-py."""
        progress = self._progress
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health and self.health_check_interval:
            sent = progress.sent
            await self.check_health()
            progress.sent = sent
        # A transport accepts everything at once, and reports only later that the other side is gone.
        progress.sent = True
        await super().send_packed_command(command, check_health=False)


class AsyncRedis(redis.asyncio.Redis):
    """redis.asyncio.Redis on the store.

    Args:
        host, port, password: accepted and not used, as by `rq_leveldb.Redis`.
        db: number of the logical database, 0 to 15; 0 means the one that the configured URL names.
        options: as redis.asyncio.Redis.

    Raises:
        BadAddress: the configured URL names no place.
    """

    def __init__(self, *, db: int = 0, **options: Any) -> None:
        if options.get('connection_pool') is not None:
            super().__init__(db=db, **options)
            return
        pool = configured_pool({**options, 'db': db}, ConnectionPool, _pool)
        super().__init__(connection_pool=pool, single_connection_client=options.get('single_connection_client', False))
        self.auto_close_connection_pool = True

    @classmethod
    def from_url(
        cls: type[R],
        url: str,
        single_connection_client: bool = False,
        auto_close_connection_pool: bool | None = None,
        **options: Any,
    ) -> R:
        """Return a client for a URL; arguments and errors as `rq_leveldb.Redis.from_url`."""
        if is_redis_url(url):
            return cast(R, super().from_url(url, single_connection_client, auto_close_connection_pool, **options))
        warn_of_unused(options)
        pool = _pool(**connection_options(parse(url), options))
        client = cls(connection_pool=pool, single_connection_client=single_connection_client)
        client.auto_close_connection_pool = auto_close_connection_pool is not False
        return client


def _pool(**options: Any) -> ConnectionPool:
    return ConnectionPool(**{**options, 'connection_class': AsyncStoreConnection})

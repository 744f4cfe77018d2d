"""The synchronous client: redis-py's own, over a connection to the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from socket import MSG_DONTWAIT, socket
from typing import Any, TypeVar, cast

import redis
from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from rq_leveldb.client import autostart
from rq_leveldb.client.older_redis_py import NO_SETINFO, UnixConnection
from rq_leveldb.client.options import for_server, for_store, name_positional, warn_of_place, warn_of_unused
from rq_leveldb.client.pipeline import Pipeline, RepliesParser
from rq_leveldb.client.pool import StorePool
from rq_leveldb.client.readiness import wait, watch
from rq_leveldb.client.retry import Progress, UnsentRetry, unavailable
from rq_leveldb.errors import DurabilityMismatch, StoreError
from rq_leveldb.location import DataDirectory, Location, configured_url, is_redis_url, parse

__all__ = ['Redis', 'SocketPath', 'StoreConnection', 'configured_pool', 'connection_options']

R = TypeVar('R', bound='Redis')


class SocketPath(str):
    """The path of a store's socket, which also knows its place.

    A string, because RQ carries a connection's keyword arguments into other processes as `repr` or pickle, and its
    SpawnWorker hands `path` to redis.Redis.

    Args:
        location: the place; its database number is not kept.
    """

    location: Location

    def __new__(cls, location: Location) -> SocketPath:
        """Return the path of the socket in the place's directory."""
        path = super().__new__(cls, location.directory.socket)
        path.location = location
        return path

    def __reduce__(self) -> tuple[object, ...]:
        return SocketPath, (self.location,)


class StoreConnection(UnixConnection):
    """A connection to the store, which is started if none is running.

    Args:
        path: the store's socket: a `SocketPath`, or a plain string for the default options.
        options: as redis.connection.UnixDomainSocketConnection, except those about retries, which follow `UnsentRetry`.
    """

    def __init__(self, path: str = '', **options: Any) -> None:
        for name in ('retry', 'retry_on_error', 'retry_on_timeout'):
            options.pop(name, None)
        # Without CLIENT SETINFO a connection costs two round trips less, and each job's process opens one.
        options.update(NO_SETINFO)
        options.setdefault('parser_class', RepliesParser)
        super().__init__(path=path, **options)
        self._location = path.location if isinstance(path, SocketPath) else Location(DataDirectory(Path(path).parent))
        self._progress = Progress()
        self.retry = UnsentRetry(self._progress)
        self._is_readable: Callable[[], bool] = lambda: False
        self._is_introduced = False  # over the present socket

    def has_news(self) -> bool:
        """Return whether the store has gone, or has sent something that nobody is waiting for; only while connected."""
        if self._is_readable():
            return True
        return isinstance(self._parser, RepliesParser) and bool(self._parser.has_replies())

    def wait_for_news(self) -> None:
        """Wait until the store has gone, or has sent something that nobody is waiting for; only while connected."""
        sock: Any = self._sock
        wait(sock)

    def _connect(self) -> socket:
        try:
            sock = autostart.connect(self._location, self.socket_connect_timeout)
        except StoreError as error:
            raise unavailable(error) from error
        except BlockingIOError as error:
            raise TimeoutError(str(error)) from error
        sock.settimeout(self.socket_timeout)
        self._is_readable = watch(sock)
        self._is_introduced = False
        return sock

    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        """Connect, and replace a running store of an older version; arguments as redis-py."""
        if self._sock is not None:
            return
        super().connect_check_health(check_health, retry_socket_connect)
        metadata: Mapping[Any, Any] = self.handshake_metadata or {}
        version = metadata.get(b'rq_leveldb_version', metadata.get('rq_leveldb_version'))
        if not autostart.must_be_replaced(self._location.directory, version):
            return
        self.disconnect()
        try:
            autostart.replace(self._location)
        except StoreError as error:
            raise unavailable(error) from error
        super().connect_check_health(check_health, retry_socket_connect)

    def on_connect_check_health(self, check_health: bool = True) -> None:
        """Shake hands, and check that the store is as durable as the URL asks for; arguments as redis-py."""
        sent = self._progress.sent
        try:
            super().on_connect_check_health(check_health)
            if self._location.fsync == 'always':
                self._demand_fsync()
            elif int(self.protocol) == 2:
                # A store that is being killed still accepts connections for a moment. If the handshake asked nothing,
                # only the user's command would notice that, and it must not be sent twice.
                self.send_command('PING', check_health=False)
                self.read_response()
            self._is_introduced = True
        finally:
            # The handshake may be repeated on another socket: nothing from the user was sent.
            self._progress.sent = sent

    def _demand_fsync(self) -> None:
        self.send_command('CONFIG', 'SET', 'appendfsync', 'always', check_health=False)
        try:
            self.read_response()
        except ResponseError as error:
            raise unavailable(DurabilityMismatch(self._location.url)) from error

    def send_packed_command(self, command: Iterable[bytes] | str, check_health: bool = True) -> None:
        """Send packed pieces, noting whether anything was handed over; arguments and errors as redis-py."""
        progress = self._progress
        if self._sock is None:
            self.connect_check_health(check_health=False)
        if check_health and self.health_check_interval:
            sent = progress.sent
            self.check_health()
            progress.sent = sent
        sock: Any = self._sock
        pieces: Iterable[bytes] = (command.encode(),) if isinstance(command, str) else command
        try:
            for piece in pieces:
                count = sock.send(piece)
                progress.sent = True
                if count < len(piece):
                    # Not sendall: its time-out covers all of the data, while a store that keeps reading is fine.
                    rest = memoryview(piece)[count:]
                    while rest:
                        rest = rest[sock.send(rest) :]
        except TimeoutError:
            self.disconnect()
            raise RedisTimeoutError('Timeout writing to socket') from None
        except OSError as error:
            words = '' if self._is_introduced else _last_words(sock)
            self.disconnect()
            raise RedisConnectionError(
                words or f'Error {error.errno} while writing to socket. {error.strerror}.'
            ) from error
        except BaseException:
            # A signal may have come between two pieces, and the rest would be taken for the next command.
            self.disconnect()
            raise


def _last_words(sock: socket) -> str:
    """Return why the store has hung up on a new connection, if it said so."""
    with contextlib.suppress(OSError):
        said = sock.recv(4096, MSG_DONTWAIT)
        if said.startswith(b'-'):
            return said[1:].partition(b'\r\n')[0].removeprefix(b'ERR ').decode('utf-8', 'replace')
    return ''


class Redis(redis.Redis):
    """redis.Redis on the store.

    Args:
        host, port: accepted but not used, so that changing an import is enough; a warning says so once.
        db: number of the logical database, 0 to 15; 0 means the one that the configured URL names.
        password: as host.
        options: as redis.Redis. `RQ_LEVELDB_URL`, else `RQ_REDIS_URL`, else the default directory is the place.
            If it is a real Redis server (redis://, rediss://, unix://), this is a client of that server.

    Raises:
        BadAddress: the configured URL names no place.
    """

    def __init__(
        self,
        host: str = 'localhost',
        port: int = 6379,
        db: int = 0,
        password: str | None = None,
        *further: Any,
        **options: Any,
    ) -> None:
        options.update(name_positional('socket_timeout', further))
        if options.get('connection_pool') is None:
            options.pop('connection_pool', None)
            options.update(host=host, port=port, db=db, password=password)
            pool = configured_pool(options, ConnectionPool, StorePool)
            super().__init__(
                connection_pool=pool, single_connection_client=options.get('single_connection_client', False)
            )
            self.auto_close_connection_pool = True
        else:
            super().__init__(host, port, db, password, **options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command and return its reply; arguments and errors as redis.Redis, without its metrics."""
        pool = self.connection_pool
        if self.connection is not None or not isinstance(pool, StorePool):
            return super().execute_command(*args, **options)
        connection = pool.get_connection()

        def execute() -> Any:
            connection.send_command(*args, **options)
            return self.parse_response(connection, args[0], **options)

        try:
            return connection.retry.call_with_retry(execute, lambda error: connection.disconnect())
        finally:
            pool.release(connection)

    def pipeline(self, transaction: bool = True, shard_hint: object = None) -> Pipeline:
        """Return a pipeline; arguments as redis.Redis."""
        return Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    @classmethod
    def from_url(cls: type[R], url: str, **options: Any) -> R:
        """Return a client for a URL.

        Args:
            url: `leveldb:///dir?db=1&fsync=always&idle=60`, with further options of redis.Redis; or redis://,
                rediss://, unix:// for a real server.
            options: as redis.Redis; those in the URL win.

        Raises:
            BadAddress: the URL names no place, or has an option that does not apply to a store.
        """
        if is_redis_url(url):
            return cast(R, super().from_url(url, **options))
        single = options.pop('single_connection_client', False)
        warn_of_unused(options)
        pool = StorePool(**connection_options(parse(url), options))
        client = cls(connection_pool=pool, single_connection_client=single)
        client.auto_close_connection_pool = True
        return client


def configured_pool(options: dict[str, Any], server_pool: Any, store_pool: Callable[..., Any]) -> Any:
    """Return a connection pool to the configured place.

    Args:
        options: of redis.Redis, with `db`.
        server_pool: class of the pool to a real server.
        store_pool: makes the pool to a store, with what `connection_options` returns.

    Raises:
        BadAddress, TypeError: as `connection_options`.
    """
    url = configured_url()
    if url is None or not is_redis_url(url):
        warn_of_unused(options, depth=4)
        return store_pool(**connection_options(parse(url), options))
    warn_of_place(options, url)
    pool = server_pool.from_url(url, **for_server(url, options))
    if options['db']:
        # In redis-py the URL wins; here the code wins, whatever the URL names.
        pool.connection_kwargs['db'] = options['db']
    return pool


def connection_options(location: Location, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return keyword arguments for a connection pool to a place.

    Only arguments that redis.Redis itself has, with values that survive `repr`: RQ rebuilds connections from them.

    Args:
        location: the place.
        options: of redis.Redis; those that do not apply to a store are left out.

    Raises:
        BadAddress, TypeError: as `options.for_store`.
    """
    kept = for_store(location, options)
    return {**kept, 'path': SocketPath(location), 'connection_class': StoreConnection, **NO_SETINFO}

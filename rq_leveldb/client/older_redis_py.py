"""What redis-py 8 has and older versions back to 5.0.1 lack; the rest of the client relies on it."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any

import redis.asyncio.connection
from redis.connection import AbstractConnection, ConnectionPool, UnixDomainSocketConnection
from redis.exceptions import ConnectionError, TimeoutError

__all__ = ['NO_SETINFO', 'UNUSED_NAME', 'AsyncUnixConnection', 'UnixConnection']

_AsyncConnection = redis.asyncio.connection.UnixDomainSocketConnection

# Options of a connection that does not introduce its library with CLIENT SETINFO.
NO_SETINFO: Mapping[str, None] = (
    {'driver_info': None}
    if 'driver_info' in signature(AbstractConnection.__init__).parameters
    else {'lib_name': None, 'lib_version': None}
)

# An argument that ConnectionPool.get_connection requires and does not use.
UNUSED_NAME: tuple[str, ...] = (
    ('_',) if signature(ConnectionPool.get_connection).parameters['command_name'].default is Parameter.empty else ()
)


class UnixConnection(UnixDomainSocketConnection):
    """redis.connection.UnixDomainSocketConnection as in redis-py 8; arguments as there."""

    if not hasattr(UnixDomainSocketConnection, 'connect_check_health'):
        # Before 6.3.
        handshake_metadata: Any = None

        def __init__(self, path: str = '', socket_timeout: float | None = None, **options: Any) -> None:
            super().__init__(path=path, **options)
            # 5.0 forgets it.
            self.socket_timeout = socket_timeout
            # Clients ask this list before they repeat a command as the connection's rule says.
            self.retry_on_error = [ConnectionError, TimeoutError]  # type: ignore[list-item]

        def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
            """Connect; both arguments are ignored there."""
            UnixDomainSocketConnection.connect(self)

        def on_connect(self) -> None:
            """Shake hands."""
            self.on_connect_check_health()

        def on_connect_check_health(self, check_health: bool = True) -> None:
            """Shake hands; the argument is ignored there."""
            UnixDomainSocketConnection.on_connect(self)

    if not hasattr(UnixDomainSocketConnection, 'should_reconnect'):
        # Before 7.
        def should_reconnect(self) -> bool:
            """Return whether the connection is to be closed after its command."""
            return False

    if not hasattr(UnixDomainSocketConnection, 'is_connected'):
        # Before 8, where a handshake that fails is tried once more as well.
        def connect(self) -> None:
            """Connect."""
            self.retry.call_with_retry(self.connect_check_health, lambda error: self.disconnect())

        @property
        def is_connected(self) -> bool:
            """Whether the connection has a socket."""
            return self._sock is not None


class AsyncUnixConnection(_AsyncConnection):
    """redis.asyncio.connection.UnixDomainSocketConnection as in redis-py 8; arguments as there."""

    if not hasattr(_AsyncConnection, 'connect_check_health'):

        async def connect(self) -> None:
            """Connect."""
            await self.connect_check_health()

        async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
            """Connect; both arguments are ignored there."""
            await _AsyncConnection.connect(self)

        async def on_connect(self) -> None:
            """Shake hands."""
            await self.on_connect_check_health()

        async def on_connect_check_health(self, check_health: bool = True) -> None:
            """Shake hands; the argument is ignored there."""
            await _AsyncConnection.on_connect(self)

"""Learning without a thread, and without blocking, that there is work or that somebody gives a command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import PubSub

    from .loop import Loop

__all__ = ['CommandWatch', 'QueueWatch']


class QueueWatch:
    """Says when a queue is no longer empty, and takes nothing off it.

    `BLMOVE queue queue LEFT LEFT` waits for a first element and puts it back where it was, in one step. So there is
    no job in flight whenever this is given up, by whatever kind of death; the price is one more round trip for the
    first job after a pause. A BLPOP that is given up loses a job; a BLMOVE to another list has to be undone.

    Args:
        connection: the store; each queue gets a connection of its own from its pool.
        loop: where to wait.
        ready: called when there may be work.
        lost: called when the store went away meanwhile.
    """

    def __init__(
        self, connection: Redis, loop: Loop, ready: Callable[[], None], lost: Callable[[Exception], None]
    ) -> None:
        self._pool = connection.connection_pool
        self._loop = loop
        self._ready = ready
        self._lost = lost
        self._connections: dict[str, Any] = {}
        self._waiting: dict[str, int] = {}

    @property
    def armed(self) -> bool:
        """Whether all queues were empty when last looked at, and are being watched."""
        return bool(self._waiting)

    def arm(self, keys: list[str], timeout: int) -> None:
        """Begin to wait.

        Args:
            keys: the queues' keys.
            timeout: seconds after which the store is asked anew.

        Raises:
            RedisError: the store cannot be reached.
        """
        for key in keys:
            if key in self._waiting:
                continue
            connection = self._connections.get(key)
            if connection is None:
                connection = self._connections[key] = self._pool.get_connection()
            connection.send_command('BLMOVE', key, key, 'LEFT', 'LEFT', timeout)
            sock: Any = connection._sock
            descriptor = self._waiting[key] = sock.fileno()
            self._loop.watch(descriptor, lambda key=key: self._answered(key))  # type: ignore[misc]

    def _answered(self, key: str) -> None:
        self._loop.unwatch(self._waiting.pop(key))
        connection = self._connections[key]
        try:
            connection.read_response()
        except (RedisError, OSError) as error:
            self._drop(key)
            self._lost(error if isinstance(error, RedisError) else LostConnection(str(error)))
            return
        self._ready()

    def _drop(self, key: str) -> None:
        connection = self._connections.pop(key, None)
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                connection.disconnect()
            self._pool.release(connection)

    def abandon(self) -> None:
        """Close its sockets in a forked child; the parent goes on."""
        for connection in self._connections.values():
            if connection._sock is not None:
                connection._sock.close()

    def close(self) -> None:
        """Give up waiting. No job is in flight, so there is nothing to put back."""
        for descriptor in self._waiting.values():
            self._loop.unwatch(descriptor)
        self._waiting.clear()
        for key in list(self._connections):
            self._drop(key)


class CommandWatch:
    """Receives what is published for this worker.

    Args:
        connection: the store.
        loop: where to wait.
        channel: the worker's channel.
        handle: called with each message.
        lost: called when the connection broke; it is made again after a pause.
    """

    _PAUSE = 0.5

    def __init__(
        self,
        connection: Redis,
        loop: Loop,
        channel: str,
        handle: Callable[[dict[str, Any]], None],
        lost: Callable[[Exception], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._channel = channel
        self._handle = handle
        self._lost = lost
        self._descriptor = -1
        self.pubsub: PubSub | None = None
        self._closed = False

    def open(self) -> None:
        """Subscribe.

        Raises:
            RedisError: the store cannot be reached.
        """
        self.pubsub = self._connection.pubsub()
        self.pubsub.subscribe(**{self._channel: self._handle})
        self._descriptor = self.pubsub.connection._sock.fileno()  # type: ignore[union-attr]
        self._loop.watch(self._descriptor, self._readable)

    def _readable(self) -> None:
        pubsub = self.pubsub
        assert pubsub is not None
        try:
            # One read from the socket may bring several messages, and the later ones wake nobody.
            while True:
                pubsub.get_message(timeout=0)
                if pubsub is not self.pubsub or not self._more(pubsub):
                    return
        except (RedisError, OSError) as error:
            self._forget()
            self._lost(error if isinstance(error, RedisError) else LostConnection(str(error)))
            self._loop.after(self._PAUSE, self._reopen)

    @staticmethod
    def _more(pubsub: PubSub) -> bool:
        connection: Any = pubsub.connection
        return connection is not None and bool(connection.can_read(timeout=0))

    def _reopen(self) -> None:
        if self._closed:
            return
        try:
            self.open()
        except (RedisError, OSError):
            self._forget()
            self._loop.after(self._PAUSE, self._reopen)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._loop.unwatch(self._descriptor)
            self._descriptor = -1
        if self.pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                self.pubsub.close()
            self.pubsub = None

    def close(self) -> None:
        """Unsubscribe."""
        self._closed = True
        self._forget()

    def abandon(self) -> None:
        """Close its socket in a forked child; the parent goes on."""
        connection: Any = self.pubsub.connection if self.pubsub is not None else None
        if connection is not None and connection._sock is not None:
            connection._sock.close()

"""A connection to the store of one who waits: a question is sent, and the loop says when it is answered."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from redis.connection import ConnectionPool
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError, ResponseError

from .loop import Loop

__all__ = ['Line', 'Replies']

Replies = Callable[[list[Any]], None]


def _has_hung_up(connection: Any) -> bool:
    """Say whether the store has closed a connection over which nothing is to come."""
    try:
        return bool(connection.can_read())
    except (RedisError, OSError):
        return True


class Line:
    """One connection, made as the pool makes its own but not counted there: a pool has a limit, 100 in redis-py.

    Args:
        pool: how connections to this store are made.
        loop: where to wait.
        lost: called when the connection broke before the answer came; the next question makes it anew.
    """

    def __init__(self, pool: ConnectionPool, loop: Loop, lost: Callable[[Exception], None]) -> None:
        self._pool = pool
        self._loop = loop
        self.lost = lost
        self._connection: Any = None
        self._descriptor = -1
        self._expected = 0
        self._answered: Replies | None = None

    @property
    def waiting(self) -> bool:
        """Whether a question was sent and not answered yet."""
        return self._descriptor >= 0

    def ask(self, commands: list[tuple[Any, ...]], answered: Replies) -> None:
        """Send commands, all at once.

        Args:
            commands: each with its arguments.
            answered: called with the replies in their order, of which some may be what the store refused.

        Raises:
            RedisError: the store cannot be reached.
        """
        self.send(self.pack(commands), len(commands), answered)

    def pack(self, commands: list[tuple[Any, ...]]) -> bytes:
        """Return commands as they are sent, for a question that is asked again and again."""
        connection = self._connected()
        return b''.join(piece for command in commands for piece in connection.pack_command(*command))

    def send(self, packed: bytes, expected: int, answered: Replies) -> None:
        """Send what `pack` returned.

        Args:
            packed: the commands.
            expected: how many they are.
            answered: as for `ask`.

        Raises:
            RedisError: the store cannot be reached.
        """
        connection = self._connected()
        try:
            connection.send_packed_command([packed], check_health=False)
        except BaseException:
            self.close()
            raise
        self._answered, self._expected = answered, expected
        self._descriptor = connection._sock.fileno()
        self._loop.watch(self._descriptor, self._readable)

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._pool.connection_class(**self._pool.connection_kwargs)
        if self._connection._sock is not None and _has_hung_up(self._connection):
            self._connection.disconnect()
        if self._connection._sock is None:
            self._connection.connect()
        return self._connection

    def _readable(self) -> None:
        self._forget()
        answered = self._answered
        assert answered is not None
        replies: list[Any] = []
        try:
            for _ in range(self._expected):
                try:
                    replies.append(self._connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except (RedisError, OSError) as error:
            self.close()
            self.lost(error if isinstance(error, RedisError) else LostConnection(str(error)))
            return
        answered(replies)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            self._loop.unwatch(self._descriptor)
            self._descriptor = -1

    def hear(self) -> None:
        """Wait here for the answer, if there is to be one, and handle it.

        Raises:
            Exception: whatever `answered` raised.
        """
        if self.waiting:
            self._readable()

    def abandon(self) -> None:
        """Close the socket in a forked child; the parent keeps it."""
        if self._connection is not None and self._connection._sock is not None:
            self._connection._sock.close()

    def close(self) -> None:
        """Hang up, whether or not an answer is to come."""
        self._forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                connection.disconnect()

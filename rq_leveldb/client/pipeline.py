"""Pipelines that take less of the client's time: what makes enqueueing fast is here, not in the store.

One `enqueue` is two transactions of eight commands. redis-py packs, reads and checks each of them through half a dozen
calls, which takes longer than the store needs to answer. Here a transaction is packed in one go and its replies are
taken from hiredis in one go. Unusual commands are left to redis-py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hiredis
from redis.client import EMPTY_RESPONSE, NEVER_DECODE
from redis.client import Pipeline as RedisPipeline
from redis.connection import DefaultParser, UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ExecAbortError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from rq_leveldb.client.older_redis_py import UNUSED_NAME

__all__ = ['Pipeline', 'RepliesParser']

_MULTI = hiredis.pack_command(('MULTI',))
_EXEC = hiredis.pack_command(('EXEC',))

Command = tuple[tuple[Any, ...], dict[str, Any]]


class RepliesParser(DefaultParser):  # type: ignore[misc, valid-type]
    """redis-py's parser over hiredis, which can also take many replies in one go."""

    def read_replies(self, count: int) -> list[Any]:
        """Return a number of replies in their order, errors as exceptions.

        Args:
            count: how many replies to return.

        Raises:
            redis.exceptions.ConnectionError: the store closed the connection, or says that it cannot serve it.
        """
        replies: list[Any] = []
        while len(replies) < count:
            reader = self._reader
            if reader is None:
                raise RedisConnectionError('Connection closed by another thread.')
            reply = reader.gets()
            # redis-py gives its readers a mark of its own for this, so that False can be a reply.
            if reply is self._missing:
                self.read_from_socket()
            elif isinstance(reply, hiredis.PushNotification):
                self.handle_push_response(reply)
            elif isinstance(reply, RedisConnectionError):
                raise reply
            else:
                replies.append(reply)
        return replies

    def has_replies(self) -> bool:
        """Return whether anything was received that nobody has taken yet."""
        return self._reader is not None and bool(self._reader.has_data())

    def on_connect(self, connection: Any, **options: Any) -> None:
        """Prepare for a connection; arguments as redis-py."""
        super().on_connect(connection, **options)
        self._missing = self._reader.gets()


class Pipeline(RedisPipeline):
    """redis.client.Pipeline, faster on connections whose parser is a `RepliesParser`."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Execute what was collected; arguments, returns and raises as redis-py, without its metrics."""
        commands = self.command_stack
        if not commands and not self.watching:
            return []
        connection = self.connection
        if connection is None:
            connection = self.connection_pool.get_connection(*UNUSED_NAME)
            # From here on reset() gives it back.
            self.connection = connection
        try:
            if self.scripts:
                self.load_scripts()
            execute = (
                self._execute_transaction
                if self.explicit_transaction or self.transaction  # type: ignore[truthy-function]
                else self._execute_pipeline
            )
            result: list[Any] = connection.retry.call_with_retry(
                lambda: execute(connection, commands, raise_on_error),
                lambda error: self._disconnected(connection, error),
            )
            return result
        finally:
            self.reset()

    def _disconnected(self, connection: Any, error: Exception) -> None:
        connection.disconnect()
        if self.watching:
            # The keys are no longer watched.
            raise WatchError(f'A {type(error).__name__} occurred while watching one or more keys') from error

    def _execute_transaction(self, connection: Any, commands: Sequence[Command], raise_on_error: bool) -> list[Any]:
        packed = None if any(EMPTY_RESPONSE in options for _, options in commands) else _pack(connection, commands)
        if packed is None:
            return super()._execute_transaction(connection, commands, raise_on_error)
        *queued, response = _exchange(connection, b''.join((_MULTI, *packed, _EXEC)), len(commands) + 2)
        if isinstance(response, ExecAbortError):
            for number, error in enumerate(queued[1:], 1):
                if isinstance(error, ResponseError):
                    self.annotate_exception(error, number, commands[number - 1][0])
                    raise error
        if isinstance(response, Exception):
            raise response
        self.watching = False
        if response is None:
            raise WatchError('Watched variable changed.')
        if len(response) != len(commands):
            connection.disconnect()
            raise ResponseError('Wrong number of response items from pipeline execution')
        if raise_on_error:
            self.raise_first_error(commands, response)
        return self._called_back(commands, response)

    def _execute_pipeline(self, connection: Any, commands: Sequence[Command], raise_on_error: bool) -> list[Any]:
        unusual = any(EMPTY_RESPONSE in options or NEVER_DECODE in options for _, options in commands)
        packed = None if unusual else _pack(connection, commands)
        if packed is None:
            return super()._execute_pipeline(connection, commands, raise_on_error)  # type: ignore[no-any-return]
        response = _exchange(connection, b''.join(packed), len(commands))
        if any(arguments[0] in self.UNWATCH_COMMANDS for arguments, _ in commands):
            self.watching = False
        response = self._called_back(commands, response)
        if raise_on_error:
            self.raise_first_error(commands, response)
        return response

    def _called_back(self, commands: Sequence[Command], response: Sequence[Any]) -> list[Any]:
        callbacks = self.response_callbacks
        data = []
        for reply, (arguments, options) in zip(response, commands, strict=True):
            # `keys` is for redis-py's cache alone.
            options.pop('keys', None)
            callback = callbacks.get(arguments[0])
            if callback is not None and not isinstance(reply, Exception):
                reply = callback(reply, **options)
            data.append(reply)
        return data


def _pack(connection: Any, commands: Sequence[Command]) -> list[bytes] | None:
    """Return each command as it goes over the socket; None if redis-py has to do it."""
    if not isinstance(connection._parser, RepliesParser):
        return None
    try:
        return [
            hiredis.pack_command(arguments)
            if ' ' not in arguments[0]
            else hiredis.pack_command((*arguments[0].split(), *arguments[1:]))
            for arguments, _ in commands
        ]
    except TypeError:
        # Memory views, names given as bytes, and what cannot be sent at all.
        return None


def _exchange(connection: UnixDomainSocketConnection, packed: bytes, count: int) -> list[Any]:
    """Send packed commands and return their replies, errors as exceptions; raises as redis-py's `read_response`."""
    connection.send_packed_command((packed,))
    try:
        return connection._parser.read_replies(count)  # type: ignore[no-any-return]
    except TimeoutError as error:
        connection.disconnect()
        raise RedisTimeoutError('Timeout reading from the store') from error
    except OSError as error:
        connection.disconnect()
        raise RedisConnectionError(f'Error while reading from the store: {error.args}') from error
    except BaseException:
        # What was sent will be answered; the answer must not be taken for that of the next command.
        connection.disconnect()
        raise

"""Scripts and single commands, run over a connection of the pool without redis-py's layers above it.

They cost a third of the call, and in a forked child twice that: whatever code runs there touches pages that are then
copied. They would also repeat a call whose answer was lost, and these scripts must not be repeated blindly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from rq_leveldb.client.older_redis_py import UNUSED_NAME

__all__ = ['Call', 'DryScript', 'Script', 'run_bare']


Call = tuple[Sequence[Any], Sequence[Any]]
"""KEYS and ARGV of a script."""


class Script:
    """A script.

    Args:
        client: the store.
        source: Lua.
    """

    def __init__(self, client: Redis, source: str) -> None:
        self._client = client
        self._source = source
        self._digest = hashlib.sha1(source.encode()).hexdigest()

    def run(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Run it and return its reply.

        Args:
            keys: KEYS of the script.
            arguments: ARGV of the script.

        Raises:
            RedisError: the store refused, or went away.
        """
        try:
            return run_bare(self._client, 'EVALSHA', self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return run_bare(self._client, 'EVAL', self._source, len(keys), *keys, *arguments)

    def run_each(self, calls: Sequence[Call]) -> list[Any]:
        """Run it several times, in one round trip, and return the replies; errors of the store in the place of theirs.

        Args:
            calls: KEYS and ARGV of each.

        Raises:
            RedisError: the store went away; any of them may have been carried out.
        """
        commands = [('EVALSHA', self._digest, len(keys), *keys, *arguments) for keys, arguments in calls]
        replies = _run_bare_each(self._client, commands)
        return [
            self.run(*call) if isinstance(reply, NoScriptError) else reply
            for call, reply in zip(calls, replies, strict=True)
        ]


class DryScript(Script):
    """A script that is not run."""

    def run(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Return 1."""
        return 1


def run_bare(client: Redis, *command: Any) -> Any:
    """Run one command and return its reply.

    Args:
        client: the store.
        command: the command and its arguments.

    Raises:
        RedisError: the store refused, or went away; nothing is repeated.
    """
    (reply,) = _run_bare_each(client, [command])
    if isinstance(reply, ResponseError):
        raise reply
    return reply


def _run_bare_each(client: Redis, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    pool = client.connection_pool
    connection: Any = pool.get_connection(*UNUSED_NAME)
    replies: list[Any] = []
    try:
        if len(commands) == 1:
            connection.send_command(*commands[0])
        else:
            connection.send_packed_command(connection.pack_commands(commands))
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except ResponseError as error:
                replies.append(error)
    except BaseException:
        # Replies may still come, and would be taken for those of the next commands.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)
    return replies

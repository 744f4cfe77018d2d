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

__all__ = ['Call', 'DryScript', 'Script', 'run_bare', 'run_together']


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
            return run_bare(self._client, *self.command(keys, arguments))
        except NoScriptError:
            return run_bare(self._client, 'EVAL', self._source, len(keys), *keys, *arguments)

    def command(self, keys: Sequence[Any], arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return the command that runs it, if the store knows it; arguments as for `run`."""
        return ('EVALSHA', self._digest, len(keys), *keys, *arguments)


class DryScript(Script):
    """A script that is not run."""

    def run(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Return 1."""
        return 1


def run_together(client: Redis, runs: Sequence[tuple[Script, Call]]) -> list[Any]:
    """Run scripts one after the other, in one round trip, and return the replies; errors of the store among them.

    Args:
        client: the store.
        runs: the scripts, and KEYS and ARGV of each.

    Raises:
        RedisError: the store went away; any of them may have been carried out.
    """
    replies = _run_bare_each(client, [script.command(*call) for script, call in runs])
    return [
        _run_unknown(script, call) if isinstance(reply, NoScriptError) else reply
        for (script, call), reply in zip(runs, replies, strict=True)
    ]


def _run_unknown(script: Script, call: Call) -> Any:
    try:
        return script.run(*call)
    except ResponseError as error:
        return error


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

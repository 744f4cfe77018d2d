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
            return run_bare(self._client, *self.command(keys, arguments))
        except NoScriptError:
            return self.run_unknown(keys, arguments)

    def run_unknown(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Run it where the store has just said that it does not know it; otherwise as `run`."""
        return run_bare(self._client, 'EVAL', self._source, len(keys), *keys, *arguments)

    def command(self, keys: Sequence[Any], arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return the command that runs it, if the store knows it; arguments as for `run`."""
        return ('EVALSHA', self._digest, len(keys), *keys, *arguments)


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
    pool = client.connection_pool
    connection: Any = pool.get_connection(*UNUSED_NAME)
    try:
        connection.send_command(*command)
        return connection.read_response()
    except ResponseError:
        raise
    except BaseException:
        # A reply may still come, and would be taken for that of the next command.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)

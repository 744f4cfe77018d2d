"""What a command is. Each module under commands/ ends in a table of these rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rq_leveldb.store.replies import Reply

if TYPE_CHECKING:
    from rq_leveldb.store.context import Context

Handler = Callable[['Context', 'list[bytes]'], Reply]

WRITE = 'write'
READONLY = 'readonly'
FAST = 'fast'
BLOCKING = 'blocking'
ADMIN = 'admin'
PUBSUB = 'pubsub'
NOSCRIPT = 'noscript'
LOADING = 'loading'
STALE = 'stale'
DENYOOM = 'denyoom'
ALLOW_BUSY = 'allow_busy'
"""Served while a script runs for too long."""
NO_MULTI = 'no_multi'
IN_SUBSCRIPTION = 'in_subscription'
"""Allowed to a client of RESP2 that is subscribed. The two last flags are ours, not shown by COMMAND."""
SKIP_QUEUE = 'skip_queue'
"""Executed at once inside MULTI: EXEC, DISCARD, WATCH and the like."""


@dataclass(frozen=True)
class Command:
    """One command.

    :param name: in lower case
    :param handler: gets the context and all arguments, the name first
    :param arity: how many arguments with the name; at least so many if negative (COMMAND's arity)
    :param flags: those of COMMAND, and ours above, separated by blanks
    :param keys: first key, last key (from the end if negative), step, as COMMAND has them; zeros for none
    """

    name: str
    handler: Handler
    arity: int
    flags: frozenset[str]
    keys: tuple[int, int, int] = (0, 0, 0)

    def accepts(self, count: int) -> bool:
        """:param count: how many arguments with the name"""
        return count == self.arity if self.arity >= 0 else count >= -self.arity


def allows_busy(command: Command, argv: list[bytes]) -> bool:
    """:returns: whether the command is served while a script runs for too long, or is refused for another reason"""
    if command.name == 'script':
        # Subcommands are commands of their own in Redis: one that does not exist is no command.
        return argv[1].lower() not in (b'load', b'exists', b'flush', b'debug', b'help')
    if command.name == 'shutdown':
        words = {word.upper() for word in argv[1:]}
        return b'NOSAVE' in words or not words <= {b'SAVE', b'NOW', b'FORCE', b'ABORT'}
    return ALLOW_BUSY in command.flags


def row(name: str, handler: Handler, arity: int, flags: str, first: int = 0, last: int = 0, step: int = 0) -> Command:
    """:returns: a row of a command table"""
    return Command(name, handler, arity, frozenset(flags.split()), (first, last, step))

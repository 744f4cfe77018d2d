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
NO_MULTI = 'no_multi'
IN_SUBSCRIPTION = 'in_subscription'
"""Allowed to a client of RESP2 that is subscribed. The two last flags are ours, not shown by COMMAND."""
SKIP_QUEUE = 'skip_queue'
"""Executed at once inside MULTI: EXEC, DISCARD, WATCH and the like."""

CONTAINERS = frozenset(
    ('client', 'command', 'config', 'memory', 'object', 'pubsub', 'script', 'slowlog', 'xgroup', 'xinfo')
)
"""Commands whose first argument names what they do."""


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

    def full_name(self, argv: list[bytes]) -> str:
        """:returns: the name with that of the subcommand, as CLIENT LIST shows it: ``client|list``"""
        return f'{self.name}|{argv[1].decode("utf-8", "surrogateescape").lower()}' if len(argv) > 1 else self.name

    def accepts(self, count: int) -> bool:
        """:param count: how many arguments with the name"""
        return count == self.arity if self.arity >= 0 else count >= -self.arity


def row(name: str, handler: Handler, arity: int, flags: str, first: int = 0, last: int = 0, step: int = 0) -> Command:
    """:returns: a row of a command table"""
    return Command(name, handler, arity, frozenset(flags.split()), (first, last, step))

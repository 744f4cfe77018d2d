"""Commands, and how to find the one that a client's arguments call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rq_leveldb.store.replies import Reply

Handler = Callable[[Any, list[bytes]], Reply]
"""Gets a context (typed as Any, since contexts import commands) and all arguments, the name first."""

WRITE = 'write'
ADMIN = 'admin'
READONLY = 'readonly'
NOSCRIPT = 'noscript'
LOADING = 'loading'
DENYOOM = 'denyoom'
ALLOW_BUSY = 'allow_busy'
"""Served even while a script runs for too long."""
NO_MULTI = 'no_multi'
SKIP_SLOWLOG = 'skip_slowlog'

IN_SUBSCRIPTION = 'in_subscription'
"""Allowed for a subscribed RESP2 client."""
SKIP_QUEUE = 'skip_queue'
"""Executed at once inside MULTI: EXEC, DISCARD, WATCH and the like."""
NOT_QUEUED = 'not_queued'
"""Refused inside MULTI, where Redis accepts it."""
MAY_REPLICATE = 'may_replicate'
"""It may write without a flag that says so, because it runs scripts or publishes."""
MAY_WRITE = 'may_write'
"""It has no write flag, and whether it writes is not known in advance."""
NEVER_REFUSED = 'never_refused'
"""It needs no data, and refusing it would change the meaning of what follows: the commands of a transaction would be
executed one by one."""
IN_SNAPSHOT = 'in_snapshot'
"""Allowed for a client with a snapshot, without being readonly."""
OWN_FLAGS = frozenset((IN_SUBSCRIPTION, SKIP_QUEUE, NOT_QUEUED, MAY_REPLICATE, MAY_WRITE, NEVER_REFUSED, IN_SNAPSHOT))
"""Flags that COMMAND does not show."""


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: in lower case; that of a subcommand is ``client|list``.
        handler: gets the context and all arguments, the name first.
        arity: number of arguments including the name; a minimum if negative (COMMAND's arity).
        flags: those of COMMAND, and `OWN_FLAGS`.
        keys: first key, last key (from the end if negative) and step, as in COMMAND; zeros for none.
        subcommands: by name in lower case; a container followed by a word calls one of them.
    """

    name: str
    handler: Handler
    arity: int
    flags: frozenset[str]
    keys: tuple[int, int, int] = (0, 0, 0)
    subcommands: dict[bytes, Command] = field(default_factory=dict)

    def accepts(self, count: int) -> bool:
        """Return whether the command accepts this number of arguments.

        Args:
            count: number of arguments including the name.
        """
        return count == self.arity if self.arity >= 0 else count >= -self.arity


def allows_busy(command: Command, argv: list[bytes]) -> bool:
    """Return whether a command is served, or refused for another reason, while a script runs for too long."""
    if command.name == 'shutdown':
        words = {word.upper() for word in argv[1:]}
        return b'NOSAVE' in words or not words <= {b'SAVE', b'NOW', b'FORCE', b'ABORT'}
    return ALLOW_BUSY in command.flags


def find(commands: Mapping[bytes, Command], argv: list[bytes]) -> Command | None:
    """Return the command or subcommand that some arguments call.

    Args:
        commands: all commands by their names in lower case.
        argv: what a client sent, or its beginning.
    """
    command = commands.get(argv[0].lower())
    if command is not None and command.subcommands and len(argv) > 1:
        return command.subcommands.get(argv[1].lower())
    return command


def by_full_name(commands: Mapping[bytes, Command], name: bytes) -> Command | None:
    """Return the command with a full name.

    Args:
        commands: all commands, by their names in lower case.
        name: as for COMMAND INFO: ``get``, ``client|list``.
    """
    container, bar, word = name.lower().partition(b'|')
    if not bar:
        return commands.get(container)
    found = commands.get(container)
    return found.subcommands.get(word) if found is not None else None

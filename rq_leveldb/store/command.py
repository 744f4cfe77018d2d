"""What a command is, and how it is found by what a client sends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rq_leveldb.store.replies import Reply

Handler = Callable[[Any, list[bytes]], Reply]
"""Gets a context (which knows commands, so it is not known here) and all arguments, the name first."""

WRITE = 'write'
ADMIN = 'admin'
NOSCRIPT = 'noscript'
LOADING = 'loading'
DENYOOM = 'denyoom'
ALLOW_BUSY = 'allow_busy'
"""Served while a script runs for too long."""
NO_MULTI = 'no_multi'
SKIP_SLOWLOG = 'skip_slowlog'

IN_SUBSCRIPTION = 'in_subscription'
"""Allowed to a client of RESP2 that is subscribed."""
SKIP_QUEUE = 'skip_queue'
"""Executed at once inside MULTI: EXEC, DISCARD, WATCH and the like."""
NOT_QUEUED = 'not_queued'
"""Refused inside MULTI, where Redis takes it."""
MAY_REPLICATE = 'may_replicate'
"""It may write though it has no flag that says so: what runs scripts, what publishes."""
MAY_WRITE = 'may_write'
"""It has no flag that says that it writes, and what it does is not known before."""
NEVER_REFUSED = 'never_refused'
"""It needs no data, and what follows would mean something else without it: a transaction whose commands would be
executed one by one."""
OWN_FLAGS = frozenset((IN_SUBSCRIPTION, SKIP_QUEUE, NOT_QUEUED, MAY_REPLICATE, MAY_WRITE, NEVER_REFUSED))
"""What COMMAND does not show."""


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        name: in lower case; that of a subcommand is ``client|list``.
        handler: gets the context and all arguments, the name first.
        arity: how many arguments with the name; at least so many if negative (COMMAND's arity).
        flags: those of COMMAND, and `OWN_FLAGS`.
        keys: first key, last key (from the end if negative), step, as COMMAND has them; zeros for none.
        subcommands: by the word that names them, in lower case; what has any is one of them if a word follows.
    """

    name: str
    handler: Handler
    arity: int
    flags: frozenset[str]
    keys: tuple[int, int, int] = (0, 0, 0)
    subcommands: dict[bytes, Command] = field(default_factory=dict)

    def accepts(self, count: int) -> bool:
        """Return whether the command may have so many arguments.

        Args:
            count: how many arguments with the name.
        """
        return count == self.arity if self.arity >= 0 else count >= -self.arity


def allows_busy(command: Command, argv: list[bytes]) -> bool:
    """Return whether the command is served while a script runs for too long, or is refused for another reason."""
    if command.name == 'shutdown':
        words = {word.upper() for word in argv[1:]}
        return b'NOSAVE' in words or not words <= {b'SAVE', b'NOW', b'FORCE', b'ABORT'}
    return ALLOW_BUSY in command.flags


def find(commands: Mapping[bytes, Command], argv: list[bytes]) -> Command | None:
    """Return the command, or the subcommand, that it calls.

    Args:
        commands: by their names in lower case.
        argv: what a client sent, or the beginning of it.
    """
    command = commands.get(argv[0].lower())
    if command is not None and command.subcommands and len(argv) > 1:
        return command.subcommands.get(argv[1].lower())
    return command


def by_full_name(commands: Mapping[bytes, Command], name: bytes) -> Command | None:
    """Return the command of that name.

    Args:
        commands: all commands, by their names in lower case.
        name: as COMMAND INFO takes it: ``get``, ``client|list``.
    """
    container, bar, word = name.lower().partition(b'|')
    if not bar:
        return commands.get(container)
    found = commands.get(container)
    return found.subcommands.get(word) if found is not None else None

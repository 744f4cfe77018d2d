"""Declarations of commands: each module here ends in a table of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from rq_leveldb.store import catalogue
from rq_leveldb.store.command import Command
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, Status, shown, wrong_arity

Handler = Callable[[Context, list[bytes]], Reply]


def row(name: str, handler: Handler, arity: int, flags: str, first: int = 0, last: int = 0, step: int = 0) -> Command:
    """Declare a command.

    Args:
        name: in lower case; of a subcommand, its own word.
        handler: executes it.
        arity: number of arguments including the name; a minimum if negative.
        flags: separated by blanks.
        first: index of the first key, 0 for none.
        last: index of the last key, from the end if negative.
        step: from one key to the next.
    """
    return Command(name, handler, arity, frozenset(flags.split()), (first, last, step))


def container(name: str, *rows: Command, handler: Handler | None = None, arity: int = -2, flags: str = '') -> Command:
    """Declare a command with subcommands.

    Args:
        name: in lower case.
        rows: its subcommands except HELP, which every container has.
        handler: executes the name alone, if that is allowed.
        arity: number of arguments, as in :class:`Command`.
        flags: of the name alone.
    """
    own = row(name, handler or _nothing, arity, flags)
    subcommands = (*rows, row('help', _help, 2, 'loading stale'))
    return replace(own, subcommands={one.name.encode(): replace(one, name=f'{name}|{one.name}') for one in subcommands})


def always(reply: Reply) -> Handler:
    """Return the handler of a command that always answers the same."""
    return lambda ctx, argv: reply


def _nothing(ctx: Context, argv: list[bytes]) -> Reply:
    raise wrong_arity(shown(argv[0]).lower())


def _help(ctx: Context, argv: list[bytes]) -> Reply:
    container = argv[0].lower()
    told = dict(catalogue.summaries(lambda name: name.partition(b'|')[0] == container))
    lines = [f'{argv[0].decode().upper()} <subcommand> [<arg> [value] [opt] ...], where <subcommand> is one of:']
    for usage, options in catalogue.read(container)['help']:
        word = usage[0].partition(' ')[0].lower().encode()
        # No word of its own has what the name alone does.
        said = told.get(b'%b|%b' % (container, word), told[container])
        lines += [*usage, *(f'    {text}' for text in (said, *options))]
    return [Status(line.encode()) for line in lines]

"""Commands that are made of subcommands: their row in the table, and HELP, which each of them has."""

from __future__ import annotations

from rq_leveldb.store import catalogue
from rq_leveldb.store.command import Command, Handler, row, with_subcommands
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import Reply, Status, wrong_arity


def container(name: str, *rows: Command, handler: Handler | None = None, arity: int = -2, flags: str = '') -> Command:
    """
    :param rows: its subcommands but HELP, each named by its own word
    :param handler: what the name alone does, if anything
    :param arity: how many arguments, as in :class:`Command`
    :param flags: of the name alone
    :returns: a row of a command table
    """
    return with_subcommands(row(name, handler or _nothing, arity, flags), *rows, row('help', help_, 2, 'loading stale'))


def _nothing(ctx: Context, argv: list[bytes]) -> Reply:
    raise wrong_arity(argv[0].decode().lower())


def help_(ctx: Context, argv: list[bytes]) -> Reply:
    container = argv[0].lower()
    told = dict(catalogue.summaries(lambda name: name.partition(b'|')[0] == container))
    lines = [f'{argv[0].decode().upper()} <subcommand> [<arg> [value] [opt] ...], where <subcommand> is one of:']
    for usage, options in catalogue.read(container)['help']:
        word = usage[0].partition(' ')[0].lower().encode()
        # No word of its own has what the name alone does.
        said = told.get(b'%b|%b' % (container, word), told[container])
        lines += [*usage, *(f'    {text}' for text in (said, *options))]
    return [Status(line.encode()) for line in lines]

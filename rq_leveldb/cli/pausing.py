"""rq-leveldb pause and unpause: whether workers take jobs from single queues."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render

if TYPE_CHECKING:
    from rq import Queue

__all__ = ['pause', 'unpause']

_EPILOG = """\b
Examples:
  rq-leveldb pause mail reports
  rq-leveldb unpause mail
  rq-leveldb unpause --all
"""


@click.command(epilog=_EPILOG)
@click.argument('queues', nargs=-1, required=True, metavar='QUEUE...')
@options.url
@options.json_output
def pause(queues: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """Let workers take nothing from these queues. Jobs that run go on, new ones wait; other queues are not affected.

    rq-leveldb's workers heed this at once. RQ's own workers do not know it; suspend holds them, but with all queues.
    """
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import count_servers, find_queues
    from rq_leveldb.paused_queues import pause as hold

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    known = find_queues(connection).names
    # A name that nobody knows is most often a misspelled one, of which the real queue would go on.
    served = dict(zip(queues, count_servers(connection, queues), strict=True))
    unknown = [name for name in queues if name not in known and served[name] == 0]
    for name in unknown:
        render.complain(
            f'there is no queue {name}: no job was ever enqueued in it, and no worker serves it',
            f'The queues are: {", ".join(known)}' if known else '',
        )
    names = [name for name in queues if name not in unknown]
    _do(connection, hold, names, ('Paused', 'was paused already'), as_json)
    return 1 if unknown else 0


@click.command(epilog=_EPILOG)
@click.argument('queues', nargs=-1, metavar='[QUEUE]...')
@options.url
@click.option('--all', 'everything', is_flag=True, help='All queues that are paused.')
@options.json_output
def unpause(queues: tuple[str, ...], url: str | None, everything: bool, as_json: bool) -> int:
    """Let workers take jobs from these queues again, after rq-leveldb pause."""
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import find_paused
    from rq_leveldb.paused_queues import resume

    if everything == bool(queues):
        raise click.UsageError('Name queues, or give --all, but not both.')
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    names = find_paused(connection).names if everything else list(queues)
    _do(connection, resume, names, ('Resumed', 'was not paused'), as_json)
    if not names and not as_json:
        click.echo('No queue is paused.')
    return 0


def _do(connection: Any, act: Callable[[Queue], bool], names: list[str], words: tuple[str, str], as_json: bool) -> None:
    from rq import Queue

    from rq_leveldb.lookup import find_paused

    for name in dict.fromkeys(names):
        has_changed = act(Queue(name, connection=connection))
        if not as_json:
            click.echo(f'{words[0]} {name}.' if has_changed else f'{name} {words[1]}.')
    if as_json:
        render.document({'paused': find_paused(connection).names})

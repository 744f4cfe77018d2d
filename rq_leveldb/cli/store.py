"""rq-leveldb store and stop: the store in the foreground, for a supervisor; and its end."""

from __future__ import annotations

import sys

import click

from rq_leveldb.cli import render
from rq_leveldb.location import URL_VARIABLES, parse_store

__all__ = ['stop', 'store']


@click.command(
    context_settings={'ignore_unknown_options': True, 'help_option_names': []},
    short_help='Runs the store in the foreground, for a supervisor.',
)
@click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> None:
    """Run the store with its own flags; `python -m rq_leveldb store` gets there without this command line."""
    from rq_leveldb.store.program import main

    sys.exit(main(list(arguments)))


@click.command(short_help='Stops the store of this machine; it starts again with the next command.')
@click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
def stop(url: str | None) -> None:
    """Stop the store, after it has answered what it received. It starts again when a client comes."""
    from rq_leveldb.client import autostart

    location = parse_store(url)
    location.directory.check()
    if autostart.running_store(location.directory) is None:
        click.echo('No store runs there.')
    elif autostart.stop(location.directory):
        click.echo('Stopped.')
    else:
        render.complain('The store did not stop in time', 'Its pid is in rq-leveldb status, its log beside the data.')
        sys.exit(1)

"""rq-leveldb store: the store in the foreground, for a supervisor."""

from __future__ import annotations

import sys

import click

__all__ = ['store']


@click.command(
    context_settings={'ignore_unknown_options': True, 'help_option_names': []},
    short_help='Runs the store in the foreground, for a supervisor.',
)
@click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> None:
    """Run the store with its own flags; `python -m rq_leveldb store` gets there without this command line."""
    from rq_leveldb.store.server import main

    sys.exit(main(list(arguments)))

"""rq-leveldb store and stop: the store in the foreground, for a supervisor; and stop it."""

from __future__ import annotations

import sys

import click

from rq_leveldb.cli import options, render
from rq_leveldb.location import parse_store

__all__ = ['stop', 'store']


@click.command(
    context_settings={'ignore_unknown_options': True, 'help_option_names': []},
)
@click.argument('arguments', nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> None:
    """Run the store with its own flags; `python -m rq_leveldb store` does the same without this command line."""
    from rq_leveldb.store.program import main

    sys.exit(main(list(arguments)))


@click.command()
@options.url
@options.json_output
def stop(url: str | None, as_json: bool) -> int:
    """Stop the store once it has answered all requests. The next client starts it again."""
    from rq_leveldb.client import autostart

    location = parse_store(url)
    location.directory.check()
    was_running = autostart.running_store(location.directory) is not None
    is_running = was_running and not autostart.stop(location.directory)
    if as_json:
        render.document({'was_running': was_running, 'is_running': is_running})
    elif not is_running:
        click.echo('Stopped.' if was_running else 'No store is running there.')
    if is_running:
        render.complain(
            'The store did not stop in time', 'rq-leveldb status shows its pid; its log is in the data directory.'
        )
    return int(is_running)

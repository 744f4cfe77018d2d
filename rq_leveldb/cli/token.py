"""rq-leveldb token: print the token of the HTTP front."""

from __future__ import annotations

import click

from rq_leveldb.cli import options

__all__ = ['token']


@click.command()
@options.url
def token(url: str | None) -> None:
    """Print the bearer token of the HTTP front, creating it if there is none."""
    from rq_leveldb.http.serving.place import Place
    from rq_leveldb.http.settings import HttpSettings

    click.echo(Place.find(url).token(HttpSettings.from_environment(open=False)))

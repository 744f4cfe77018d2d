"""rq-leveldb token: print the token of the HTTP front."""

from __future__ import annotations

import click

from rq_leveldb.cli import options, render

__all__ = ['token']


@click.command()
@options.url
@options.json_output
def token(url: str | None, as_json: bool) -> None:
    """Print the bearer token of the HTTP front, creating it if there is none."""
    from rq_leveldb.http.serving.place import Place
    from rq_leveldb.http.settings import HttpSettings

    found = Place.find(url).token(HttpSettings.from_environment(open=False))
    if as_json:
        render.document({'token': found})
    else:
        click.echo(found)

"""rq-leveldb token: print the token of the HTTP front."""

from __future__ import annotations

import json

import click

from rq_leveldb.cli import options

__all__ = ['token']


@click.command()
@options.url
@options.json_output
def token(url: str | None, as_json: bool) -> None:
    """Print the bearer token of the HTTP front, creating it if there is none."""
    from rq_leveldb.http.serving.place import Place
    from rq_leveldb.http.settings import HttpSettings

    found = Place.find(url).token(HttpSettings.from_environment(open=False))
    click.echo(json.dumps({'token': found}, indent=2) if as_json else found)

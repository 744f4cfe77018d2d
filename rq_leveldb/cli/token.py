"""rq-leveldb token: what the HTTP front asks for."""

from __future__ import annotations

import click

from rq_leveldb.location import URL_VARIABLES

__all__ = ['token']


@click.command(
    short_help='Prints the token of the HTTP front.', context_settings={'help_option_names': ['-h', '--help']}
)
@click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
def token(url: str | None) -> None:
    """Print the bearer token of the HTTP front; it is made now where there is none yet."""
    from rq_leveldb.http.serving.place import Place
    from rq_leveldb.http.settings import HttpSettings

    click.echo(Place.find(url).token(HttpSettings.from_environment(open=False)))

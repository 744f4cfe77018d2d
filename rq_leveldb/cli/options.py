"""Options that several commands share."""

from __future__ import annotations

import click

from rq_leveldb.location import URL_VARIABLES, is_redis_url

__all__ = ['check_url', 'json_output', 'serializer', 'url']


def check_url(url: str | None) -> str | None:
    """Return a URL, after checking what can be checked without connecting.

    Args:
        url: of a store or a server; None for the default place.

    Raises:
        BadAddress: it names no place, or RQ cannot work with its options.
    """
    if url is not None and (is_redis_url(url) or '?' in url):
        # The client library takes a while to import, and not every command needs it.
        from rq_leveldb.client.server_url import check_for_rq

        check_for_rq(url)
    return url


url = click.option(
    '--url',
    '-u',
    envvar=list(URL_VARIABLES),
    callback=lambda context, parameter, value: check_url(value),
    help='Where the data is.  [default: leveldb://]',
)
json_output = click.option('--json', 'as_json', is_flag=True, help='Print one JSON object, for programs.')
serializer = click.option('--serializer', '-S', help='Serializer of the jobs: pickle, json or a class.')

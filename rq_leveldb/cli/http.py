"""rq-leveldb http: the HTTP front alone, in the foreground."""

from __future__ import annotations

import os
from typing import Any

import click

from rq_leveldb.errors import StoreError
from rq_leveldb.location import URL_VARIABLES

__all__ = ['http']


@click.command(short_help='Runs the HTTP front alone.', context_settings={'help_option_names': ['-h', '--help']})
@click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
@click.option('--http', 'address', metavar='ADDRESS', help='HOST:PORT, :PORT or unix:PATH.  [default: 127.0.0.1:7753]')
@click.option('--import', 'imports', multiple=True, metavar='MODULE', help='Functions with @job in it may be enqueued.')
@click.option('--path', '-P', 'paths', multiple=True, metavar='DIR', help='Look for modules here as well.')
@click.option('--allow', multiple=True, metavar='PATTERN', help='Further functions: * one part of a name, ** several.')
@click.option('--host-name', 'hosts', multiple=True, metavar='NAME', help='A name by which the service is reached.')
@click.option('--origin', 'origins', multiple=True, metavar='ORIGIN', help='A web origin whose pages may use it.')
@click.option('--open', 'is_open', is_flag=True, help='Ask for no token; only on loopback or a unix socket.')
@click.option('--serializer', '-S', help='Serializer of the jobs: pickle, json or a class.')
@click.option('--threads', type=click.IntRange(1), help='Requests served at a time.')
@click.option('--processes', type=click.IntRange(1), help='Processes that serve.')
@click.option('--access-log', is_flag=True, help='Log every request.')
@click.option('--ready-fd', type=int, hidden=True)
@click.option('--lock-fd', type=int, hidden=True)
@click.option('--parent', type=int, hidden=True)
def http(
    url: str | None,
    address: str | None,
    is_open: bool,
    access_log: bool,
    paths: tuple[str, ...],
    ready_fd: int | None,
    lock_fd: int | None,
    parent: int | None,
    **given: Any,
) -> None:
    """Serve jobs over HTTP: enqueue, inspect, wait for results, a page for people at /.

    Every option has an environment variable; docs/http.rst lists them.
    """
    from rq_leveldb.http.serving.child import run

    try:
        run(
            url,
            paths=paths,
            parent=parent,
            ready_fd=ready_fd,
            lock_fd=lock_fd,
            address=address,
            open=is_open or None,
            access_log=access_log or None,
            **given,
        )
    except StoreError as error:
        if ready_fd is None:
            raise
        # The worker that started this process tells its user.
        os.write(ready_fd, b'error ' + error.to_json().encode() + b'\n')
        raise SystemExit(1) from None

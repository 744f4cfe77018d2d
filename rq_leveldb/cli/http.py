"""rq-leveldb http: run only the HTTP front, in the foreground."""

from __future__ import annotations

import os
from typing import Any

import click

from rq_leveldb.cli import options
from rq_leveldb.errors import StoreError
from rq_leveldb.http.settings import MOST_PROCESSES, MOST_THREADS

__all__ = ['http']


@click.command()
@options.url
@click.option(
    '--http', 'address', metavar='ADDRESS', help='Listen on HOST:PORT, :PORT or unix:PATH.  [default: 127.0.0.1:7753]'
)
@click.option(
    '--import',
    'imports',
    multiple=True,
    metavar='MODULE',
    help='Allow functions with @job in this module to be enqueued.',
)
@click.option('--path', '-P', 'paths', multiple=True, metavar='DIR', help='Also look for modules in this directory.')
@click.option(
    '--allow',
    multiple=True,
    metavar='PATTERN',
    help='Also allow these functions to be enqueued: * is one part of a name, ** several.',
)
@click.option(
    '--host-name', 'hosts', multiple=True, metavar='NAME', help='A host name by which clients reach the service.'
)
@click.option(
    '--origin', 'origins', multiple=True, metavar='ORIGIN', help='A web origin whose pages may use the service.'
)
@click.option('--open', 'is_open', is_flag=True, help='Require no token; only on loopback or a unix socket.')
@options.serializer
@click.option(
    '--threads', type=click.IntRange(1, MOST_THREADS), help='Number of requests that each process serves at a time.'
)
@click.option('--processes', type=click.IntRange(1, MOST_PROCESSES), help='Number of processes.')
@click.option('--access-log', is_flag=True, help='Log every request.')
@click.option('--ready-fd', type=int, hidden=True)
@click.option('--lock-fd', type=int, hidden=True)
@click.option('--listen-fd', type=int, hidden=True)
@click.option('--idle', type=float, default=0.0, hidden=True)
@click.option('--parent', type=int, hidden=True)
def http(url: str | None, is_open: bool, access_log: bool, ready_fd: int | None, **given: Any) -> None:
    """Serve jobs over HTTP: enqueue, inspect and wait for results, with a page for people at /.

    Every option has an environment variable; docs/http.rst lists them.
    """
    from rq_leveldb.http.serving.child import run

    try:
        run(url, ready_fd=ready_fd, open=is_open or None, access_log=access_log or None, **given)
    except StoreError as error:
        if ready_fd is None:
            raise
        # The worker that started this process shows the error.
        os.write(ready_fd, b'error ' + error.to_json().encode() + b'\n')
        raise SystemExit(1) from None

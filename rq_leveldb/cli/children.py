"""rq-leveldb children: how many jobs the workers may run at once, changed while they run."""

from __future__ import annotations

from typing import Any

import click

from rq_leveldb.cli import render
from rq_leveldb.location import URL_VARIABLES

__all__ = ['children']


@click.command(
    short_help='Changes how many jobs a worker runs at once.', context_settings={'help_option_names': ['-h', '--help']}
)
@click.argument('number', type=click.IntRange(min=0), required=False)
@click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
@click.option('--worker', '-w', 'name', help='Only the worker of this name.  [default: all]')
def children(number: int | None, url: str | None, name: str | None) -> int:
    """Set how many jobs each worker runs at once to NUMBER; without NUMBER, show it.

    What runs already goes on: after 0, a worker finishes its jobs, takes no more, and waits for the next number.
    """
    from rq.command import send_command
    from rq.worker import Worker

    from rq_leveldb.client.connection import Redis

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    found = [worker for worker in Worker.all(connection=connection) if name is None or worker.name == name]
    rows: list[list[str | int]] = []
    changed = 0
    for worker in sorted(found, key=lambda one: str(one.name)):
        limit = connection.hget(worker.key, 'max_children')
        if limit is None:
            # RQ's own worker runs one job at a time, whatever it is told.
            rows.append([worker.name, len(worker.get_current_executions()), 1])
            continue
        if number is not None:
            send_command(connection, worker.name, 'children', children=number)
            changed += 1
        rows.append([worker.name, len(worker.get_current_executions()), int(limit) if number is None else number])
    if not found or (number is not None and not changed):
        render.complain('no such worker is running' if name else 'no worker is running', 'Start one: rq-leveldb worker')
        return 1
    render.table(['Worker', 'Busy', 'At most'], rows)
    return 0

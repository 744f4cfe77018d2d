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

    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import Fields, find_workers, is_refused, replies

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    found = [worker for worker in find_workers(connection).names if name is None or worker == name]
    pipe = connection.pipeline(transaction=False)
    for worker in found:
        pipe.hgetall(f'rq:worker:{worker}')
        pipe.scard(f'rq:worker:{worker}:executions')
    answers = replies(pipe) if found else []
    rows: list[list[str | int]] = []
    changed = 0
    for worker, raw, busy in zip(found, answers[::2], answers[1::2], strict=True):
        if not is_refused(raw) and not raw:
            # It has gone, and its name is left.
            continue
        fields = Fields(raw, f'rq:worker:{worker}')
        limit: int | str | None = fields.whole('max_children')
        if fields.faults:
            render.complain(f'worker {worker}: {"; ".join(map(str, fields.faults))}')
            limit = '?'
        elif limit is None:
            # RQ's own worker runs one job at a time, whatever it is told.
            limit = 1
        elif number is not None:
            send_command(connection, worker, 'children', children=number)
            changed += 1
            limit = number
        rows.append([worker, '?' if is_refused(busy) else busy, limit])
    if not rows or (number is not None and not changed):
        render.complain('no such worker is running' if name else 'no worker is running', 'Start one: rq-leveldb worker')
        return 1
    render.table(['Worker', 'Busy', 'At most'], rows)
    return 0

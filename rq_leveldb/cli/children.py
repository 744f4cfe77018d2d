"""rq-leveldb children: how many jobs the workers may run at once, changed while they run."""

from __future__ import annotations

import json
from typing import Any

import click

from rq_leveldb.cli import options, render

__all__ = ['children']


@click.command()
@click.argument('number', type=click.IntRange(min=0), required=False)
@options.url
@click.option('--worker', '-w', 'name', help='Only the worker of this name.  [default: all]')
@options.json_output
def children(number: int | None, url: str | None, name: str | None, as_json: bool) -> int:
    """Set how many jobs each worker runs at once to NUMBER; without NUMBER, show it.

    Running jobs continue. With 0, a worker finishes its jobs and takes no more until the number is raised.
    """
    from rq.command import send_command

    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import Fields, find_workers, is_refused, replies
    from rq_leveldb.records import CHILDREN_COMMAND, MAX_CHILDREN_FIELD, WORKER_KEY_TEMPLATE

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    found = [worker for worker in find_workers(connection).names if name is None or worker == name]
    pipe = connection.pipeline(transaction=False)
    for worker in found:
        pipe.hgetall(WORKER_KEY_TEMPLATE.format(worker))
        pipe.scard(f'{WORKER_KEY_TEMPLATE.format(worker)}:executions')
    answers = replies(pipe) if found else []
    rows: list[list[str | int]] = []
    changed = 0
    for worker, raw, busy in zip(found, answers[::2], answers[1::2], strict=True):
        if not is_refused(raw) and not raw:
            # The worker is gone; only its name is left.
            continue
        fields = Fields(raw, WORKER_KEY_TEMPLATE.format(worker))
        limit: int | str | None = fields.whole(MAX_CHILDREN_FIELD)
        if fields.faults:
            render.complain(f'worker {worker}: {"; ".join(map(str, fields.faults))}')
            limit = '?'
        elif limit is None:
            # RQ's own worker runs one job at a time, whatever it is told.
            limit = 1
        elif number is not None:
            send_command(connection, worker, CHILDREN_COMMAND, children=number)
            changed += 1
            limit = number
        rows.append([worker, '?' if is_refused(busy) else busy, limit])
    if not rows or (number is not None and not changed):
        render.complain('no such worker is running' if name else 'no worker is running', 'Start one: rq-leveldb worker')
        return 1
    if as_json:
        shown = [dict(zip(('worker', 'busy', 'limit'), row, strict=True)) for row in rows]
        click.echo(json.dumps({'workers': shown}, indent=2))
    else:
        render.table(['Worker', 'Busy', 'At most'], rows)
    return 0

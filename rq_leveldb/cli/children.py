"""rq-leveldb children: how many jobs the workers may run at once, changed while they run."""

from __future__ import annotations

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

    from rq_leveldb.cli.workers_seen import read_workers
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import find_workers
    from rq_leveldb.process import most_processes
    from rq_leveldb.records import CHILDREN_COMMAND, MAX_CHILDREN_FIELD

    if number is not None and number > most_processes():
        raise click.BadParameter(
            f'not more than {most_processes():,} processes fit into the memory of this machine', param_hint='NUMBER'
        )
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    found = [worker for worker in find_workers(connection).names if name is None or worker == name]
    rows: list[list[str | int]] = []
    changed = 0
    for worker in read_workers(connection, found):
        if not worker.is_there:
            # It is gone; only its name is left.
            continue
        limit: int | str | None = worker.fields.whole(MAX_CHILDREN_FIELD)
        if worker.fields.faults:
            render.complain(f'worker {worker.name}: {"; ".join(map(str, worker.fields.faults))}')
            limit = '?'
        elif limit is None:
            # RQ's own worker runs one job at a time, whatever it is told.
            limit = 1
        elif number is not None:
            send_command(connection, worker.name, CHILDREN_COMMAND, children=number)
            changed += 1
            limit = number
        rows.append([worker.name, '?' if worker.busy is None else worker.busy, limit])
    if not rows or (number is not None and not changed):
        render.complain('no such worker is running' if name else 'no worker is running', 'Start one: rq-leveldb worker')
        return 1
    if as_json:
        shown = [dict(zip(('worker', 'busy', 'limit'), row, strict=True)) for row in rows]
        render.document({'workers': shown})
    else:
        render.table(['Worker', 'Busy', 'At most'], rows)
    return 0

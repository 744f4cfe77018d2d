"""rq-leveldb top: queues, workers and running jobs, as they change."""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ['top']

# Running jobs that are read; as many are shown as there is room for.
_MOST = 200
_STATES = ('queued', 'started', 'failed', 'scheduled', 'deferred', 'finished')


def _refuse_nan(context: click.Context, parameter: click.Parameter, value: float) -> float:
    # It is neither below nor above the range.
    if value != value:
        raise click.BadParameter('nan is not a number of seconds')
    return value


@click.command()
@options.url
@click.option(
    '--interval',
    '-i',
    type=click.FloatRange(0.1, 3600),
    callback=_refuse_nan,
    default=1.0,
    show_default=True,
    help='Seconds between looks.',
)
@options.json_output
def top(url: str | None, interval: float, as_json: bool) -> int:
    """Show queues, workers and running jobs until Ctrl-C, the longest running first. In a pipe they are shown once.

    The rates are those of this package's workers, which count their jobs about every two seconds.
    """
    from rq_leveldb.client.connection import Redis

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    snapshot = _look(connection)
    if as_json:
        render.document(snapshot)
        return 0
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not sys.stdout.isatty():
        console.width = 200
        console.print(_shown(snapshot, None, _MOST))
        return 0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        try:
            before = None
            while True:
                room = console.size.height - len(snapshot['queues']) - len(snapshot['workers']) - 12
                live.update(_shown(snapshot, before, max(3, room)), refresh=True)
                time.sleep(interval)
                before, snapshot = snapshot, _look(connection)
        except KeyboardInterrupt:
            return 0


def _look(connection: Any) -> dict[str, Any]:
    from rq.suspension import WORKERS_SUSPENDED

    from rq_leveldb.cli.workers_seen import see_workers, serving
    from rq_leveldb.jobs.oldest import oldest_waiting
    from rq_leveldb.lookup import count_jobs, find_paused, find_queues, is_refused, replies
    from rq_leveldb.reading import Reader
    from rq_leveldb.records import TALLY_KEY

    reader = Reader()
    names = find_queues(connection).names
    workers = see_workers(connection)
    paused = find_paused(connection).names
    pipe = connection.pipeline(transaction=False)
    pipe.exists(WORKERS_SUSPENDED)
    pipe.hmget(TALLY_KEY, 'finished|', 'failed|')
    is_suspended, tally = replies(pipe)
    ended = (None, None) if is_refused(tally) else tally
    return {
        'at': time.time(),
        'suspended': bool(is_suspended),
        'finished': _number(ended[0]),
        'failed': _number(ended[1]),
        'queues': [
            {
                'name': name,
                'is_paused': name in paused,
                **{state: counts[state] for state in _STATES},
                'oldest_wait_seconds': age,
                'workers': len(serving(workers, name)),
            }
            for name, counts, age in zip(
                names, count_jobs(connection, names), oldest_waiting(connection, reader, names), strict=True
            )
        ],
        'workers': [
            {name: getattr(worker, name) for name in ('name', 'host', 'queues', 'busy', 'limit', 'is_dead')}
            for worker in workers
        ],
        'running': _running(connection, names),
    }


def _running(connection: Any, names: list[str]) -> list[dict[str, Any]]:
    from rq_leveldb.jobs.listing import newest
    from rq_leveldb.reading import Reader, call_text, read_call

    reader = Reader()
    found = []
    for entry in islice(newest(connection, reader, 'started', names, {}, []), _MOST):
        if entry.seen is None:
            continue
        job = entry.seen.job
        function, args, kwargs = read_call(reader, job.data)
        found.append(
            {
                'id': job.id,
                'queue': entry.queue,
                'worker': job.worker_name,
                'seconds': None if job.started_at is None else round(time.time() - job.started_at.timestamp(), 3),
                'call': job.description if function is None else call_text(function, args, kwargs),
            }
        )
    return sorted(found, key=lambda job: -(job['seconds'] or 0))


def _number(stored: bytes | None) -> int:
    try:
        return int(stored or 0)
    except ValueError:
        return 0


def _shown(snapshot: dict[str, Any], before: dict[str, Any] | None, room: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    alive = sum(not worker['is_dead'] for worker in snapshot['workers'])
    busy = sum(worker['busy'] for worker in snapshot['workers'])
    head = f'{time.strftime("%H:%M:%S", time.localtime(snapshot["at"]))}  {alive} workers, {busy} jobs running'
    if before is not None:
        passed = max(1e-3, snapshot['at'] - before['at'])
        finished, failed = ((snapshot[name] - before[name]) / passed for name in ('finished', 'failed'))
        head += f', {finished:.1f} finished/s, {failed:.1f} failed/s'
    parts: list[RenderableType] = [Text(head, style='bold')]
    if snapshot['suspended']:
        parts.append(Text('All workers are suspended; rq-leveldb resume lets them go on.', style='yellow'))
    queues = _table('queue', *_STATES, 'oldest waits', 'workers')
    for queue in snapshot['queues']:
        age = queue['oldest_wait_seconds']
        is_unserved = bool(queue['queued']) and not queue['workers'] and not queue['is_paused']
        cells = ['?' if queue[state] is None else str(queue[state]) for state in _STATES]
        queues.add_row(
            Text(
                render.cut(f'{queue["name"]} (paused)' if queue['is_paused'] else queue['name']),
                style='yellow' if queue['is_paused'] else '',
            ),
            *cells,
            '' if age is None else render.duration(age),
            Text(str(queue['workers']), style='red' if is_unserved else ''),
        )
    workers = _table('worker', 'busy', 'at most', 'queues')
    for worker in snapshot['workers']:
        style = 'red' if worker['is_dead'] else ''
        name = f'{worker["name"]} (died)' if worker['is_dead'] else worker['name']
        workers.add_row(
            Text(render.cut(name), style=style),
            str(worker['busy']),
            str(worker['limit']),
            Text(render.cut(', '.join(worker['queues']))),
        )
    jobs = _table('running', 'for', 'queue', 'call')
    for job in snapshot['running'][:room]:
        age = job['seconds']
        jobs.add_row(
            Text(render.cut(job['id'])),
            '' if age is None else render.duration(age),
            Text(render.cut(job['queue'])),
            Text(render.cut(job['call'] or '')),
        )
    return Group(*parts, *(table for table in (queues, workers, jobs) if table.row_count))


def _table(first: str, *others: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(first, box=SIMPLE_HEAD, pad_edge=False)
    for heading in others:
        is_text = heading in ('queue', 'queues', 'call')
        table.add_column(heading, justify='left' if is_text else 'right', no_wrap=True, overflow='ellipsis')
    return table

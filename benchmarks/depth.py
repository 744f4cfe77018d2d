"""What a store's depth costs: `python -m benchmarks.depth`.

A store is filled with jobs of one state, and what users and workers do all day is measured at each depth. Nothing of it
may take longer the more jobs there are. The table has no peer. Of what is measured again, the shortest times and the
largest sizes stay among the results, which `python -m benchmarks.depth_plot` draws.
"""

from __future__ import annotations

import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import click
import falcon.testing
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rq.job import Job
from rq.registry import clean_registries

from benchmarks.deep_store import FUNCTION, QUEUE, STATES, fill, job_id
from benchmarks.memory import cpu_seconds, memory
from rq_leveldb import Queue, Redis
from rq_leveldb.client import autostart
from rq_leveldb.http.application import build
from rq_leveldb.http.settings import HttpSettings
from rq_leveldb.jobs.listing import Listed, write_cursor
from rq_leveldb.jobs.states import Position
from rq_leveldb.location import Location, parse
from rq_leveldb.lookup import count_jobs, registry_key

_FILLED = 'benchmarks:filled'
_IDLE_SECONDS = 7200
_WIDTH = 160
ROWS = {
    'enqueue': ('enqueue a job', 'ms'),
    'dequeue': ('dequeue a job', 'ms'),
    'fetch': ('Job.fetch', 'ms'),
    'cancel': ('cancel a job', 'ms'),
    'requeue': ('requeue a failed job', 'ms'),
    'show': ('HTTP: show a job', 'ms'),
    'page': ('HTTP: first page', 'ms'),
    'middle': ('HTTP: a page in the middle', 'ms'),
    'filtered': ('HTTP: first page of a function', 'ms'),
    'nothing': ('HTTP: a page of which nothing matches', 'ms'),
    'groups': ('HTTP: failures in groups', 'ms'),
    'queues': ('HTTP: queues with counts', 'ms'),
    'count': ('counts of all states', 'ms'),
    'clean': ("RQ's cleaning of registries", 'ms'),
    'info': ('rq-leveldb info', 'ms'),
    'reopen': ('stop, start and first PING', 'ms'),
    'memory': ('private memory of the store', 'MB'),
    'disk': ('disk', 'MB'),
}
"""What is measured, and the unit, by name in the results."""


def measure(connection: Any, location: Location, state: str, first: int, last: int, times: int) -> dict[str, float]:
    """Measure everything in a store.

    Args:
        connection: to the store.
        location: of the store.
        state: of the jobs that it was filled with.
        first: number of the first job of which nothing was measured yet.
        last: number after the last.
        times: how often what takes a moment is done.
    """
    queue = Queue(QUEUE, connection=connection)
    numbers = random.sample(range(first, last), min(last - first, 4 * times))
    fresh = (job_id(state, number) for number in numbers)

    def usual(act: Callable[[], object], count: int = times) -> float:
        found = []
        for _ in range(count):
            began = time.perf_counter()
            act()
            found.append(time.perf_counter() - began)
        # Of the quicker half: the other one says what else the machine was doing.
        return round(1000 * sorted(found)[count // 4], 3)

    def each(act: Callable[[Job], object]) -> float:
        found = (Job.fetch(name, connection=connection) for name in fresh)
        # Others were changed when this store was measured before.
        jobs = list(islice((job for job in found if job.get_status(refresh=False).value == state), times))
        return usual(lambda: act(jobs.pop()), len(jobs))

    found = {
        'enqueue': usual(lambda: queue.enqueue(FUNCTION, 1, 2)),
        'dequeue': usual(lambda: Queue.dequeue_any([queue], None, connection=connection)),
        'fetch': usual(lambda: Job.fetch(next(fresh), connection=connection)),
    }
    if state in ('queued', 'scheduled'):
        found['cancel'] = each(lambda job: job.cancel())
    if state == 'failed':
        found['requeue'] = each(lambda job: job.requeue())
    front = build(connection, HttpSettings(), None)
    client = falcon.testing.TestClient(front.app, headers={'Host': 'localhost'})

    def get(path: str, count: int = 9, **params: str) -> float:
        def ask() -> None:
            answer = client.simulate_get(path, params=params)
            assert answer.status_code == 200, answer.text

        return usual(ask, count)

    found |= {
        'show': get(f'/v1/jobs/{_middle(connection, state, first, last)[0]}', times),
        'page': get('/v1/jobs', status=state),
        'middle': get('/v1/jobs', status=state, cursor=_cursor(connection, state, first, last)),
        'filtered': get('/v1/jobs', status=state, function=FUNCTION),
        'nothing': get('/v1/jobs', status=state, search='no such text'),
        'queues': get('/v1/queues'),
    }
    if state == 'failed':
        found['groups'] = get('/v1/failures')
    front.close()
    found['count'] = usual(lambda: count_jobs(connection, [QUEUE]), 9)
    found['clean'] = usual(lambda: clean_registries(queue), 9)
    command = [sys.executable, '-m', 'rq_leveldb', 'info', '--url', location.url]
    found['info'] = usual(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), 5)
    found['memory'] = round(memory(connection.info()['process_id']).own, 1)
    files = location.directory.path.rglob('*')
    found['disk'] = round(sum(file.stat().st_size for file in files if file.is_file()) / 1e6, 1)
    opened = []
    for _ in range(3):
        autostart.stop(location.directory)
        began = time.perf_counter()
        connection.ping()
        opened.append(time.perf_counter() - began)
    found['reopen'] = round(1000 * min(opened), 3)
    return found


def _settle(connection: Any, patience: float = 120.0) -> None:
    """Wait until the store has done what it does in the background, such as compaction after a fill."""
    pid = connection.info()['process_id']
    deadline = time.monotonic() + patience
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(1)
        now = cpu_seconds(pid)
        if now - before < 0.05:
            break
        before = now


def _middle(connection: Any, state: str, first: int, last: int) -> tuple[str, float]:
    """Return a job about in the middle of a list, and its score there; in a queue its index."""
    if state == 'queued':
        index = connection.llen(f'rq:queue:{QUEUE}') // 2
        return connection.lindex(f'rq:queue:{QUEUE}', index).decode(), float(index)
    numbers = random.Random(first).sample(range(first, last), min(101, last - first))
    with connection.pipeline(transaction=False) as pipe:
        names = [job_id(state, number) for number in numbers]
        for name in names:
            pipe.zscore(registry_key(state, QUEUE), name)
        scores = pipe.execute()
    kept = sorted((score, name) for score, name in zip(scores, names, strict=True) if score is not None)
    score, name = kept[len(kept) // 2]
    return name, float(score)


def _cursor(connection: Any, state: str, first: int, last: int) -> str:
    name, score = _middle(connection, state, first, last)
    return write_cursor(Listed(QUEUE, Position(score, name), None))


@contextmanager
def _directory(parent: Path | None) -> Iterator[Path]:
    if parent is not None:
        yield parent
        return
    with tempfile.TemporaryDirectory(prefix='depth-') as directory:
        yield Path(directory)


@click.command(help=__doc__)
@click.option('--jobs', 'depths', multiple=True, type=click.IntRange(1000), help='Depths; 1,000 to 1,000,000 if none.')
@click.option('--states', multiple=True, type=click.Choice(STATES), help='States of the jobs; all if none.')
@click.option('--times', type=click.IntRange(1), default=50, show_default=True, help='How often what is short is done.')
@click.option(
    '--dir',
    'parent',
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help='Keep the stores here; those that are here are filled further.',
)
@click.option('--results', type=click.Path(path_type=Path, dir_okay=False), help='Write, or add to, this JSON file.')
def main(
    depths: tuple[int, ...], states: tuple[str, ...], times: int, parent: Path | None, results: Path | None
) -> None:
    depths = tuple(sorted(set(depths))) or (1_000, 100_000, 1_000_000)
    measured: dict[str, dict[str, dict[str, float]]] = {}
    if results is not None and results.exists():
        measured = json.loads(results.read_text())['states']
    columns = [
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    ]
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    with _directory(parent) as directory:
        for state in states or STATES:
            location = parse(f'leveldb://{directory}/{state}?idle={_IDLE_SECONDS}')
            with Redis.from_url(location.url) as connection, Progress(*columns, console=console) as progress:
                for depth in depths:
                    filled = int(connection.get(_FILLED) or 0)
                    if filled > depth:
                        raise click.UsageError(f'{location.directory.path} holds more: {filled:,} jobs.')
                    task = progress.add_task(f'{state}: filling', completed=filled, total=depth)
                    if filled < depth:
                        fill(connection, location, state, filled, depth, partial(progress.advance, task))
                        connection.set(_FILLED, depth)
                    progress.update(task, description=f'{state}: measuring', completed=depth)
                    _settle(connection)
                    values = measure(connection, location, state, filled if filled < depth else 0, depth, times)
                    before = measured.setdefault(state, {}).get(str(depth), {})
                    measured[state][str(depth)] = _together(before, values)
                    progress.remove_task(task)
                    if results is not None:
                        _write(results, measured)
            autostart.stop(location.directory)
            console.print(_table(state, measured[state]))


def _together(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Return the shortest times and the largest sizes of two runs."""
    return {
        name: (max if ROWS[name][1] == 'MB' else min)(values[name] for values in (one, other) if name in values)
        for name in ROWS
        if name in one or name in other
    }


def _write(path: Path, measured: dict[str, dict[str, dict[str, float]]]) -> None:
    ordered = {
        state: {str(depth): measured[state][str(depth)] for depth in sorted(map(int, measured[state]))}
        for state in STATES
        if state in measured
    }
    machine = f'{platform.system()} {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores'
    path.write_text(json.dumps({'machine': machine, 'states': ordered}, indent=1) + '\n')


def _table(state: str, measured: dict[str, dict[str, float]]) -> Table:
    depths = sorted(measured, key=int)
    table = Table(title=f'{state} jobs; the last column is the deepest divided by the shallowest')
    table.add_column('')
    for depth in depths:
        table.add_column(f'{int(depth):,}', justify='right')
    table.add_column('', justify='right')
    for name, (about, unit) in ROWS.items():
        values = [measured[depth].get(name) for depth in depths]
        known = [value for value in values if value is not None]
        if known:
            ratio = f'{known[-1] / known[0]:.1f}' if known[0] else ''
            texts = ('' if value is None else f'{value:,.1f}' for value in values)
            table.add_row(f'{about}, {unit}', *texts, ratio)
    return table


if __name__ == '__main__':
    main()

"""`python -m benchmarks.http`: the HTTP front beside an empty Falcon application under the same gunicorn settings."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Table
from rq import Queue

import rq_leveldb
from benchmarks.report import OURS, WORDS, Goal, Row, number

TOKEN = 'a-token-for-the-benchmark'
CONNECTIONS = 8
BATCH = 100
JOB: dict[str, Any] = {'function': 'benchmarks.jobs.nothing', 'args': [1]}


def request(path: str, document: Any) -> str:
    body = json.dumps(document)
    return (
        f'POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n'
        f'Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}'
    )


@contextmanager
def serving(*command: str) -> Iterator[tuple[int, int]]:
    """Run a service that says on which port it serves; yield the port and the process id."""
    environ = {**os.environ, 'RQ_LEVELDB_HTTP_TOKEN': TOKEN}
    process = subprocess.Popen([sys.executable, '-m', *command], stdout=subprocess.PIPE, text=True, env=environ)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().strip().rpartition(':')[2]), process.pid
    finally:
        process.terminate()
        process.wait()


def load(port: int, seconds: float, text: str, connections: int = CONNECTIONS, **more: Any) -> dict[str, float]:
    task = {'port': port, 'request': text, 'connections': connections, 'seconds': seconds, **more}
    command = [sys.executable, '-m', 'benchmarks.http_load', json.dumps(task)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def own_batches(url: str, seconds: float) -> float:
    """Jobs a second that one process reaches with enqueue_many and no HTTP."""
    queue = Queue('plain', connection=rq_leveldb.Redis.from_url(url))
    data = [Queue.prepare_data(JOB['function'], (number,)) for number in range(BATCH)]
    queue.enqueue_many(data)
    count, began = 0, time.perf_counter()
    while time.perf_counter() < began + seconds:
        queue.enqueue_many(data)
        count += BATCH
    return count / (time.perf_counter() - began)


def processor_time(pid: int) -> float:
    """Seconds of processor time that a service's processes have used."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(process.cpu_times().user + process.cpu_times().system for process in processes))


def proportional_memory(pid: int) -> float:
    """MB that a service's processes use, what they share counted once."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return float(sum(process.memory_full_info().pss for process in processes)) / 1e6


def measure(directory: Path, runs: int, seconds: float, judged: bool) -> list[Row]:
    """Return the lines of the table."""
    url = f'leveldb://{directory / "http"}'
    one = request('/v1/jobs', JOB)
    batch = request('/v1/batch', {'jobs': [JOB] * BATCH})
    names = ('rate', 'bare', 'ratio', 'bound', 'bound ratio', 'cpu', 'p99', 'batch', 'own', 'batch ratio')
    values: dict[str, list[float]] = {name: [] for name in names}
    front = ('rq_leveldb', 'http', '--url', url, '--http', '127.0.0.1:0', '--allow', JOB['function'])
    with (
        serving(*front) as (port, pid),
        serving('benchmarks.http_bare') as (bare_port, bare_pid),
        serving('benchmarks.http_bare', 'bound') as (bound_port, bound_pid),
    ):
        services = {'bare': (bare_port, bare_pid), 'bound': (bound_port, bound_pid), 'rate': (port, pid)}
        for its_port, _ in services.values():
            load(its_port, 0.5, one)
        for _ in range(runs):
            costs = {}
            for name, (its_port, its_pid) in services.items():
                before = processor_time(its_pid)
                values[name].append(load(its_port, seconds, one)['rate'])
                costs[name] = (processor_time(its_pid) - before) / values[name][-1]
            values['ratio'].append(values['rate'][-1] / values['bare'][-1])
            values['bound ratio'].append(values['rate'][-1] / values['bound'][-1])
            values['cpu'].append(costs['bound'] / costs['rate'])
            values['p99'].append(load(port, seconds, one, rate=values['rate'][-1] / 2)['p99'])
            values['batch'].append(load(port, seconds, batch, 2)['rate'] * BATCH)
            values['own'].append(own_batches(url, seconds))
            values['batch ratio'].append(values['batch'][-1] / min(10_000.0, values['own'][-1]))
        memory = proportional_memory(pid)
    return [
        Row(
            'enqueue over HTTP / empty application',
            'ratio',
            {OURS: values['ratio']},
            True,
            [Goal(0.6)],
            judged,
            "the empty application under gunicorn's threaded worker as it comes, with the same settings",
        ),
        Row('/ empty application bound to one core as well', 'ratio', {OURS: values['bound ratio']}),
        Row('the same by processor time of the server', 'ratio', {OURS: values['cpu']}),
        Row('enqueue over HTTP, 8 connections', 'jobs/s', {OURS: values['rate']}),
        Row('the empty application', 'requests/s', {OURS: values['bare']}),
        Row('the empty application bound to one core', 'requests/s', {OURS: values['bound']}),
        Row('99th percentile at half of that load', 'ms', {OURS: values['p99']}, False, [Goal(at_most=50.0)], judged),
        Row(
            'batches of 100 / 10,000 a second or enqueue_many',
            'ratio',
            {OURS: values['batch ratio']},
            True,
            [Goal(1.0)],
            judged,
            'over two connections; divided by 10,000 or by what one process reaches with enqueue_many in the same run, '
            'whichever is less',
        ),
        Row('batches of 100', 'jobs/s', {OURS: values['batch']}),
        Row('enqueue_many of 100 without HTTP', 'jobs/s', {OURS: values['own']}),
        Row('memory after the load', 'MB PSS', {OURS: [memory]}, False, [Goal(at_most=60.0)], judged),
    ]


@click.command(help=__doc__)
@click.option('--runs', type=click.IntRange(1), default=5, show_default=True)
@click.option('--quick', is_flag=True, help='Short runs: shows that all works, proves nothing.')
def main(runs: int, quick: bool) -> None:
    """Measure and print."""
    seconds = 1.0 if quick else 5.0
    with tempfile.TemporaryDirectory(prefix='http-bench-') as directory:
        rows = measure(Path(directory), runs, seconds, not quick)
    table = Table(pad_edge=False)
    for title in ('measured', 'median', 'lowest', 'highest', 'unit', 'goal', ''):
        table.add_column(title)
    for row in rows:
        found = row.values[OURS]
        goals = ' '.join(map(str, row.goals))
        marks = ' '.join(WORDS[row.verdict(goal)] for goal in row.goals)
        spread = (number(statistics.median(found)), number(min(found)), number(max(found)))
        table.add_row(row.name, *spread, row.unit, goals, marks)
    console = Console()
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f'{row.name}: {row.note}')
    versions = ', '.join(f'{name} {metadata.version(name)}' for name in ('falcon', 'gunicorn', 'rq', 'redis'))
    console.print(f'{versions}, Python {platform.python_version()}, {os.cpu_count()} cores, runs in turns')


if __name__ == '__main__':
    main()

"""How long many jobs take to be changed, and how long others wait meanwhile: `python -m benchmarks.bulk`.

Another client sends a PING every millisecond; its longest wait is what counts. The table has no peer.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import falcon.testing
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rq.registry import FailedJobRegistry

from benchmarks.deep_store import QUEUE, fill
from rq_leveldb import Queue, Redis
from rq_leveldb.client import autostart
from rq_leveldb.http.application import build
from rq_leveldb.http.settings import HttpSettings
from rq_leveldb.location import parse

_EVERY = 0.001
_PINGER = 'import sys; from benchmarks.bulk import ping; ping(sys.argv[1])'
_WIDTH = 140

Act = Callable[[Any, str], None]


def ping(url: str) -> None:
    """Send PINGs until stdin ends, and print the waits that matter, ms: 99.9 % were no longer, and the longest."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    waits = []
    with autostart.connect(parse(url)) as connected:
        print('ready', flush=True)
        while not ended.wait(_EVERY):
            began = time.perf_counter()
            connected.sendall(b'PING\r\n')
            connected.recv(64)
            waits.append(1000 * (time.perf_counter() - began))
    waits.sort()
    print(json.dumps([waits[int(0.999 * len(waits))], waits[-1]]))


@contextmanager
def _pinging(url: str) -> Iterator[list[float]]:
    process = subprocess.Popen(
        [sys.executable, '-c', _PINGER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    found: list[float] = []
    try:
        yield found
    finally:
        out, _ = process.communicate()
        found += json.loads(out)


def _command(*arguments: str) -> Act:
    def act(connection: Any, url: str) -> None:
        command = [sys.executable, '-m', 'rq_leveldb', *arguments, '--url', url]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    return act


def _front(path: str) -> Act:
    def act(connection: Any, url: str) -> None:
        front = build(connection, HttpSettings(), None)
        client = falcon.testing.TestClient(front.app, headers={'Host': 'localhost'})
        body: dict[str, str] = {}
        while True:
            answer = client.simulate_post(path, json=body)
            assert answer.status_code == 200, answer.text
            if answer.json['is_complete']:
                break
            body = {'cursor': answer.json['next']}
        front.close()

    return act


def _loop(connection: Any, url: str) -> None:
    registry = FailedJobRegistry(QUEUE, connection=connection)
    for job_id in registry.get_job_ids():
        registry.requeue(job_id)


def _empty(connection: Any, url: str) -> None:
    Queue(QUEUE, connection=connection).empty()


ACTS: dict[str, tuple[str, Act]] = {
    'rq-leveldb requeue --all': ('failed', _command('requeue', '--all')),
    'POST /v1/requeue-failed until complete': ('failed', _front('/v1/requeue-failed')),
    'RQ: registry.requeue of each': ('failed', _loop),
    'rq-leveldb delete --state failed': ('failed', _command('delete', '--state', 'failed', '--yes')),
    'POST /v1/delete-failed until complete': ('failed', _front('/v1/delete-failed')),
    'rq-leveldb delete --state finished': ('finished', _command('delete', '--state', 'finished', '--yes')),
    'rq-leveldb cancel --all': ('queued', _command('cancel', '--all', '--yes')),
    'rq-leveldb empty --all': ('queued', _command('empty', '--all')),
    'Queue.empty()': ('queued', _empty),
}
"""What is done, to jobs of which state."""


@click.command(help=__doc__)
@click.argument('jobs', type=click.IntRange(100), default=100_000)
@click.option('--only', multiple=True, help='Only what has this text in its name.')
def main(jobs: int, only: tuple[str, ...]) -> None:
    chosen = {name: act for name, act in ACTS.items() if not only or any(text in name for text in only)}
    table = Table(title=f'{jobs:,} jobs; goal: nobody waits for more than 100 ms')
    for heading in ('', 's', 'PING, 99.9 %, ms', 'longest PING, ms', 'longest command', 'ms'):
        table.add_column(heading, justify='right' if heading and heading != 'longest command' else 'left')
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    columns = [TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with tempfile.TemporaryDirectory(prefix='bulk-') as directory, Progress(*columns, console=console) as progress:
        for state in dict.fromkeys(state for state, _ in chosen.values()):
            full = parse(f'leveldb://{directory}/{state}')
            task = progress.add_task(f'filling with {state} jobs', total=jobs)
            with Redis.from_url(full.url) as connection:
                connection.ping()
                fill(connection, full, state, 0, jobs, partial(progress.advance, task))
            autostart.stop(full.directory)
            progress.remove_task(task)
            for name, (wanted, act) in chosen.items():
                if wanted != state:
                    continue
                task = progress.add_task(name, total=None)
                place = Path(directory, 'used')
                shutil.copytree(full.directory.path, place)
                table.add_row(name, *_measure(f'leveldb://{place}', act))
                autostart.stop(parse(f'leveldb://{place}').directory)
                shutil.rmtree(place)
                progress.remove_task(task)
    console.print(table)


def _measure(url: str, act: Act) -> list[str]:
    with Redis.from_url(url) as connection:
        connection.config_set('slowlog-log-slower-than', 1000)
        connection.config_set('slowlog-max-len', 1000)
        connection.slowlog_reset()
        with _pinging(url) as waits:
            began = time.perf_counter()
            act(connection, url)
            seconds = time.perf_counter() - began
        slowest = max(connection.slowlog_get(1000), key=lambda entry: entry['duration'], default=None)
    told = ['', ''] if slowest is None else [slowest['command'][:12].decode(), f'{slowest["duration"] / 1000:,.1f}']
    return [f'{seconds:,.1f}', *(f'{wait:,.1f}' for wait in waits), *told]


if __name__ == '__main__':
    main()

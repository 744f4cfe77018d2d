"""`python -m benchmarks.worker`: our worker beside RQ's on real Redis, in turns, in this run; ratios first.

Each measurement is repeated (--runs) with the systems taking turns, and the medians are compared, since other things
run on the machine. CPU time per job is printed as well: it says what a job costs even where the machine is busy.
"""

from __future__ import annotations

import gc
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console
from rich.table import Table
from rq import Queue

from benchmarks import worker_jobs
from benchmarks.peers import PEERS, Peer
from benchmarks.report import OURS, UNIX, number

CHILDREN = 4
JOBS_PER_CHILD = 1000
OURS_AGAIN = f'{OURS}, {JOBS_PER_CHILD} jobs a process'
RQ_POOL = f'rq worker-pool -n {CHILDREN}'
RQ_WORKER = 'rq worker'
BARE = f'bare forks, {CHILDREN} at once'
# Measured once: RQ's worker on Redis was killed with -9, and its job was run again after this many seconds.
RQ_RECOVERY = 810.0
_CHECKOUT = Path(__file__).resolve().parent.parent


def _command(system: str, url: str, *, burst: bool, children: int = CHILDREN) -> list[str]:
    program = [sys.executable, '-m']
    end = ['-q', '-b'] if burst else ['-q']
    if system == OURS_AGAIN:
        return [*_command(OURS, url, burst=burst, children=children), '--jobs-per-child', str(JOBS_PER_CHILD)]
    if system == OURS:
        ours = ['worker', '--url', url, '--no-http', '-m', str(children), '--import', 'benchmarks.worker_jobs']
        return [*program, 'rq_leveldb', *ours, *end]
    kind = ['worker-pool', '-n', str(children)] if system == RQ_POOL else ['worker']
    return [*program, 'rq.cli', *kind, '-u', url, *end]


@contextmanager
def _worker(system: str, url: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        _command(system, url, burst=False, **options),
        cwd=_CHECKOUT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _client(peer: Peer) -> Any:
    from rq_leveldb import Redis

    return Redis.from_url(peer.url)


def _until(condition: Callable[[], Any], seconds: float = 300.0, pause: float = 0.002) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError('it did not happen in time')
        time.sleep(pause)


def _cpu(process: psutil.Process) -> float:
    """Processor time of a process and all that it has reaped or that still runs below it."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def throughput(system: str, peer: Peer, jobs: int) -> tuple[float, float]:
    """Return no-op jobs a second, and milliseconds of processor time that one costs the worker."""
    queue = Queue(connection=_client(peer))
    with _worker(system, peer.url) as process:
        warm = [queue.enqueue(worker_jobs.nothing, result_ttl=5000) for _ in range(CHILDREN * 4)]
        _until(lambda: queue.finished_job_registry.count == len(warm))
        before = _cpu(psutil.Process(process.pid))
        prepared = [Queue.prepare_data(worker_jobs.nothing, result_ttl=5000) for _ in range(jobs)]
        began = time.perf_counter()
        queue.enqueue_many(prepared)
        # Seldom, since each look takes processor time from what is measured.
        _until(lambda: queue.connection.zcard('rq:finished:default') == jobs + len(warm), pause=0.02)
        seconds = time.perf_counter() - began
        used = _cpu(psutil.Process(process.pid)) - before
    return jobs / seconds, 1000 * used / jobs


def bare_forks(count: int) -> tuple[float, float]:
    """Return how many children a process with RQ imported can fork and reap a second, and what one costs."""
    code = (
        'import os, gc, time, rq, rq.worker, rq.registry, rq.results, rq.scheduler\n'
        'gc.collect(); gc.freeze()\n'
        'began, first, live = time.perf_counter(), os.times(), 0\n'
        f'for _ in range({count}):\n'
        f'    if live == {CHILDREN}: os.wait(); live -= 1\n'
        '    if os.fork() == 0: os._exit(0)\n'
        '    live += 1\n'
        'while live: os.wait(); live -= 1\n'
        'seconds, last = time.perf_counter() - began, os.times()\n'
        'used = sum(last[:4]) - sum(first[:4])\n'
        f'print({count} / seconds, 1000 * used / {count})\n'
    )
    said = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    rate, cost = map(float, said.split())
    return rate, cost


def latency(system: str, peer: Peer, directory: Path, count: int, pause: float, load: int) -> list[float]:
    """Return the milliseconds from enqueueing to the first line of each job.

    Args:
        system: what runs them.
        peer: where they are.
        directory: for the jobs' notes.
        count: how many.
        pause: seconds between two of them.
        load: no-op jobs enqueued beside each of them.
    """
    queue = Queue(connection=_client(peer))
    path = directory / f'latency{time.monotonic_ns()}'
    path.touch()
    children = CHILDREN if system != RQ_WORKER else 1
    with _worker(system, peer.url, children=children):
        warm = queue.enqueue(worker_jobs.nothing)
        _until(lambda: warm.get_status() == 'finished')
        time.sleep(1)
        for _ in range(count):
            for _ in range(load):
                queue.enqueue(worker_jobs.nothing, result_ttl=60)
            queue.enqueue(worker_jobs.stamp, str(path), time.time(), result_ttl=60)
            time.sleep(pause)
        _until(lambda: len(path.read_text().split()) == count)
    return sorted(float(line) * 1000 for line in path.read_text().split())


def recovery(peer: Peer, directory: Path) -> float:
    """Return the seconds from the kill -9 of our worker to the next run of its job by another worker."""
    from rq import Retry

    queue = Queue(connection=_client(peer))
    gate = directory / f'gate{time.monotonic_ns()}'
    job = queue.enqueue(worker_jobs.wait, str(gate), retry=Retry(max=1))
    with _worker(OURS, peer.url) as first, _worker(OURS, peer.url) as second:
        _until(lambda: job.get_status() == 'started' and queue.connection.scard('rq:workers') == 2)
        job.refresh()
        pid = queue.connection.hget(f'rq:worker:{job.worker_name}', 'pid')
        assert pid is not None
        victim = first if int(pid) == first.pid else second
        victim.kill()
        began = time.perf_counter()
        _until(lambda: job.retries_left == 0 or job.refresh() or False)
        _until(lambda: job.get_status() == 'started')
        seconds = time.perf_counter() - began
        gate.touch()
    return seconds


def idle(peer: Peer, seconds: float) -> tuple[float, float, float]:
    """Return the share of a core that an idle worker uses, in percent, and the PSS of worker and children in MB."""
    queue = Queue(connection=_client(peer))
    with _worker(OURS, peer.url) as process:
        warm = queue.enqueue(worker_jobs.nothing)
        _until(lambda: warm.get_status() == 'finished')
        root = psutil.Process(process.pid)
        _until(lambda: len(root.children(recursive=True)) == CHILDREN + 1)
        time.sleep(1)
        before = _cpu(root)
        time.sleep(seconds)
        used = _cpu(root) - before
        forker = root.children()[0]
        own = sum(one.memory_full_info().pss for one in (root, forker)) / 1e6
        children = statistics.mean(one.memory_full_info().pss for one in forker.children()) / 1e6
    return 100 * used / seconds, own, children


class _Results:
    def __init__(self) -> None:
        self.values: dict[tuple[str, str], list[float]] = {}

    def add(self, what: str, system: str, value: float) -> None:
        self.values.setdefault((what, system), []).append(value)

    def median(self, what: str, system: str) -> float | None:
        values = self.values.get((what, system))
        return statistics.median(values) if values else None


@click.command()
@click.option('--runs', default=3, show_default=True, help='How often each system is measured.')
@click.option('--jobs', default=600, show_default=True, help='Jobs per measurement of the throughput.')
@click.option('--quick', is_flag=True, help='Small numbers, to see that all works.')
def main(runs: int, jobs: int, quick: bool) -> None:
    """Measure the worker."""
    if quick:
        runs, jobs = 1, 60
    samples = 10 if quick else 60
    results = _Results()
    gc.collect()
    with tempfile.TemporaryDirectory(prefix='worker-bench-') as name:
        directory = Path(name)
        started = 0

        def peer(system: str) -> Peer:
            nonlocal started
            started += 1
            return PEERS[OURS if system in (OURS, OURS_AGAIN) else UNIX](directory / str(started), False)

        for _ in range(runs):
            for system in (OURS, OURS_AGAIN, RQ_POOL):
                with peer(system) as place:
                    rate, cost = throughput(system, place, jobs)
                results.add('no-op jobs/s', system, rate)
                results.add('CPU ms/job', system, cost)
            rate, cost = bare_forks(jobs)
            results.add('no-op jobs/s', BARE, rate)
            results.add('CPU ms/job', BARE, cost)
            for words, pause, load in (('idle', 0.05, 0), ('under load', 0.1, 2)):
                for system in (OURS, RQ_WORKER):
                    with peer(system) as place:
                        waits = latency(system, place, directory, samples, pause, load)
                    results.add(f'start, {words}, median ms', system, statistics.median(waits))
                    results.add(f'start, {words}, 99th percentile ms', system, waits[int(len(waits) * 0.99) - 1])
            with peer(OURS) as place:
                results.add('recovery s', OURS, recovery(place, directory))
            results.add('recovery s', RQ_WORKER, RQ_RECOVERY)
        with peer(OURS) as place:
            share, own, child = idle(place, 3 if quick else 20)
        results.add('idle, % of a core', OURS, share)
        results.add('PSS MB, worker and forker', OURS, own)
        results.add('PSS MB, an idle child', OURS, child)
    _print(results)


# What is measured, of whom, against whom, whether more is better, and the goal for the ratio or for our own number.
_GOALS = (
    ('no-op jobs/s', OURS, RQ_POOL, True, 3.0),
    ('no-op jobs/s', OURS_AGAIN, RQ_POOL, True, 20.0),
    ('no-op jobs/s', OURS, BARE, True, 0.5),
    ('CPU ms/job', OURS, RQ_POOL, False, None),
    ('CPU ms/job', OURS_AGAIN, RQ_POOL, False, None),
    ('CPU ms/job', OURS, BARE, False, None),
    ('start, idle, median ms', OURS, RQ_WORKER, False, 0.5),
    ('start, idle, 99th percentile ms', OURS, RQ_WORKER, False, 1.0),
    ('start, under load, median ms', OURS, RQ_WORKER, False, 0.5),
    ('start, under load, 99th percentile ms', OURS, RQ_WORKER, False, 1.0),
    ('recovery s', OURS, RQ_WORKER, False, None),
)
_OWN_GOALS = (
    ('recovery s', 1.0),
    ('idle, % of a core', 0.5),
    ('PSS MB, worker and forker', None),
    ('PSS MB, an idle child', None),
)


def _print(results: _Results) -> None:
    table = Table(pad_edge=False)
    for heading in ('measured', 'beside', 'ours / theirs', 'goal', '', 'ours', 'theirs'):
        table.add_column(heading, justify='left' if heading in ('measured', 'beside') else 'right')
    for what, own, system, more, goal in _GOALS:
        ours, theirs = results.median(what, own), results.median(what, system)
        if ours is None or not theirs:
            continue
        ratio = ours / theirs
        mark, text = '', ''
        if goal is not None:
            text = f'{">=" if more else "<="} {goal:g}'
            mark = 'pass' if (ratio >= goal if more else ratio <= goal) else 'FAIL'
        shown = what if own == OURS else f'{what}, {JOBS_PER_CHILD} a process'
        table.add_row(shown, system, number(ratio), text, mark, number(ours), number(theirs))
    for what, own_goal in _OWN_GOALS:
        ours = results.median(what, OURS)
        if ours is not None:
            text = f'<= {own_goal:g}' if own_goal is not None else ''
            mark = '' if own_goal is None else 'pass' if ours <= own_goal else 'FAIL'
            table.add_row(what, '', '', text, mark, number(ours), '')
    console = Console(width=120)
    console.print(table)
    load = ', '.join(f'{one:.1f}' for one in os.getloadavg())
    console.print(
        f'{os.cpu_count()} cores, load average at the end {load}; ours on its store, RQ on Redis (AOF everysec)'
    )


if __name__ == '__main__':
    main()

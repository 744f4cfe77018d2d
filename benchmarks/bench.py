"""Runs peers and clients in turn, shows how far it is, and profiles on request. Scenarios say what."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from rich.progress import Progress

from benchmarks.memory import cpu_seconds
from benchmarks.peers import PEERS, Peer
from benchmarks.report import OURS, Goal, Row

T = TypeVar('T')


class Rate(NamedTuple):
    """How fast something went.

    Args:
        jobs: a second.
        cpu: microseconds of processor time for each, of clients and server together.
    """

    jobs: float
    cpu: float


class Scenario(Protocol):
    """Something that can be measured; modules offer theirs in a list `SCENARIOS`."""

    @property
    def name(self) -> str:
        """The word by which it is selected."""

    @property
    def about(self) -> str:
        """A line for the list of scenarios."""

    def run(self, bench: Bench) -> list[Row]:
        """Measure all peers, in turns, and return the lines of the table."""


class Bench:
    """What scenarios measure with.

    Args:
        directory: where peers keep their files.
        runs: how often each peer is measured.
        quick: small numbers, to see that all works; goals that need size are not judged.
        progress: where to show how far it is.
        profile: a directory for profiles of our store and client, or None.
        own: the peer measured in our column; another one shows whether the benchmark itself is fair.
        only: the columns to measure; all if empty.
    """

    def __init__(
        self,
        directory: Path,
        runs: int,
        quick: bool,
        progress: Progress,
        profile: Path | None = None,
        own: Callable[[Path, bool], Peer] = PEERS[OURS],
        only: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.runs = runs
        self.quick = quick
        self.progress = progress
        self.profile = profile
        self.only = only
        self._own = own
        self._started = 0

    def wants(self, column: str) -> bool:
        return not self.only or column in self.only

    def size(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    @contextmanager
    def peer(self, column: str, always: bool = False) -> Iterator[Peer]:
        """A running peer in a fresh directory, which goes with it."""
        self._started += 1
        make = self._own if column == OURS else PEERS[column]
        peer = make(self.directory / f'{self._started}', always)
        try:
            with peer:
                yield peer
        finally:
            shutil.rmtree(peer.directory, ignore_errors=True)
            peer.directory.with_suffix('.log').unlink(missing_ok=True)

    def alternate(self, what: str, columns: Sequence[str], measure: Callable[[str], T]) -> dict[str, list[T]]:
        """Measure the columns in turns: A B A B, so that a slow minute of the machine meets all of them."""
        columns = [column for column in columns if self.wants(column)]
        values: dict[str, list[T]] = {column: [] for column in columns}
        task = self.progress.add_task(what, total=self.runs * len(columns))
        for turn in range(self.runs):
            # The order changes too, or the same peer always follows the heaviest one.
            for column in columns if turn % 2 == 0 else columns[::-1]:
                self.progress.update(task, description=f'{what}: {column}')
                values[column].append(measure(column))
                self.progress.advance(task)
        self.progress.remove_task(task)
        return values

    def clients(
        self,
        peer: Peer,
        task: str,
        number: int = 1,
        progress: str | None = None,
        on_start: Callable[[], None] = lambda: None,
        **options: Any,
    ) -> list[dict[str, Any]]:
        """Let so many clients do a task at the same moment and return what each of them found.

        Args:
            peer: where they connect to.
            task: a method of the client's tasks.
            number: how many processes.
            progress: what to show while it runs, if the client reports numbers of jobs out of `options['count']`.
            on_start: called when all are ready and none has begun.
            **options: what the task is told.
        """
        command = [sys.executable, '-m', 'benchmarks.client', peer.url, task, json.dumps(options)]
        environment = dict(os.environ)
        profiled = self.profile is not None and type(peer) is PEERS[OURS]
        if profiled and self.profile is not None:
            environment['BENCHMARKS_CLIENT_PROFILE'] = str(self.profile / f'client-{task}.txt')
        processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(number)
        ]
        bar = self.progress.add_task(progress, total=number * options['count']) if progress else None
        try:
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline() != 'ready\n':
                    raise RuntimeError(f'a client of {peer.url} could not get ready for {task}')
            with self._store_profile(peer, task) if profiled else nothing_else():
                on_start()
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write('go\n')
                    process.stdin.flush()
                return [self._result(process, bar) for process in processes]
        finally:
            if bar is not None:
                self.progress.remove_task(bar)
            for process in processes:
                process.kill()
                process.wait()

    def _result(self, process: subprocess.Popen[str], bar: Any) -> dict[str, Any]:
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            if line.startswith('{'):
                found: dict[str, Any] = json.loads(line)
                return found
            if bar is not None:
                self.progress.advance(bar, int(line) - done)
                done = int(line)
        raise RuntimeError(f'a client ended without a result: {process.args!r}')

    def rate(self, peer: Peer, task: str, number: int = 1, **options: Any) -> Rate:
        """The rate of `number` clients that do `options['count']` jobs each."""
        before: list[float] = []
        found = self.clients(peer, task, number, on_start=lambda: before.append(cpu_seconds(peer.pid)), **options)
        seconds = max(one['ended'] for one in found) - min(one['began'] for one in found)
        cpu = sum(one['cpu'] for one in found) + cpu_seconds(peer.pid) - before[0]
        jobs = number * int(options['count'])
        return Rate(jobs / float(seconds), 1e6 * cpu / jobs)

    def settle(self, peer: Peer, patience: float = 120.0) -> None:
        """Wait until the server has done what it does in the background: compaction, rewriting of its file."""
        bar = self.progress.add_task('waiting for the background work to end', total=None)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            before = cpu_seconds(peer.pid)
            time.sleep(1)
            if cpu_seconds(peer.pid) - before < 0.05:
                break
        self.progress.remove_task(bar)

    @contextmanager
    def _store_profile(self, peer: Peer, task: str) -> Iterator[None]:
        """py-spy on the store while the task runs: collapsed stacks in the profile directory."""
        assert self.profile is not None
        command = ['py-spy', 'record', '--pid', str(peer.pid), '--format', 'raw', '--rate', '500', '--native']
        output = self.profile / f'store-{task}.stacks'
        spy = subprocess.Popen(
            [*command, '--output', str(output)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert spy.stdout is not None
        spy.stdout.readline()  # it samples by now
        try:
            yield
        finally:
            spy.send_signal(signal.SIGINT)
            spy.communicate()


def rate_rows(what: str, rates: dict[str, list[Rate]], goals: Sequence[Goal] = (), note: str = '') -> list[Row]:
    """Two lines for one measurement: what was done in a second, and what each cost."""
    jobs = {name: [rate.jobs for rate in found] for name, found in rates.items()}
    costs = {name: [rate.cpu for rate in found] for name, found in rates.items()}
    return [
        Row(what, 'jobs/s', jobs, goals=goals, note=note),
        Row('  processor time for each', 'us', costs, more_is_better=False),
    ]


@contextmanager
def nothing_else() -> Iterator[None]:
    yield

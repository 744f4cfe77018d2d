"""The soak test: a worker and its store, clients that enqueue without pause, kills, and a verdict."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from redis.exceptions import ConnectionError, ResponseError, TimeoutError
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.soak import client, jobs
from tests.soak.samples import PROCESSES, Sample, look_at, middle_and_late, size_of, slope

_ACKNOWLEDGED, _BEGUN, _ENDED, _EXPLAINED = 1, 2, 4, 8
_AWAY = (ConnectionError, TimeoutError, ResponseError)
_CHILD_BLOW = 8.0
"""Seconds between two kills of a job's process."""
_PATIENCE = 960.0
"""Seconds; a supervisor killed during maintenance blocks it for others for up to 899, as with RQ."""
GROWTH = 5.0
"""MB by which a process may grow in the second half."""
_WARM = 600.0
"""Seconds of a run below which growth is not judged, since LevelDB's buffers and caches still fill."""
SPARE_DESCRIPTORS = 8
"""Descriptors allowed beyond the initial number, for tables of the database or a child that waits for its job."""
REMAINS = 16.0
"""MB that the database may keep of expired jobs: LevelDB's log is up to 8 MB long."""
_KEPT = (b'rq:queues', b'rq:workers', b'rq:worker:', b'rq:workers:', b'rq-leveldb:', b'rq:scheduler', b'rq:clean_')
"""Prefixes of the keys that do not belong to a job."""


@dataclass
class Summary:
    """The result of a soak.

    Args:
        jobs: number of acknowledged jobs.
        ended: number of these that ended by themselves.
        explained: reasons with which the worker failed others, with the number of each.
        repeated: jobs that ran to the end more than once, after a kill.
        blows: what was killed, and how often.
        seconds: how long jobs were enqueued.
        growth: MB by which each process grew in the second half.
        descriptors: of each process before the first job and after the last.
        disk: MB of the database: the maximum, and after everything has expired.
        faults: what went wrong.
    """

    jobs: int = 0
    ended: int = 0
    explained: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    blows: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    growth: dict[str, float] = field(default_factory=dict)
    descriptors: dict[str, tuple[int, int]] = field(default_factory=dict)
    disk: tuple[float, float] = (0.0, 0.0)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        blows = ', '.join(f'{number} {name}' for name, number in sorted(self.blows.items()))
        lines = [
            ('jobs', f'{self.jobs:,} acknowledged in {self.seconds:.0f} s, {self.jobs / self.seconds:.0f} a second'),
            ('ends', f'{self.ended:,}, {sum(self.explained.values())} failed by a kill, {self.repeated} ran twice'),
            ('kills', blows or 'none'),
            ('memory', ', '.join(f'{name} {mb:+.1f} MB' for name, mb in self.growth.items()) + ' in the second half'),
            ('descriptors', ', '.join(f'{name} {a} and {b}' for name, (a, b) in self.descriptors.items())),
            ('disk', f'{self.disk[0]:.1f} MB at most, {self.disk[1]:.1f} MB when all had expired'),
            ('faults', str(len(self.faults))),
        ]
        return '\n'.join(f'{name:<12} {text}' for name, text in lines)


class Soak:
    """One run.

    Args:
        place: an empty directory; its path has to be short, since a socket is below it.
        seconds: for how long jobs are enqueued.
        seed: decides what is killed when.
        ttl: seconds for which ended jobs are kept.
        clients: how many enqueue.
        children: how many jobs run at once.
        jobs_per_child: how many jobs a process may run.
        say: gets a line now and then.
        keep: gets each sample.
    """

    def __init__(
        self,
        place: Path,
        seconds: float,
        seed: int,
        *,
        ttl: int,
        clients: int = 2,
        children: int | None = None,
        jobs_per_child: int = 1,
        say: Callable[[str], None] = lambda line: None,
        keep: Callable[[Sample], None] = lambda sample: None,
    ) -> None:
        self._place = place
        self._seconds = seconds
        self._chance = random.Random(seed)
        self._ttl = ttl
        self._clients = clients
        self._children = children
        self._jobs_per_child = jobs_per_child
        self._say = say
        self._keep = keep
        self._directory = DataDirectory(place / 'store')
        self._url = f'leveldb://{self._directory.path}'
        self._trace = place / 'trace'
        self._read_to = 0
        self._state = bytearray()
        self._names = (f'soak{number}' for number in itertools.count())
        self._worker: subprocess.Popen[bytes] | None = None
        self._log = place / 'worker.log'
        self._samples: list[Sample] = []
        self._blows: list[str] = []
        self._latencies: list[float] = []
        self._waits: list[float] = []
        self._ended = 0
        self._told: list[Connection] = []
        self._connection: Any = None
        self.summary = Summary()

    def run(self) -> Summary:
        """Soak, wait until everything has expired, and judge."""
        self._trace.touch()
        with Redis.from_url(self._url) as self._connection:
            try:
                self._connection.ping()
                self._launch()
                before = self._descriptors_at_rest()
                self._begun_at = time.monotonic()
                self._load()
                self._drain()
                self._expire(before)
            finally:
                self._stop()
        self._judge()
        return self.summary

    # -- what runs

    def _launch(self) -> None:
        arguments = ['--no-http', '--requeue-abandoned', '--import', 'tests.soak.jobs', '--maintenance-interval']
        arguments += [str(max(self._ttl // 2, 1)), '-u', self._url, '-n', next(self._names), '--quiet']
        arguments += ['--jobs-per-child', str(self._jobs_per_child)]
        if self._children is not None:
            arguments += ['--max-children', str(self._children)]
        with open(self._log, 'ab') as log:
            self._worker = subprocess.Popen(
                [sys.executable, '-m', 'rq_leveldb', 'worker', *arguments],
                env={**os.environ, jobs.TRACE: str(self._trace)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _pids(self) -> dict[str, int]:
        """Return the process ids of those of `PROCESSES` that are running."""
        found = {}
        running = autostart.running_store(self._directory)
        if running is not None:
            found['store'] = running[0].pid
        if self._worker is not None and self._worker.poll() is None:
            found['supervisor'] = self._worker.pid
            with contextlib.suppress(psutil.NoSuchProcess):
                below = psutil.Process(self._worker.pid).children()
                if below:
                    found['forker'] = below[0].pid
        return found

    def _load(self) -> None:
        context = multiprocessing.get_context('spawn')
        over = context.Event()
        processes = []
        for number in range(self._clients):
            told, tells = context.Pipe(duplex=False)
            process = context.Process(
                target=client.serve, args=(self._url, number, self._clients, self._ttl, tells, over), daemon=True
            )
            process.start()
            tells.close()
            processes.append(process)
            self._told.append(told)
        try:
            self._soak()
        finally:
            over.set()
        while self._told:
            self._listen()
        for process in processes:
            process.join()
        self.summary.seconds = time.monotonic() - self._begun_at

    def _soak(self) -> None:
        # From then on memory is tracked, so only children are killed.
        third = self._seconds / 3
        times = max(1, int(self._seconds // 600))
        due = [
            (self._begun_at + third * (number + self._chance.uniform(0.4, 0.9)) / times, target)
            for number in range(times)
            for target in PROCESSES
        ]
        due.sort(reverse=True)
        next_child = self._begun_at + self._chance.uniform(0.5, 1.5) * min(_CHILD_BLOW, third / 4)
        next_sample = self._begun_at
        end = self._begun_at + self._seconds
        while (now := time.monotonic()) < end:
            self._listen(0.2)
            if self._worker is not None and self._worker.poll() is not None:
                self._complain_of_the_worker()
                self._launch()
            if due and now >= due[-1][0]:
                self._kill(due.pop()[1])
            if now >= next_child:
                next_child = now + self._chance.uniform(0.5, 1.5) * min(_CHILD_BLOW, third / 4)
                self._kill('child')
            if now >= next_sample:
                next_sample = now + 1
                self._sample()

    def _kill(self, target: str) -> None:
        pids = self._pids()
        if target == 'child':
            with contextlib.suppress(KeyError, psutil.NoSuchProcess):
                children = psutil.Process(pids['forker']).children()
                if children:
                    self._strike(self._chance.choice(children).pid, target)
        elif target in pids:
            self._strike(pids[target], target)
            if target == 'supervisor' and self._worker is not None:
                self._worker.wait()
                self._launch()

    def _strike(self, pid: int, target: str) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            self._blows.append(target)
            self.summary.blows[target] += 1

    def _complain_of_the_worker(self) -> None:
        assert self._worker is not None
        text = self._log.read_text(errors='replace')[-2000:]
        self.summary.faults.append(f'the worker ended by itself with {self._worker.returncode}:\n{text}')

    # -- what is seen

    def _listen(self, seconds: float = 0.0) -> None:
        """Receive what clients and jobs have reported."""
        for told in multiprocessing.connection.wait(self._told, seconds):
            assert isinstance(told, Connection)
            try:
                numbers, latencies = told.recv()
            except EOFError:
                self._told.remove(told)
                continue
            self._latencies += latencies
            for number in numbers:
                self.summary.jobs += 1
                self._mark(number, _ACKNOWLEDGED)
        self._read_trace()

    def _mark(self, number: int, flag: int) -> bool:
        """Set a flag of a job; return whether it was already set."""
        if number >= len(self._state):
            self._state.extend(bytes(number + 65536 - len(self._state)))
        before = bool(self._state[number] & flag)
        self._state[number] |= flag
        return before

    def _read_trace(self) -> None:
        with self._trace.open('rb') as file:
            file.seek(self._read_to)
            data = file.read()
        whole = data.rfind(b'\n') + 1
        self._read_to += whole
        for line in data[:whole].splitlines():
            what, number, rest = line.split()
            if what == b'begin':
                self._mark(int(number), _BEGUN)
                if rest != b'-':
                    self._waits.append(float(rest))
            else:
                self._ended += 1
                if self._mark(int(number), _ENDED):
                    self.summary.repeated += 1

    def _sample(self) -> Sample:
        found = {name: look_at(pid) for name, pid in self._pids().items()}
        seen = {name: values for name, values in found.items() if values is not None}
        keys = queued = -1
        with contextlib.suppress(*_AWAY):
            keys, queued = self._connection.dbsize(), Queue(connection=self._connection).count
            self._note_failures()
        disk = 0.0
        with contextlib.suppress(OSError):
            disk = size_of(self._directory.database)
        sample = Sample(
            seconds=round(time.monotonic() - self._begun_at, 1),
            memory={name: round(values[0], 2) for name, values in seen.items()},
            descriptors={name: values[1] for name, values in seen.items()},
            disk=round(disk, 2),
            keys=keys,
            queued=queued,
            ended=self._ended,
            enqueue=middle_and_late(self._latencies),
            start=middle_and_late(self._waits),
            blows=self._blows,
            load=os.getloadavg()[0],
        )
        self._ended = 0
        self._latencies, self._waits, self._blows = [], [], []
        self._samples.append(sample)
        self._keep(sample)
        if len(self._samples) % 10 == 1:
            self._say(f'{sample.seconds:.0f} s: {self.summary.jobs:,} jobs, {sample.disk:.0f} MB, {keys} keys')
        return sample

    def _note_failures(self) -> None:
        """Record why jobs failed that should not have, while it is still known."""
        for name in Queue(connection=self._connection).failed_job_registry.get_job_ids(cleanup=False):
            number = int(name.removeprefix('soak-'))
            if jobs.kind_of(number) == 'failing' or self._mark(number, _EXPLAINED):
                continue
            try:
                result = Job.fetch(name, connection=self._connection).latest_result()
            except NoSuchJobError:
                continue
            reason = ((result and result.exc_string) or 'no reason').strip().splitlines()[-1]
            if 'terminated' in reason or 'Poisonous' in reason or 'bandoned' in reason:
                self.summary.explained[reason[:80]] += 1
            else:
                self.summary.faults.append(f'{name} failed: {reason}')

    # -- the end

    def _until(self, condition: Callable[[], bool], words: str) -> bool:
        """Wait, checking once a second; return whether it came true in time, and report it if not."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            self._listen()
            self._sample()
            with contextlib.suppress(*_AWAY):
                if condition():
                    return True
            if time.monotonic() > deadline:
                self.summary.faults.append(f'{words} after {_PATIENCE:.0f} s')
                return False
            time.sleep(1)

    def _drain(self) -> None:
        queue = Queue(connection=self._connection)
        places = (queue.started_job_registry, queue.scheduled_job_registry, queue.deferred_job_registry)

        def over() -> bool:
            return not queue.count and not any(self._connection.zcard(place.key) for place in places)

        self._until(over, 'jobs are still queued, started, scheduled or deferred')

    def _left(self) -> list[bytes]:
        return [key for key in self._connection.scan_iter(count=1000) if not key.startswith(_KEPT)]

    def _expire(self, before: dict[str, int]) -> None:
        most = max(sample.disk for sample in self._samples)
        if not self._until(lambda: self._connection.dbsize() < 1000 and not self._left(), 'keys are left'):
            self.summary.faults.append(f'such as {self._left()[:10]}')
        self._until(lambda: self._samples[-1].disk <= REMAINS, 'the space on the disk has not come back')
        after = self._descriptors_at_rest()
        self.summary.descriptors = {name: (before[name], after.get(name, -1)) for name in PROCESSES}
        self.summary.disk = most, self._samples[-1].disk

    def _descriptors_at_rest(self) -> dict[str, int]:
        """Return the descriptors of each process, once the numbers are stable and the worker is ready."""
        last: dict[str, int] = {}
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = {name: look_at(pid) for name, pid in self._pids().items()}
            now = {name: values[1] for name, values in found.items() if values is not None}
            if now == last and set(now) == set(PROCESSES):
                break
            last = now
            time.sleep(2)
        return last

    def _stop(self) -> None:
        if self._worker is not None and self._worker.poll() is None:
            self._worker.terminate()
            try:
                self._worker.wait(60)
            except subprocess.TimeoutExpired:
                self._worker.kill()
                self._worker.wait()
                self.summary.faults.append('the worker does not stop')
        if autostart.running_store(self._directory) is not None and not autostart.stop(self._directory):
            self.summary.faults.append('the store does not stop')

    def _judge(self) -> None:
        summary = self.summary
        lost = []
        for number, state in enumerate(self._state):
            if not state & _ACKNOWLEDGED:
                continue
            if state & _ENDED:
                summary.ended += 1
            elif not state & _EXPLAINED:
                lost.append(
                    f'{client.job_id(number)} ({jobs.kind_of(number)}, {"" if state & _BEGUN else "not "}begun)'
                )
        if lost:
            summary.faults.append(f'{len(lost)} jobs were lost, such as {", ".join(lost[:5])}')
        if not summary.jobs:
            summary.faults.append('no job was acknowledged')
        second_half = [one for one in self._samples if self._seconds / 2 < one.seconds <= self._seconds]
        for name in PROCESSES:
            points = [(one.seconds, one.memory[name]) for one in second_half if name in one.memory]
            grown = slope(points) * self._seconds / 2
            summary.growth[name] = grown
            if grown > GROWTH and self._seconds >= _WARM:
                summary.faults.append(f'the {name} grew by {grown:.1f} MB within the second half')
        for name, (before, after) in summary.descriptors.items():
            if after > before + SPARE_DESCRIPTORS:
                summary.faults.append(f'the {name} had {before} descriptors before the first job and has {after}')
        store_log = self._directory.log.read_text(errors='replace')
        if 'internal error' in store_log:
            summary.faults.append('an internal error is in store.log:\n' + store_log[-2000:])
        if shutil.disk_usage(self._place).free < 1 << 28:
            summary.faults.append('the disk was almost full: these numbers mean little')

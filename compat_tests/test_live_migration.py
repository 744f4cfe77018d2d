"""rq-leveldb migrate --live under load: a store and a real Redis, both ways, and two Redis; killed again and again."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import live_jobs
import pytest
from redis.exceptions import ConnectionError
from rq import Queue, Retry
from rq.job import Job, JobStatus

from compat_tests.real_redis import RealRedis
from rq_leveldb import Redis
from tests.conftest import stop_store
from tests.places import APPLICATIONS
from tests.until import until

pytestmark = pytest.mark.timeout(300)

MOVING = 'rq-leveldb:migration:moving'
PENDING = ('queued', 'started', 'deferred', 'scheduled', 'ready_to_enqueue')
ENVIRONMENT = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])}


class Load:
    """Enqueues jobs of all kinds, first here, then there, and knows how often each has to run."""

    def __init__(self, url: str, traces: Path) -> None:
        self.traces = traces
        self.expected: dict[str, list[str]] = {}
        self.statuses: dict[str, JobStatus] = {}
        self.uncertain: set[str] = set()
        self.chains: list[list[str]] = []
        self._numbers = itertools.count()
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def switch(self, url: str) -> None:
        """Enqueue there from now on."""
        self._url = url

    def stop(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            with Redis.from_url(self._url) as redis:
                self.some(redis)

    def some(self, redis: Redis) -> None:
        """Enqueue one of each kind."""
        default, high = Queue('default', connection=redis), Queue('high', connection=redis)
        number = next(self._numbers)
        kind = number % 6
        if kind == 0:
            self._enqueue(lambda name: default.enqueue(live_jobs.runs, str(self.traces), job_id=name))
        elif kind == 1:
            self._enqueue(lambda name: high.enqueue(live_jobs.runs, str(self.traces), job_id=name, at_front=True))
        elif kind == 2:
            names: list[str] = []
            for _ in range(3):
                queue = random.choice((default, high))
                before = names[-1:] or None
                names += self._enqueue(
                    lambda name, queue=queue, before=before: queue.enqueue(  # type: ignore[misc]
                        live_jobs.runs, str(self.traces), job_id=name, depends_on=before
                    )
                )
            self.chains.append(names)
        elif kind == 3:
            due = timedelta(seconds=random.choice((1, 2, 12)))
            self._enqueue(lambda name: default.enqueue_in(due, live_jobs.runs, str(self.traces), job_id=name))
        elif kind == 4:
            retry = Retry(max=2, interval=[0, 1])
            self._enqueue(
                lambda name: high.enqueue(live_jobs.fails_first, str(self.traces), job_id=name, retry=retry),
                attempts=['2', '1', '0'],
            )
        else:
            self._enqueue(
                lambda name: default.enqueue(live_jobs.fails, str(self.traces), job_id=name), status=JobStatus.FAILED
            )

    def _enqueue(
        self,
        enqueue: Callable[[str], Any],
        attempts: list[str] | None = None,
        status: JobStatus = JobStatus.FINISHED,
    ) -> list[str]:
        name = f'job-{next(self._numbers)}'
        self.expected[name] = attempts or ['0']
        self.statuses[name] = status
        try:
            enqueue(name)
        except ConnectionError:
            # The store was killed: it may have been enqueued or not.
            self.uncertain.add(name)
        return [name]

    def lines(self) -> list[str]:
        return self.traces.read_text().splitlines()


class Scene:
    """Two places, with workers in both.

    Args:
        source: URL of the one.
        target: URL of the other.
        traces: where the jobs leave their traces.
        rounds: how often the migration is killed.
    """

    def __init__(self, source: str, target: str, traces: Path, rounds: int) -> None:
        self.source = source
        self.target = target
        self.rounds = rounds
        self.old, self.new = Redis.from_url(source), Redis.from_url(target)
        self.load = Load(source, traces)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._log = traces.with_suffix('.log')

    def work(self) -> None:
        for url in (self.source, self.target):
            if not url.startswith('leveldb'):
                # Of one queue RQ takes jobs in another way than of two.
                self._start('rq.cli', 'worker', '--url', url, '--with-scheduler', 'high', 'default')
                self._start('rq.cli', 'worker', '--url', url, 'default')
            # On Redis as well: where two of RQ's workers get in each other's way, a dependent waits for ten minutes.
            self._start('rq_leveldb', 'worker', '--url', url, '--no-http', 'high', 'default')

    def _start(self, *arguments: str) -> None:
        command = [sys.executable, '-m', *arguments]
        with open(self._log, 'ab') as log:
            self._workers.append(subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log))

    def migrate(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, '-m', 'rq_leveldb', 'migrate', self.source, self.target, '--live'],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def in_the_midst(self) -> subprocess.Popen[str]:
        """Start the migration; return when it has taken jobs from the source, or a moment later."""
        before = self.old.lindex(MOVING, 0)
        process = self.migrate()
        until(lambda: self.old.lindex(MOVING, 0) not in (None, before) or process.poll() is not None)
        time.sleep(random.choice((0, 0.002, 0.02, 0.2)))
        return process

    def kill_in_the_midst(self, times: int) -> int:
        """Start the migration and kill it, again and again; return how often it had jobs on their way."""
        caught = 0
        for _ in range(times):
            process = self.in_the_midst()
            process.kill()
            process.communicate()
            caught += self.old.exists(MOVING)
        return caught

    def end(self) -> None:
        self.load.stop()
        for process in self._workers:
            if process.poll() is None:
                process.terminate()
        for process in self._workers:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.old.close()
        self.new.close()


@pytest.fixture(params=['to Redis', 'from Redis', 'between Redis'])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    store = f'leveldb://{tmp_path}/store'
    with ExitStack() as stack:

        def redis() -> str:
            return f'unix://{stack.enter_context(RealRedis()).socket_path}'

        source = store if request.param == 'to Redis' else redis()
        target = store if request.param == 'from Redis' else redis()
        scene = Scene(source, target, tmp_path / 'traces', 3 if request.param == 'between Redis' else 7)
        try:
            yield scene
        finally:
            scene.end()
            stop_store(tmp_path / 'store')


def pending(redis: Redis) -> dict[str, str]:
    """Return the jobs of a place that are to be run, or are running."""
    found = {}
    for key in redis.scan_iter('rq:job:*'):
        name = key.decode().removeprefix('rq:job:')
        status = redis.hget(key, 'status') if ':' not in name else None
        if status is not None and status.decode() in PENDING:
            found[name] = status.decode()
    return found


def check(scene: Scene, done: subprocess.Popen[str], out: str) -> None:
    """Everything ran once, in order, and the target knows how it went."""
    load = scene.load
    assert done.returncode == 0, out
    assert not list(scene.old.scan_iter('rq:job:*'))
    until(lambda: not pending(scene.new), 60)
    lines = load.lines()
    counted = Counter(lines)
    wanted = {f'{name} {left}' for name, attempts in load.expected.items() for left in attempts}
    assert [line for line, count in counted.items() if count > 1] == []
    assert [line for line in sorted(wanted - set(counted)) if line.split()[0] not in load.uncertain] == []
    assert set(counted) <= wanted
    for name, status in load.statuses.items():
        if name not in load.uncertain:
            job = Job.fetch(name, connection=scene.new)
            assert job.get_status() == status
            assert job.return_value() == (name if status == JobStatus.FINISHED else None)
    for chain in load.chains:
        if not load.uncertain.intersection(chain):
            at = [lines.index(f'{name} 0') for name in chain]
            assert at == sorted(at)
    assert list(scene.new.scan_iter('rq-leveldb:migration*')) == [b'rq-leveldb:migration:steps']
    assert not list(scene.old.scan_iter('rq-leveldb:migration*'))


def test_nothing_is_lost_and_nothing_runs_twice_while_all_goes_on(scene: Scene, tmp_path: Path) -> None:
    load = scene.load
    for _ in range(12 * scene.rounds):
        load.some(scene.old)
    gate = tmp_path / 'gate'
    first = Queue('default', connection=scene.old)
    long = load._enqueue(
        lambda name: first.enqueue(live_jobs.waits, str(load.traces), str(gate), job_id=name, at_front=True)
    )
    after = load._enqueue(lambda name: first.enqueue(live_jobs.runs, str(load.traces), job_id=name, depends_on=long))
    load.chains.append([*long, *after])
    scene.work()
    until(lambda: pending(scene.old).get(long[0]) == 'started')
    load.start()
    caught = scene.kill_in_the_midst(scene.rounds // 2 + 1)
    load.switch(scene.target)
    for _ in range(scene.rounds // 2):
        # By whoever was not switched yet.
        for _ in range(6):
            load.some(scene.old)
        caught += scene.kill_in_the_midst(1)
    while not caught:
        # Each had nothing on its way just then; where the kills fall is left to chance.
        for _ in range(6):
            load.some(scene.old)
        caught += scene.kill_in_the_midst(1)
    process = scene.migrate()
    # What does not run is moved, and what runs is waited for.
    until(lambda: set(pending(scene.old)) == {*long, *after}, 60)
    assert process.poll() is None
    load.stop()
    gate.touch()
    out, _ = process.communicate(timeout=120)
    check(scene, process, out)


@pytest.mark.parametrize('scene', ['to Redis'], indirect=True)
def test_a_source_that_is_killed_as_well_loses_nothing(scene: Scene) -> None:
    load = scene.load
    for _ in range(90):
        load.some(scene.old)
    scene.work()
    load.start()
    for _ in range(4):
        process = scene.in_the_midst()
        os.kill(until(lambda: scene.old.info('server')['process_id']), signal.SIGKILL)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 1, out
        assert 'run the same command again' in out
    load.switch(scene.target)
    time.sleep(0.2)
    load.stop()
    process = scene.migrate()
    out, _ = process.communicate(timeout=120)
    check(scene, process, out)

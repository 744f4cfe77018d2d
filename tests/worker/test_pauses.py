"""Clocks that jump and processes that are stopped: what lives is not taken for dead, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py
import worker_jobs
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.registry import StartedJobRegistry

from compat_tests.real_redis import NoRedisError, RealRedis
from rq_leveldb import Redis
from tests.until import until
from tests.worker.jumping_clock import HOURS, JumpingClock
from tests.worker.support import Workers, family, is_running


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    """Return the clock of the test's store and workers; asked for before the store is started."""
    return JumpingClock(tmp_path, monkeypatch)


class Running:
    """Jobs that wait to be let go, and count how often they were started.

    Args:
        queue: where they are enqueued.
        directory: for their traces.
    """

    def __init__(self, queue: Queue, directory: Path) -> None:
        self._traces = directory / 'traces'
        self._gate = directory / 'gate'
        # One that would fail, and one that would be run a second time.
        self.jobs = [
            queue.enqueue(worker_jobs.trace_and_wait, str(self._traces), str(self._gate), retry=retry)
            for retry in (None, Retry(max=3))
        ]
        self.pids = until(lambda: pids if len(pids := self._started()) == len(self.jobs) else None)

    def _started(self) -> list[int]:
        return list(map(int, self._traces.read_text().split())) if self._traces.exists() else []

    def go_on(self) -> bool:
        """Say whether all of them are still being run, in the processes that began it."""
        return self._started() == self.pids and all(
            job.get_status() == JobStatus.STARTED and is_running(pid)
            for job, pid in zip(self.jobs, self.pids, strict=True)
        )

    def finish(self) -> None:
        """Let them end, and see that each was run once."""
        self._gate.touch()
        until(lambda: all(job.get_status() == JobStatus.FINISHED for job in self.jobs))
        assert self._started() == self.pids
        assert all(Job.fetch(job.id, connection=job.connection).number_of_retries in (None, 0) for job in self.jobs)


@pytest.fixture
def running(clock: JumpingClock, workers: Workers, queue: Queue, tmp_path: Path) -> Running:
    """Return jobs that the worker "one" runs; its maintenance runs every second."""
    workers.start('--maintenance-interval', '1', '--max-children', '2', name='one')
    return Running(queue, tmp_path)


def maintained(workers: Workers, name: str) -> None:
    """Start a worker that recovers and cleans up, and see that it does its work."""
    workers.start('--maintenance-interval', '1', name=name)
    job = Queue(connection=workers.connection).enqueue(worker_jobs.add, 1, 2)
    until(lambda: job.get_status() == JobStatus.FINISHED)
    # By now maintenance has run once more in each.
    time.sleep(1.5)


@pytest.mark.parametrize('hours', [3, -3], ids=['forward', 'back'])
def test_a_clock_that_is_set(clock: JumpingClock, workers: Workers, queue: Queue, running: Running, hours: int) -> None:
    workers.start('--maintenance-interval', '1', name='two')

    clock.set(hours * HOURS)
    maintained(workers, 'three')
    # An application's own look at the registry.
    StartedJobRegistry(queue=queue).cleanup(time.time() + hours * HOURS)
    assert running.go_on()
    clock.set(0)
    maintained(workers, 'four')

    assert running.go_on()
    until(lambda: {workers.state(name) for name in ('one', 'two', 'three', 'four')} == {'busy', 'idle'})
    assert workers.connection.scard('rq:workers') == 4
    assert workers.running('one') == 2
    running.finish()
    assert queue.started_job_registry.count == 0
    assert queue.failed_job_registry.count == 0


@pytest.mark.parametrize('who', ['worker', 'forker', 'children', 'all of it'])
def test_a_worker_that_is_stopped_for_long(
    clock: JumpingClock, workers: Workers, queue: Queue, running: Running, who: str
) -> None:
    worker = workers.started[0].pid
    forker = next(one.pid for one in family(worker) if running.pids[0] in [child.pid for child in one.children()])
    stopped = {
        'worker': [worker],
        'forker': [forker],
        'children': running.pids,
        'all of it': [worker, *(one.pid for one in family(worker))],
    }[who]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)

    # It stands for a stop of three hours.
    clock.set(3 * HOURS)
    try:
        maintained(workers, 'two')
        assert running.go_on()
        assert 'died' not in workers.stop(workers.started[-1])
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    maintained(workers, 'three')
    assert running.go_on()
    running.finish()
    assert workers.started[0].poll() is None


@pytest.mark.parametrize('everything', [False, True], ids=['store', 'everything'])
def test_a_store_that_is_stopped_for_long(
    clock: JumpingClock, workers: Workers, queue: Queue, running: Running, everything: bool
) -> None:
    workers.start('--maintenance-interval', '1', name='two')
    stopped = [queue.connection.info('server')['process_id']]
    if everything:
        for worker in workers.started:
            stopped += [worker.pid, *(one.pid for one in family(worker.pid))]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    clock.set(3 * HOURS)
    time.sleep(1)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)

    maintained(workers, 'three')
    assert running.go_on()
    running.finish()
    assert [worker.poll() for worker in workers.started] == [None] * 3


def test_a_store_that_is_stopped_for_longer_than_every_time_out(queue: Queue, tmp_path: Path, store_dir: Path) -> None:
    connection = queue.connection
    url = f'leveldb://{store_dir}?socket_timeout=1'
    workers = Workers(url, connection)
    log, gate = tmp_path / 'log', tmp_path / 'gate'
    try:
        worker = workers.launch(
            *('--worker-class', 'impatient.ImpatientWorker', '--job-monitoring-interval', '1'),
            *('--maintenance-interval', '1', '--max-children', '3', '--verbose'),
            log=log,
        )
        until(lambda: workers.state() == 'idle')
        goes_on, ends = (
            queue.enqueue(worker_jobs.trace_and_wait, str(tmp_path / name), str(tmp_path / f'gate-{name}'))
            for name in ('goes_on', 'ends')
        )
        times_out = queue.enqueue(worker_jobs.trace_and_wait, str(tmp_path / 'late'), str(gate), job_timeout=2)
        jobs = [goes_on, ends, times_out]
        until(lambda: all(job.get_status() == JobStatus.STARTED for job in jobs))
        until(lambda: all((tmp_path / name).exists() for name in ('goes_on', 'ends', 'late')))
        store = connection.info('server')['process_id']
        os.kill(store, signal.SIGSTOP)
        try:
            (tmp_path / 'gate-ends').touch()
            until(lambda: 'Timeout reading from socket' in log.read_text())
            until(lambda: 'raised an exception' in log.read_text())
            with Redis.from_url(url) as other, pytest.raises(redis_py.TimeoutError):
                other.get('key')
            # Whoever comes meanwhile starts no other store beside it, and says which one it is that does not answer.
            second = ours('store', '--dir', str(store_dir))
            assert second.returncode == 3
            assert 'Another store is already running' in second.stderr
            status = ours('status', '--url', url)
            assert status.returncode == 1
            assert f'The store (process {store}) is running but does not answer' in status.stderr
        finally:
            os.kill(store, signal.SIGCONT)

        until(lambda: ends.get_status() == JobStatus.FINISHED)
        until(lambda: times_out.get_status() == JobStatus.FAILED)
        assert 'JobTimeoutException' in times_out.latest_result().exc_string
        assert goes_on.get_status() == JobStatus.STARTED
        (tmp_path / 'gate-goes_on').touch()
        until(lambda: goes_on.get_status() == JobStatus.FINISHED)
        later = queue.enqueue(worker_jobs.add, 1, 2)
        until(lambda: later.get_status() == JobStatus.FINISHED)
        assert all(len((tmp_path / name).read_text().split()) == 1 for name in ('goes_on', 'ends', 'late'))
        assert connection.info('server')['process_id'] == store
        assert worker.poll() is None
    finally:
        workers.close()


def ours(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_what_expired_is_written_again_as_a_whole(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('--job-monitoring-interval', '1', name='one')
    running = Running(queue, tmp_path)
    connection: Any = queue.connection
    executions = [execution for job in running.jobs for execution in job.get_executions()]
    before = {execution.key: connection.hgetall(execution.key) for execution in executions}
    worker = connection.hgetall('rq:worker:one')

    connection.delete(
        *before, 'rq:worker:one', 'rq:worker:one:executions', *(f'rq:executions:{j.id}' for j in running.jobs)
    )

    until(lambda: connection.hgetall('rq:worker:one').keys() >= worker.keys() - {b'successful_job_count'})
    for key, fields in before.items():
        after = until(lambda key=key: connection.hgetall(key))
        # RQ's object for it counts in microseconds.
        assert float(after[b'created_at']) == pytest.approx(float(fields[b'created_at']), abs=1e-5)
        changed = {b'created_at': b'', b'last_heartbeat': b''}
        assert {**after, **changed} == {**fields, **changed}
    until(lambda: workers.running('one') == 2)
    assert all(job.get_executions() for job in running.jobs)
    assert connection.ttl('rq:worker:one') > 0
    running.finish()
    until(lambda: not connection.exists(*before))


def test_a_worker_on_redis_that_is_stopped_for_long(clock: JumpingClock, tmp_path: Path) -> None:
    try:
        server = RealRedis()
    except NoRedisError as error:
        pytest.skip(str(error))
    with server, redis_py.Redis(unix_socket_path=server.socket_path) as connection:
        workers = Workers(f'unix://{server.socket_path}', connection)
        try:
            worker = workers.start('--maintenance-interval', '1', '--max-children', '2', name='one').pid
            running = Running(Queue(connection=connection), tmp_path)
            workers.start('--maintenance-interval', '1', name='two')
            os.kill(worker, signal.SIGSTOP)
            clock.set(3 * HOURS)
            until(lambda: not connection.exists('rq:worker:one'))
            maintained(workers, 'three')
            assert running.go_on()
            os.kill(worker, signal.SIGCONT)
            until(lambda: workers.state('one') == 'busy')
            until(lambda: workers.running('one') == 2)
            running.finish()
        finally:
            workers.close()

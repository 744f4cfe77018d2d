"""Several hosts on one Redis, several containers on one store: nobody judges by a process id that means nothing."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis as redis_py
import worker_jobs
from rq import Queue
from rq.job import Job, JobStatus

from compat_tests.real_redis import NoRedisError, RealRedis
from tests.places import APPLICATIONS
from tests.until import until
from tests.worker.support import Workers, is_running


def can_unshare() -> str:
    """Return why there can be no namespaces here; '' if there can."""
    if os.geteuid() or shutil.which('unshare') is None:
        return 'namespaces need root and unshare(1)'
    command = ['unshare', '--pid', '--uts', '--mount', '--fork', '--mount-proc', 'true']
    tried = subprocess.run(command, capture_output=True, text=True)
    return f'namespaces cannot be made: {tried.stderr.strip()}' if tried.returncode else ''


pytestmark = pytest.mark.skipif(bool(can_unshare()), reason=can_unshare() or 'unused')


class Machines:
    """Starts workers that take themselves to be on another host, or in another container.

    Args:
        url: the store or server.
        connection: a client of it.
        directory: for the boot ids.
    """

    def __init__(self, url: str, connection: Any, directory: Path) -> None:
        self._url = url
        self.connection = connection
        self._directory = directory
        self._shells: list[tuple[str | None, subprocess.Popen[bytes]]] = []

    def start(self, name: str, *, host: str | None = None, options: tuple[str, ...] = ()) -> psutil.Process:
        """Start a worker with process ids of its own; return it once it listens.

        Args:
            name: its name.
            host: the host that it is on; None for another container on this one.
            options: further options.
        """
        process = self.launch(name, host=host, options=options)
        until(lambda: 'Listening on' in self.said(name) or not is_running(process.pid), 60)
        assert is_running(process.pid), self.said(name)
        return process

    def launch(self, name: str, *, host: str | None = None, options: tuple[str, ...] = ()) -> psutil.Process:
        """Start it and do not wait."""
        script = 'exec "$@"'
        if host is not None:
            boot = self._boot(host)
            if not boot.exists():
                self.boot(host)
            script = f'hostname {host} && mount --bind {boot} /proc/sys/kernel/random/boot_id && {script}'
        worker = [sys.executable, '-m', 'rq_leveldb', 'worker', '--url', self._url, '--no-http', '-n', name, *options]
        command = ['unshare', '--pid', '--uts', '--mount', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script]
        path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
        with self._log(name).open('wb') as log:
            shell = subprocess.Popen(
                [*command, 'sh', *worker],
                env={**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1'},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._shells.append((host, shell))
        (process,) = until(lambda: psutil.Process(shell.pid).children())
        return process

    def _boot(self, host: str) -> Path:
        return self._directory / f'boot-{host}'

    def boot(self, host: str) -> None:
        """Boot a host: everything on it is gone, and it has another boot id."""
        for process in self.processes(host):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                process.wait()
        self._boot(host).write_text(f'{uuid.uuid4()}\n')

    def processes(self, host: str | None) -> list[psutil.Process]:
        """Return everything that runs on a host, or in the containers on this one."""
        found = []
        for where, shell in self._shells:
            if where == host:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += psutil.Process(shell.pid).children(recursive=True)
        return found

    def _log(self, name: str) -> Path:
        return self._directory / f'log-{name}'

    def said(self, name: str) -> str:
        """Return what a worker printed."""
        return self._log(name).read_text()

    def state(self, name: str) -> str:
        """Return the state that is stored of a worker."""
        return (self.connection.hget(f'rq:worker:{name}', 'state') or b'').decode()

    def close(self) -> None:
        """Kill what still runs."""
        for _, shell in self._shells:
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(shell.pid).children():
                    child.kill()
            shell.kill()
            shell.wait()


@pytest.fixture
def containers(redis: Any, store_dir: Path, tmp_path: Path) -> Iterator[Machines]:
    """Return what starts workers in containers that share the test's store."""
    redis.ping()
    machines = Machines(f'leveldb://{store_dir}', redis, tmp_path)
    yield machines
    machines.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Machines]:
    """Return what starts workers on hosts that share a Redis server."""
    try:
        server = RealRedis()
    except NoRedisError as error:
        pytest.skip(str(error))
    with server, redis_py.Redis(unix_socket_path=server.socket_path) as connection:
        machines = Machines(f'unix://{server.socket_path}', connection, tmp_path)
        yield machines
        machines.close()


def start_job(machines: Machines, tmp_path: Path) -> tuple[Job, Path]:
    """Enqueue a job that waits; return it, once it runs, and the file that it waits for."""
    name = uuid.uuid4().hex
    traces, gate = tmp_path / f'traces-{name}', tmp_path / f'gate-{name}'
    job = Queue(connection=machines.connection).enqueue(worker_jobs.trace_and_wait, str(traces), str(gate))
    until(traces.exists)
    return job, gate


def test_hosts_leave_each_other_alone(hosts: Machines, tmp_path: Path) -> None:
    names = ('one', 'two', 'three')
    jobs = []
    for name in names:
        hosts.start(name, host=name, options=('--max-children', '1', '--maintenance-interval', '1'))
        jobs.append(start_job(hosts, tmp_path))

    # Longer than it takes to declare one dead.
    time.sleep(25)

    assert hosts.connection.smembers('rq:workers') == {f'rq:worker:{name}'.encode() for name in names}
    assert not [name for name in names if 'died' in hosts.said(name)]
    for job, gate in jobs:
        assert job.get_status() == JobStatus.STARTED
        gate.touch()
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job, _ in jobs))


def test_a_host_that_dies_is_recovered(hosts: Machines, tmp_path: Path) -> None:
    first = hosts.start('one', host='a')
    job, _ = start_job(hosts, tmp_path)
    hosts.start('two', host='b')

    first.kill()

    # RQ would wait for seven minutes.
    until(lambda: job.get_status() == JobStatus.FAILED, 60)
    assert 'Worker one died' in job.latest_result().exc_string
    until(lambda: hosts.connection.smembers('rq:workers') == {b'rq:worker:two'})


def test_a_name_on_another_host_is_free_soon_after_a_death(hosts: Machines, tmp_path: Path) -> None:
    hosts.start('one', host='a').kill()
    killed = time.monotonic()

    hosts.start('one', host='b')

    assert time.monotonic() - killed < 60
    second = hosts.launch('one', host='c')
    until(lambda: not is_running(second.pid))
    assert 'There exists an active worker named' in hosts.said('one')


def test_a_container_that_dies_is_recovered_at_once(containers: Machines, workers: Workers, tmp_path: Path) -> None:
    first = containers.start('one')
    job, _ = start_job(containers, tmp_path)
    containers.start('two')
    workers.start(name='three')
    time.sleep(2)
    assert job.get_status() == JobStatus.STARTED

    first.kill()

    # Where the kernel cannot be asked, it takes twenty seconds and more.
    until(lambda: job.get_status() == JobStatus.FAILED, 12)

    assert 'Worker one died' in job.latest_result().exc_string
    assert {containers.state('two'), workers.state('three')} == {'idle'}


def test_a_container_may_take_the_name_of_a_dead_one_at_once(containers: Machines, tmp_path: Path) -> None:
    first = containers.start('one')
    job, _ = start_job(containers, tmp_path)

    first.kill()
    containers.start('one')

    until(lambda: job.get_status() == JobStatus.FAILED, 12)


@pytest.fixture(params=['hosts', 'containers'])
def machines(request: pytest.FixtureRequest) -> Machines:
    """Return what starts workers on hosts that share a Redis server, then on a host with a store."""
    found: Machines = request.getfixturevalue(request.param)
    return found


def test_a_host_that_was_booted_again_takes_its_jobs_up(machines: Machines, tmp_path: Path) -> None:
    """The process ids are the same as before: one of them is the worker that asks."""
    before = machines.start('one', host='a')
    job, _ = start_job(machines, tmp_path)
    identity = machines.connection.hmget('rq:worker:one', 'pid', 'pid_namespace', 'boot_id')

    machines.boot('a')
    assert not is_running(before.pid)
    after = machines.start('one', host='a', options=('--max-children', '1'))

    until(lambda: job.get_status() == JobStatus.FAILED)
    assert 'Worker one died' in job.latest_result().exc_string
    again = machines.connection.hmget('rq:worker:one', 'pid', 'pid_namespace', 'boot_id')
    assert again[0] == identity[0]
    assert again[2] != identity[2]
    assert is_running(after.pid)
    another, gate = start_job(machines, tmp_path)
    gate.touch()
    until(lambda: another.get_status() == JobStatus.FINISHED)


def test_a_process_id_of_another_host_is_never_signalled(hosts: Machines, tmp_path: Path) -> None:
    first = hosts.start('one', host='a', options=('--max-children', '1'))
    lost, _ = start_job(hosts, tmp_path)
    hosts.start('two', host='b', options=('--max-children', '1'))
    job, gate = start_job(hosts, tmp_path)
    # Both hosts have a process of this number that was started at the same moment after the boot.
    (one,), (two,) = lost.get_executions(), job.get_executions()
    names = ('pid', 'pid_started')
    hosts.connection.hset(one.key, mapping=dict(zip(names, hosts.connection.hmget(two.key, names), strict=True)))
    until(lambda: len(hosts.processes('b')) == 3)
    running = {process.pid for process in hosts.processes('b')}

    first.kill()

    until(lambda: lost.get_status() == JobStatus.FAILED, 60)
    assert {process.pid for process in hosts.processes('b')} >= running
    assert job.get_status() == JobStatus.STARTED
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_a_host_that_vanishes_and_comes_back(hosts: Machines, tmp_path: Path) -> None:
    """Its connections are closed by the server, as tcp-keepalive does."""
    hosts.start('one', host='a', options=('--max-children', '1'))
    job, gate = start_job(hosts, tmp_path)
    theirs = [client['id'] for client in hosts.connection.client_list() if client['cmd'] != 'client|list']
    hosts.start('two', host='b', options=('--max-children', '1'))

    for process in hosts.processes('a'):
        process.suspend()
    for number in theirs:
        hosts.connection.client_kill_filter(_id=number)
    until(lambda: job.get_status() == JobStatus.FAILED, 60)
    assert 'Worker one died' in job.latest_result().exc_string
    until(lambda: hosts.connection.smembers('rq:workers') == {b'rq:worker:two'})

    # It comes back, and finds that its job was taken from it.
    gate.touch()
    for process in hosts.processes('a'):
        process.resume()
    until(lambda: hosts.connection.sismember('rq:workers', 'rq:worker:one'))
    until(lambda: hosts.state('one') == 'idle')
    assert job.get_status() == JobStatus.FAILED
    assert len(job.results()) == 1
    assert 'was taken over by another worker' in hosts.said('one')


def test_a_container_that_is_stopped_is_not_dead(containers: Machines, workers: Workers, tmp_path: Path) -> None:
    containers.start('one', options=('--max-children', '1'))
    job, gate = start_job(containers, tmp_path)
    workers.start('--maintenance-interval', '1', name='two')
    for process in containers.processes(None):
        process.suspend()

    # Worker two looks at it four times and more.
    time.sleep(3)
    assert job.get_status() == JobStatus.STARTED

    for process in containers.processes(None):
        process.resume()
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)

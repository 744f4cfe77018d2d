"""Whether a worker lives: the lock on its name, and what a watcher makes of beats and connections."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Queue
from rq.job import JobStatus

from rq_leveldb.process import identify
from rq_leveldb.worker.liveness import Life, Watcher, identity_fields, is_surely_dead, judge
from rq_leveldb.worker.name_lock import NameLocks
from tests.until import until
from tests.worker.support import Workers

HOLD = """
import sys
from pathlib import Path
from rq_leveldb.worker.name_lock import NameLocks
print(NameLocks(Path(sys.argv[1])).hold(sys.argv[2]), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def locks(tmp_path: Path) -> Iterator[NameLocks]:
    """Return the locks of a store."""
    locks = NameLocks(tmp_path / 'workers')
    yield locks
    locks.release('one')


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Return what has another process hold a name."""
    processes = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, '-c', HOLD, str(tmp_path / 'workers'), name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == 'True\n'
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_name_is_held_until_its_process_is_killed(
    locks: NameLocks, hold: Callable[[str], subprocess.Popen[str]]
) -> None:
    assert locks.is_held('one') is None
    process = hold('one')

    assert locks.is_held('one') is True
    assert not locks.hold('one')
    assert locks.is_held('two') is None
    process.kill()
    process.wait()

    assert locks.is_held('one') is False
    assert locks.hold('one')


def test_a_stopped_process_still_holds_its_name(locks: NameLocks, hold: Callable[[str], subprocess.Popen[str]]) -> None:
    process = hold('one')
    process.send_signal(signal.SIGSTOP)

    assert locks.is_held('one')
    with locks.recovering('one') as mine:
        assert not mine
    process.send_signal(signal.SIGCONT)


def test_asking_and_forking_do_not_lose_the_own_lock(locks: NameLocks, tmp_path: Path) -> None:
    assert locks.hold('one')
    assert NameLocks(tmp_path / 'workers').is_held('one')
    pid = os.fork()
    if not pid:
        # Looks, closes all descriptors and ends: a job.
        held = locks.is_held('one')
        os.closerange(3, 256)
        os._exit(0 if held else 1)
    assert os.waitpid(pid, 0)[1] == 0

    command = [sys.executable, '-c', HOLD, str(tmp_path / 'workers'), 'one']
    other = subprocess.run(command, input='', capture_output=True, text=True, check=True)
    assert other.stdout == 'False\n'


def test_files_go_when_nobody_needs_them(
    locks: NameLocks, hold: Callable[[str], subprocess.Popen[str]], tmp_path: Path
) -> None:
    dead, buried = hold('dead'), hold('buried')
    hold('alive')
    for process in (dead, buried):
        process.kill()
        process.wait()
    assert locks.hold('one')
    files = tmp_path / 'workers'
    assert len(list(files.iterdir())) == 4
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in files.iterdir())

    with locks.recovering('buried') as mine:
        assert mine
        assert locks.is_held('buried') is False
        with NameLocks(files).recovering('one') as own:
            assert own
    assert len(list(files.iterdir())) == 3
    locks.tidy({'dead'})
    assert len(list(files.iterdir())) == 3
    locks.tidy(set())
    assert len(list(files.iterdir())) == 2
    locks.release('one')
    assert len(list(files.iterdir())) == 1
    assert locks.is_held('alive')


def test_the_same_name_in_another_database_is_another(tmp_path: Path, locks: NameLocks) -> None:
    assert locks.hold('one')

    assert NameLocks(tmp_path / 'workers', db=1).is_held('one') is None


def test_a_lock_says_more_than_a_record(locks: NameLocks, hold: Callable[[str], subprocess.Popen[str]]) -> None:
    fields = {'pid': '1', **identity_fields(identify(), locked=True), 'boot_id': 'another', 'pid_namespace': 'another'}
    process = hold('one')
    assert judge('one', fields, locks) is Life.ALIVE
    assert judge('one', {}, locks) is Life.ALIVE, 'its record has expired'

    process.kill()
    process.wait()

    assert judge('one', fields, locks) is Life.DEAD
    assert judge('one', {}, locks) is Life.DEAD


@pytest.mark.needs_store('a lock on its name is what is left of the worker')
def test_the_single_question(workers: Workers, redis: Any) -> None:
    worker = workers.start(name='one')

    def gone() -> bool:
        fields = {key.decode(): value.decode() for key, value in redis.hgetall('rq:worker:one').items()}
        return is_surely_dead(redis, 'one', fields)

    assert not gone()
    worker.kill()
    worker.wait()
    assert gone()
    redis.delete('rq:worker:one')
    assert gone()


class Looks:
    """A watcher of the worker "far", with a clock that a test moves.

    Args:
        connection: the store.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._now = 1000.0
        self._watcher = Watcher(connection, lambda: self._now)

    def look(self, number: int, step: float = 0.5, beat: str = 'same') -> Life:
        """Look so many times, with so many seconds between, and return what the last look says."""
        self._connection.hset('rq:worker:far', 'beat', beat)
        for _ in range(number):
            self._now += step
            life = self._watcher.look(['far'])['far']
        return life


def test_a_silent_worker_is_dead_after_twenty_seconds_of_looks(redis: Any) -> None:
    looks = Looks(redis)

    assert looks.look(35) is Life.UNKNOWN
    # The watcher itself was stopped for an hour.
    assert looks.look(1, 3600.0) is Life.UNKNOWN
    assert looks.look(1, beat='next') is Life.ALIVE
    assert looks.look(30, beat='next') is Life.UNKNOWN
    assert looks.look(15, beat='next') is Life.DEAD


def test_a_connected_worker_lives_however_long_it_is_stopped(redis: Any) -> None:
    looks = Looks(redis)
    pubsub = redis.pubsub()
    pubsub.subscribe('rq:pubsub:far')
    assert pubsub.get_message(timeout=5)

    assert looks.look(600) is Life.ALIVE
    pubsub.close()
    until(lambda: not redis.pubsub_numsub('rq:pubsub:far')[0][1])
    # It may be the server that was started again, and the worker on its way back.
    assert looks.look(1) is Life.UNKNOWN
    assert looks.look(40) is Life.DEAD


def test_a_connection_alone_does_not_last_for_ever(redis: Any) -> None:
    with redis.pubsub() as pubsub:
        pubsub.subscribe('rq:pubsub:far')
        assert pubsub.get_message(timeout=5)

        assert Looks(redis).look(700, 1.0) is Life.DEAD


@pytest.mark.needs_store('a lock on its name is what is left of the worker')
def test_jobs_of_a_worker_whose_traces_have_expired(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    started, gate = tmp_path / 'started', tmp_path / 'gate'
    worker = workers.start('--max-children', '1', name='one')
    job = queue.enqueue(worker_jobs.wait_for, str(gate), str(started))
    until(started.exists)
    worker.kill()
    worker.wait()
    # Nobody looked for an hour: of the worker only its lock is left, and the job says that it was started.
    queue.connection.delete('rq:worker:one', 'rq:worker:one:executions')

    workers.start(name='two')

    until(lambda: job.get_status() == JobStatus.FAILED, 5)
    assert 'Worker one died' in job.latest_result().exc_string


def test_a_live_name_is_refused_and_a_dead_one_is_free(workers: Workers) -> None:
    first = workers.start(name='one')
    second = workers.launch(name='one')
    assert 'There exists an active worker named' in second.communicate(timeout=30)[0]

    first.kill()
    first.wait()
    workers.start(name='one')


@pytest.mark.needs_store('a lock on its name is what is left of the worker, until its next heartbeat')
def test_a_live_name_whose_record_has_expired_is_refused(workers: Workers) -> None:
    workers.start(name='one')
    workers.connection.delete('rq:worker:one')
    second = workers.launch(name='one')
    assert 'There exists an active worker named' in second.communicate(timeout=30)[0]

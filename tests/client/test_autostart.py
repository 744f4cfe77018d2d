"""The store is there when a client comes, once, whatever happened before."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
import redis.exceptions

import rq_leveldb
from rq_leveldb import Redis, StoreError, StoreUnavailable, errors, process
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.client.support import kill, pid_of


def race(url: str, barrier: Barrier, answers: SimpleQueue[tuple[int, int]]) -> None:
    with Redis.from_url(url) as client:
        barrier.wait()
        answers.put((pid_of(client), client.incr('count')))


def test_fifty_processes_at_once_start_one_store(store_dir: Path) -> None:
    context = multiprocessing.get_context('fork')
    barrier = context.Barrier(50)
    answers: SimpleQueue[tuple[int, int]] = context.SimpleQueue()
    racers = [context.Process(target=race, args=(f'leveldb://{store_dir}', barrier, answers)) for _ in range(50)]
    for racer in racers:
        racer.start()
    heard = [answers.get() for _ in racers]
    for racer in racers:
        racer.join()
    assert len({pid for pid, _ in heard}) == 1
    assert sorted(count for _, count in heard) == list(range(1, 51))
    assert (store_dir / 'store.log').read_text().count(' ready,') == 1


def test_the_store_leaves_its_starters_session_and_directory(redis: Redis, store_dir: Path) -> None:
    pid = pid_of(redis)
    assert os.getsid(pid) not in (os.getsid(0), 0)
    with open(f'/proc/{pid}/stat') as file:
        parent = int(file.read().rpartition(')')[2].split()[1])
    assert parent != os.getpid()
    # Nothing of this process' is kept open but the log.
    kept = {os.readlink(f'/proc/{pid}/fd/{number}') for number in (0, 1, 2)}
    assert kept == {'/dev/null', str(store_dir / 'store.log')}


def test_only_the_owner_can_get_in(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    assert store_dir.stat().st_mode & 0o777 == 0o700
    assert (store_dir / 'store.sock').stat().st_mode & 0o777 == 0o600


def test_a_killed_store_is_replaced_at_the_next_command(redis: Redis, store_dir: Path) -> None:
    redis.set('name', 'value')
    first = pid_of(redis)
    kill(redis)
    assert (store_dir / 'store.sock').exists()
    assert redis.get('name') == b'value'
    assert pid_of(redis) != first


def test_a_stopped_store_is_replaced_at_the_next_command(redis: Redis, store_dir: Path) -> None:
    redis.set('name', 'value')
    assert autostart.stop(DataDirectory(store_dir))
    assert autostart.running_store(DataDirectory(store_dir)) is None
    assert redis.get('name') == b'value'


def test_leftovers_of_any_kind_need_no_human(redis: Redis, store_dir: Path) -> None:
    redis.set('name', 'value')
    kill(redis)
    for rubbish in (b'', b'{', b'[1]', b'{"pid": "x"}', b'{"pid": 1, "started": "1", "boot_id": "", "version": "9"}'):
        (store_dir / 'store.lock').write_bytes(rubbish)
        (store_dir / 'start.lock').write_bytes(rubbish)
        assert redis.get('name') == b'value'
        kill(redis)


def test_an_idle_store_goes_away_and_comes_back(store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}?idle=0.1') as client:
        client.set('name', 'value')
        identity = process.identify(pid_of(client))
    assert autostart._ends(identity, 20)
    with Redis.from_url(f'leveldb://{store_dir}') as client:
        assert client.get('name') == b'value'


def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    path = tmp_path / ('x' * 200)
    with Redis.from_url(f'leveldb://{path}') as client:
        assert client.set('name', 'value')
        client.shutdown()


@pytest.fixture
def other_version(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Return an environment in which the package has another version."""

    def make(version: str) -> dict[str, str]:
        root = tmp_path / f'version-{version}'
        shutil.copytree(
            Path(rq_leveldb.__file__).parent, root / 'rq_leveldb', ignore=shutil.ignore_patterns('__pycache__')
        )
        (root / 'rq_leveldb' / 'version.py').write_text(f'__version__ = {version!r}\n')
        return {**os.environ, 'PYTHONPATH': str(root)}

    return make


PING = 'import sys; from rq_leveldb import Redis; print(Redis.from_url(sys.argv[1]).info("server")["process_id"])'


@pytest.mark.parametrize(('version', 'is_replaced'), [('0.0.9', True), ('99.0', False)])
def test_a_store_of_an_older_version_is_replaced(
    version: str, is_replaced: bool, store_dir: Path, other_version: Callable[[str], dict[str, str]]
) -> None:
    first = subprocess.run(
        [sys.executable, '-c', PING, f'leveldb://{store_dir}'],
        env=other_version(version),
        cwd='/',
        capture_output=True,
        text=True,
        check=True,
    )
    running = autostart.running_store(DataDirectory(store_dir))
    assert running is not None
    assert running[1] == version
    with Redis.from_url(f'leveldb://{store_dir}') as client:
        assert (pid_of(client) != int(first.stdout)) is is_replaced


def test_versions_are_compared_as_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autostart, '__version__', '0.10.0')
    assert autostart.is_older('0.9.5')
    assert autostart.is_older('0.10.0'[:-2])
    assert not autostart.is_older('0.10.0')
    assert not autostart.is_older('0.10.0.dev1')
    assert not autostart.is_older('1.0')


def failure(url: str) -> StoreUnavailable:
    with Redis.from_url(url) as client, pytest.raises(StoreUnavailable) as caught:
        client.ping()
    assert isinstance(caught.value, redis.exceptions.ConnectionError)
    assert isinstance(caught.value, StoreError)
    return caught.value


def test_a_directory_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / 'photo.jpg').touch()
    error = failure(f'leveldb://{tmp_path}')
    assert isinstance(error.__cause__, errors.NotAStore)
    assert str(tmp_path) in str(error)
    assert error.advice in str(error)
    assert isinstance(failure(f'leveldb://{tmp_path}/photo.jpg/store').__cause__, errors.NotAStore)


def test_an_unwritable_directory() -> None:
    assert isinstance(failure('leveldb:///proc/jobs').__cause__, errors.UnwritableDirectory)


def test_a_newer_format(store_dir: Path) -> None:
    directory = DataDirectory(store_dir)
    directory.create()
    directory.marker.write_text('rq-leveldb 1000\n')
    assert isinstance(failure(f'leveldb://{store_dir}').__cause__, errors.NewerFormat)


def test_a_corrupt_database(redis: Redis, store_dir: Path) -> None:
    redis.set('name', 'value')
    redis.shutdown()
    for manifest in (store_dir / 'leveldb').glob('MANIFEST-*'):
        manifest.write_bytes(b'rubbish' * 100)
    error = failure(f'leveldb://{store_dir}')
    assert isinstance(error.__cause__, errors.CorruptDatabase)
    assert str(store_dir) in str(error)


def test_a_store_that_cannot_even_be_imported(store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / 'broken'
    broken.mkdir()
    (broken / 'sortedcontainers.py').write_text('raise ImportError("a library is missing")\n')
    monkeypatch.syspath_prepend(str(broken))
    error = failure(f'leveldb://{store_dir}')
    assert isinstance(error.__cause__, errors.StoreNotStarting)
    assert 'a library is missing' in str(error)


def test_threads_of_one_process_start_one_store(store_dir: Path) -> None:
    pids: list[int] = []
    barrier = threading.Barrier(8)

    def connect() -> None:
        with Redis.from_url(f'leveldb://{store_dir}') as client:
            barrier.wait()
            pids.append(pid_of(client))

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 8
    assert len(set(pids)) == 1


def test_neither_the_current_directory_nor_the_environment_choose_what_the_store_imports(
    store_dir: Path, tmp_path: Path
) -> None:
    for name in ('here', 'there'):
        (tmp_path / name).mkdir()
        for module in ('asyncio', 'sortedcontainers', 'uvloop', 'sitecustomize'):
            (tmp_path / name / f'{module}.py').write_text(f'raise SystemExit("{name}/{module} was imported")\n')
    # As in a Python that somebody works with by hand, after the application has changed the environment.
    # A file: with -c, Python 3.10 would look into the current directory first, before the store is even started.
    program = tmp_path / 'program.py'
    program.write_text('import os, sys; sys.path.append(""); os.environ["PYTHONPATH"] = sys.argv.pop(); ' + PING)
    ended = subprocess.run(
        [sys.executable, str(program), f'leveldb://{store_dir}', str(tmp_path / 'there')],
        cwd=tmp_path / 'here',
        env={**os.environ, 'PYTHONPATH': str(Path(rq_leveldb.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize('executable', [None, '/usr/sbin/uwsgi', ''])
def test_a_packed_or_embedded_application_starts_it_from_where_it_has_its_packages(
    executable: str | None, packed: Callable[..., subprocess.CompletedProcess[str]], store_dir: Path
) -> None:
    named = '' if executable is None else f'sys.executable = {executable!r}; '
    ended = packed(named + PING, f'leveldb://{store_dir}')
    assert ended.returncode == 0, ended.stderr
    running = autostart.running_store(DataDirectory(store_dir))
    assert running is not None
    assert running[0].pid == int(ended.stdout)


def test_a_program_without_an_interpreter_says_so(
    packed: Callable[..., subprocess.CompletedProcess[str]], store_dir: Path
) -> None:
    frozen = 'sys.executable = "/opt/app"; sys.exec_prefix = sys.base_exec_prefix = "/opt"; '
    ended = packed(frozen + PING, f'leveldb://{store_dir}')
    assert ended.returncode == 1
    assert 'A store cannot be started from here (/opt/app is not Python' in ended.stderr
    assert 'Start one first: rq-leveldb store' in ended.stderr


def test_a_start_lock_that_somebody_keeps_after_a_fork_is_released(store_dir: Path) -> None:
    directory = DataDirectory(store_dir)
    directory.create()
    with autostart._locked(directory):
        child = os.fork()
        if child == 0:
            signal.pause()
    try:
        with Redis.from_url(f'leveldb://{store_dir}') as client:
            assert client.ping()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

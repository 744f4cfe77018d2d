"""A store whose directory, socket or files are taken away from under it: nobody writes where nobody reads."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import Redis, StoreError
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.store.crashing import PATIENCE, Store
from tests.store.mounts import run_with_mounts_of_its_own

Change = Callable[[Path], None]


def pid_of(client: Redis) -> int:
    return int(client.info('server')['process_id'])


def wait_until_gone(pid: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    assert select.select([descriptor], [], [], PATIENCE)[0], 'the store did not end'
    os.close(descriptor)


def kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], PATIENCE)[0]
    os.close(descriptor)


def remove(path: Path) -> None:
    # The running store may make a file at the same moment.
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)


def move(path: Path) -> None:
    path.rename(path.with_name('moved'))


def replace_by_new_directory(path: Path) -> None:
    move(path)
    path.mkdir(mode=0o700)


def replace_by_copy(path: Path) -> None:
    copy = path.with_name('copy')
    shutil.copytree(path, copy, ignore=shutil.ignore_patterns('*.sock'))
    copy.chmod(0o700)
    move(path)
    copy.rename(path)


def replace_by_link_to_copy(path: Path) -> None:
    replace_by_copy(path)
    path.rename(path.with_name('elsewhere'))
    path.symlink_to('elsewhere')


def remove_lock(path: Path) -> None:
    (path / 'store.lock').unlink()


def replace_lock(path: Path) -> None:
    other = path / 'other'
    other.write_bytes((path / 'store.lock').read_bytes())
    other.replace(path / 'store.lock')


@pytest.mark.parametrize(
    'change',
    [
        remove,
        move,
        replace_by_new_directory,
        replace_by_copy,
        replace_by_link_to_copy,
        remove_lock,
        replace_lock,
    ],
)
def test_a_store_that_clients_no_longer_find_ends_and_they_use_what_is_there(
    change: Change, redis: Redis, store_dir: Path
) -> None:
    redis.set('before', 'kept')
    pid = pid_of(redis)
    log = os.open(store_dir / 'store.log', os.O_RDONLY)
    heard: list[Exception] = []

    def wait() -> None:
        with Redis.from_url(f'leveldb://{store_dir}') as client:
            try:
                client.blpop('queue', 0)
            except redis_py.ConnectionError as error:
                heard.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while redis.info('clients')['blocked_clients'] != 1:
        pass
    change(store_dir)
    # Somebody connects before the old store has noticed.
    with Redis.from_url(f'leveldb://{store_dir}') as early:
        early.set('early', 'kept')
        wait_until_gone(pid)
        waiting.join(PATIENCE)
        assert heard
        assert 'removed or replaced under the store' in os.read(log, 1 << 20).decode()
        os.close(log)
        # The end of the old one has done nothing to the new one.
        assert early.get('early') == b'kept'
        redis.set('after', 'kept')
        assert pid_of(redis) == pid_of(early) != pid
        kill(pid_of(redis))
    assert redis.mget('early', 'after') == [b'kept', b'kept']
    had_data = change not in (remove, move, replace_by_new_directory)
    assert redis.get('before') == (b'kept' if had_data else None)


def test_a_directory_that_is_moved_and_moved_back_holds_everything(redis: Redis, store_dir: Path) -> None:
    redis.set('key', 'value')
    pid = pid_of(redis)
    move(store_dir)
    wait_until_gone(pid)
    store_dir.with_name('moved').rename(store_dir)
    assert redis.get('key') == b'value'


def test_a_directory_that_is_moved_behind_a_link_is_the_same_one(redis: Redis, store_dir: Path) -> None:
    redis.set('key', 'value')
    pid = pid_of(redis)
    move(store_dir)
    store_dir.symlink_to('moved')
    with Redis.from_url(f'leveldb://{store_dir}') as other:
        looks_later(store_dir)
        assert other.get('key') == b'value'
        assert pid_of(other) == pid_of(redis) == pid


def looks_later(directory: Path) -> None:
    """Return when the store has looked after its socket since: it makes a new one where that was removed."""
    (directory / 'store.sock').unlink(missing_ok=True)
    deadline = time.monotonic() + PATIENCE
    while not (directory / 'store.sock').exists():
        assert time.monotonic() < deadline, 'the store does not listen again'
        time.sleep(0.01)


def test_in_the_foreground_it_says_why_it_ended(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(tmp_path / 'jobs')],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while 'ready' not in process.stderr.readline():
        pass
    move(tmp_path / 'jobs')
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert 'rq-leveldb store: The data directory was removed or replaced under the store' in said
    assert str(tmp_path / 'jobs') in said
    assert 'Traceback' not in said


def put_file(path: Path) -> None:
    path.unlink()
    path.write_text('')


def put_dead_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


@pytest.mark.parametrize('change', [Path.unlink, put_file, put_dead_socket])
def test_a_socket_that_was_removed_or_replaced_is_made_anew(change: Change, redis: Redis, store_dir: Path) -> None:
    redis.set('key', 'value')
    pid = pid_of(redis)
    change(store_dir / 'store.sock')
    with Redis.from_url(f'leveldb://{store_dir}') as other:
        assert other.get('key') == b'value'
        assert pid_of(other) == pid
    # Whoever was connected still is.
    assert redis.ping()
    assert (store_dir / 'store.sock').stat().st_mode & 0o777 == 0o600
    assert autostart.stop(DataDirectory(store_dir))
    assert not (store_dir / 'store.sock').exists()


def test_a_directory_in_the_place_of_the_socket_is_told(redis: Redis, store_dir: Path) -> None:
    pid = pid_of(redis)
    (store_dir / 'store.sock').unlink()
    (store_dir / 'store.sock').mkdir()
    log = store_dir / 'store.log'
    deadline = time.monotonic() + PATIENCE
    while 'cannot listen at its socket' not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert redis.ping()
    (store_dir / 'store.sock').rmdir()
    with Redis.from_url(f'leveldb://{store_dir}') as other:
        assert pid_of(other) == pid
    redis.shutdown()
    (store_dir / 'store.sock').mkdir()
    with Redis.from_url(f'leveldb://{store_dir}') as other, pytest.raises(StoreError) as caught:
        other.ping()
    assert 'cannot listen at its socket' in str(caught.value)


def newest(path: Path, pattern: str) -> Path:
    return max((path / 'leveldb').glob(pattern))


def remove_database(path: Path) -> None:
    remove(path / 'leveldb')


def remove_current(path: Path) -> None:
    (path / 'leveldb' / 'CURRENT').unlink()


def remove_manifest(path: Path) -> None:
    newest(path, 'MANIFEST-*').unlink()


def remove_table(path: Path) -> None:
    # The newest one may not be finished.
    min((path / 'leveldb').glob('*.ldb')).unlink()


def restore_log(path: Path) -> None:
    log = newest(path, '*.log')
    other = path / 'other'
    other.write_bytes(log.read_bytes())
    other.replace(log)


@pytest.fixture
def filled(redis: Redis) -> Redis:
    """Return a client of a store that has tables."""
    redis.set('key', 'value')
    redis.shutdown()
    for number in range(12):
        redis.set(f'large{number}', os.urandom(1 << 20))
    return redis


@pytest.mark.parametrize('change', [remove_database, remove_current, remove_manifest, remove_table, restore_log])
def test_a_store_whose_files_no_start_would_find_ends(change: Change, filled: Redis, store_dir: Path) -> None:
    pid = pid_of(filled)
    with Redis.from_url(f'leveldb://{store_dir}') as waiting:
        looks_later(store_dir)
        change(store_dir)
        with pytest.raises(redis_py.ConnectionError):
            waiting.blpop('queue', 0)
    wait_until_gone(pid)
    if change is restore_log:
        assert filled.get('key') == b'value'
        return
    with pytest.raises(StoreError, match=r'missing|damaged') as caught:
        filled.get('key')
    assert str(store_dir) in str(caught.value)
    if change is not remove_database:
        # Nothing was done to what is left of it.
        assert list((store_dir / 'leveldb').glob('*.ldb'))


def test_what_was_in_a_log_that_was_removed_is_kept(redis: Redis, store_dir: Path) -> None:
    redis.set('key', 'value')
    pid = pid_of(redis)
    newest(store_dir, '*.log').unlink()
    deadline = time.monotonic() + PATIENCE
    while not list((store_dir / 'leveldb').glob('*.log')):
        assert time.monotonic() < deadline, 'there is no new log'
        time.sleep(0.01)
    redis.set('after', 'value')
    assert pid_of(redis) == pid
    kill(pid)
    assert redis.mget('key', 'after') == [b'value', b'value']


def test_a_working_store_does_not_take_its_own_changes_for_others(tmp_path: Path) -> None:
    """Tables are made, compacted and removed all the time while it looks."""
    store = Store(tmp_path / 'jobs', 'everysec')
    store.start()
    pid = store.pid
    try:
        with store.client() as client:
            payload = os.urandom(100_000)
            end = time.monotonic() + 4
            count = 0
            while time.monotonic() < end:
                client.set(f'key{count % 300}', payload)
                count += 1
            assert store.pid == pid
            assert client.ping()
    finally:
        store.kill()
    said = (tmp_path / 'jobs.out').read_text()
    assert 'removed or replaced' not in said
    assert 'ERROR' not in said


def test_a_file_system_that_is_unmounted_or_covered_by_another(tmp_path: Path) -> None:
    run_with_mounts_of_its_own('lost_mount', tmp_path / 'disk')


NOBODY = 54_321


def write_on(client: redis_py.Redis) -> None:
    while True:
        client.set('key', 'other')


def test_a_directory_that_its_owner_closes_for_a_while(tmp_path: Path) -> None:
    if os.geteuid() != 0 or shutil.which('setpriv') is None:
        pytest.skip('only root can become a user to whom a directory is closed')
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.chown(place, NOBODY, NOBODY)
        environment = {**os.environ, 'PYTHONDONTWRITEBYTECODE': '1'}
        command = ['setpriv', '--reuid', str(NOBODY), '--clear-groups', sys.executable, '-m', 'rq_leveldb', 'store']
        process = subprocess.Popen(
            [*command, '--dir', str(place / 'jobs')], cwd=place, env=environment, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        while 'ready' not in (line := process.stderr.readline()):
            if not line:
                pytest.skip('that user cannot read this package')
        with redis_py.Redis(unix_socket_path=str(place / 'jobs' / 'store.sock')) as client:
            client.set('key', 'value')
            (place / 'jobs').chmod(0)
            with pytest.raises(redis_py.ResponseError, match=r'MISCONF cannot read .*\(Permission denied\)'):
                write_on(client)
            assert client.get('key') in (b'value', b'other')
            (place / 'jobs').chmod(0o700)
            assert client.set('key', 'third')
        process.terminate()
        process.communicate(timeout=PATIENCE)
        assert process.returncode == 0

"""A store that gets too few descriptors or too little memory: refusals in words, nothing lost, and it goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis as redis_py

from rq_leveldb import Redis
from tests.store.crashing import PATIENCE, Store, Writer, wait_for
from tests.until import until

STORE = [sys.executable, '-m', 'rq_leveldb', 'store']


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / 'jobs', 'everysec')
    made.start()
    yield made
    if psutil.pid_exists(made.pid):
        made.kill()


@pytest.fixture
def writer(store: Store) -> Iterator[Writer]:
    """Return a client at work, of which nothing may be lost."""
    made = Writer(store, 'w')
    made.start()
    wait_for([made], 20)
    yield made
    made.stopping.set()
    made.join(PATIENCE)


def limit(store: Store, kind: int, value: int) -> None:
    _, hard = resource.prlimit(store.pid, kind)
    resource.prlimit(store.pid, kind, (value, hard))


def descriptors(store: Store) -> int:
    """Return the limit with which it could open nothing more."""
    used = set(map(int, os.listdir(f'/proc/{store.pid}/fd')))
    return min(set(range(len(used) + 1)) - used)


def all_is_there_after_a_kill(store: Store, writer: Writer) -> None:
    writer.stopping.set()
    writer.join(PATIENCE)
    with store.client() as client:
        writer.check(client, writer.acknowledged, writer.acknowledged)
    store.kill()
    store.start()
    with store.client() as client:
        writer.check(client, writer.acknowledged, writer.acknowledged)


def test_one_client_too_many_is_told_and_the_database_keeps_its_descriptors(store: Store, writer: Writer) -> None:
    with store.client() as early, contextlib.ExitStack() as crowd:
        early.ping()
        limit(store, resource.RLIMIT_NOFILE, descriptors(store) + 20)
        assert early.info('clients')['maxclients'] < 20
        with pytest.raises(redis_py.ConnectionError, match='max number of clients reached'):
            connect(store, crowd, 20)
        # LevelDB begins logs and tables beside them.
        for number in range(20):
            assert early.set(f'large:{number}', os.urandom(1 << 20))
        crowd.close()
        with Redis.from_url(f'leveldb://{store.directory}') as late:
            until(lambda: can_ping(late))
    wait_for([writer], 20)
    assert not writer.refusals
    assert 'refused a client' in store.directory.with_suffix('.out').read_text()
    all_is_there_after_a_kill(store, writer)


def connect(store: Store, crowd: contextlib.ExitStack, count: int) -> None:
    for _ in range(count):
        crowd.enter_context(Redis.from_url(f'leveldb://{store.directory}')).ping()


def write_on(client: redis_py.Redis) -> None:
    while True:
        client.set('large', os.urandom(1 << 20))


def can_ping(client: redis_py.Redis) -> bool:
    with contextlib.suppress(redis_py.ConnectionError):
        return bool(client.ping())
    return False


def test_a_database_without_descriptors_takes_no_writes_until_there_are_some(store: Store, writer: Writer) -> None:
    with store.client() as client:
        client.set('key', 'value')
        limit(store, resource.RLIMIT_NOFILE, descriptors(store))
        with pytest.raises(redis_py.ResponseError, match=r'MISCONF .*Too many open files'):
            write_on(client)
        until(lambda: writer.refusals)
        persistence = client.info('persistence')
        assert persistence['aof_last_write_status'] == 'err'
        assert 'Too many open files' in persistence['last_write_error']
        assert client.get('key') == b'value'
        with pytest.raises(redis_py.ConnectionError):
            store.client().ping()
        limit(store, resource.RLIMIT_NOFILE, 1000)
        wait_for([writer], 20)
        assert client.info('persistence')['aof_last_write_status'] == 'ok'
    assert all('MISCONF' in refusal for refusal in writer.refusals)
    all_is_there_after_a_kill(store, writer)


def test_a_socket_that_is_removed_while_there_are_no_descriptors_is_made_when_there_are(store: Store) -> None:
    with store.client() as client:
        client.ping()
        limit(store, resource.RLIMIT_NOFILE, descriptors(store))
        (store.directory / 'store.sock').unlink()
        until(lambda: 'no client can connect' in store.directory.with_suffix('.out').read_text())
        limit(store, resource.RLIMIT_NOFILE, 1000)
    until((store.directory / 'store.sock').exists)
    with store.client() as client:
        assert client.ping()


def test_a_limit_of_descriptors_that_is_too_low_is_told_at_the_start(tmp_path: Path) -> None:
    command = ['sh', '-c', 'ulimit -n 30 && exec "$@"', 'sh', *STORE, '--dir', str(tmp_path / 'jobs')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert 'The limit of open files is too low for a store: 30. Raise it' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_store_may_open_what_the_system_grants_whoever_starts_it(tmp_path: Path) -> None:
    """A shell that lets its programs open few files is no reason for a store to serve few clients."""
    store = Store(tmp_path / 'jobs', 'everysec')
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
    try:
        store.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        with store.client() as client:
            assert client.info('clients')['maxclients'] >= min(10_000, hard - 100)
    finally:
        store.kill()


ROOM = 60 << 20


def short_of_memory(store: Store, room: int = ROOM) -> None:
    status = Path(f'/proc/{store.pid}/status').read_text()
    (size,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith('VmData'))
    limit(store, resource.RLIMIT_DATA, size + room)


def test_writes_are_synced_where_there_is_no_memory_for_another_thread(store: Store) -> None:
    short_of_memory(store, 4 << 20)
    with store.client() as client:
        client.set('key', 'value')
        until(lambda: client.info('persistence')['syncs'])
    assert 'Traceback' not in store.directory.with_suffix('.out').read_text()


def test_a_command_that_needs_more_memory_than_there_is_is_told_and_undone_as_a_whole(
    store: Store, writer: Writer
) -> None:
    short_of_memory(store)
    with store.client() as client:
        client.set('key', 'before')
        with client.pipeline() as transaction:
            transaction.set('key', 'after').rpush('list', 'one')
            for number in range(20):
                transaction.setrange(f'large:{number}', 10 << 20, 'x')
            with pytest.raises(redis_py.ResponseError, match='not enough memory'):
                transaction.execute()
        assert client.get('key') == b'before'
        assert not client.keys('large:*')
        assert not client.exists('list')
        wait_for([writer], 20)
    assert not writer.refusals
    said = store.directory.with_suffix('.out').read_text()
    assert 'out of memory' in said
    assert 'Traceback' not in said
    all_is_there_after_a_kill(store, writer)


@pytest.mark.parametrize(
    ('values', 'size'), [pytest.param(1, 2 * ROOM, id='a value'), pytest.param(45, 1 << 20, id='a transaction')]
)
def test_more_than_fits_into_memory_is_the_trouble_of_its_sender_alone(
    store: Store, writer: Writer, values: int, size: int
) -> None:
    short_of_memory(store)
    with store.client() as client, client.pipeline() as transaction:
        for number in range(values):
            transaction.set(f'large:{number}', os.urandom(size))
        # What does not fit as it arrives costs the connection.
        expected = redis_py.ConnectionError if values == 1 else redis_py.ResponseError
        with pytest.raises(expected):
            transaction.execute()
    wait_for([writer], 20)
    with store.client() as client:
        assert not client.keys('large:*')
    assert not writer.refusals
    said = store.directory.with_suffix('.out').read_text()
    assert 'out of memory' in said
    assert 'Traceback' not in said
    all_is_there_after_a_kill(store, writer)

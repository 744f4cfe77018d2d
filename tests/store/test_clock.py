"""A clock that is set under a running store: what depends on the time of day follows it, everything else goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb import Redis
from tests.store.crashing import Store
from tests.store.mounts import run_with_mounts_of_its_own
from tests.until import until
from tests.worker.jumping_clock import HOURS, JumpingClock

DAY = 24 * HOURS


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    return JumpingClock(tmp_path, monkeypatch)


@pytest.fixture
def store(clock: JumpingClock, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / 'jobs', 'everysec')
    made.start()
    yield made
    made.kill()


@pytest.mark.parametrize('days', [1, -1], ids=['forward', 'back'])
def test_writes_are_synced_as_soon_as_before(clock: JumpingClock, store: Store, days: int) -> None:
    with store.client() as client:
        for offset in (0, days * DAY, 0):
            clock.set(offset)
            syncs = client.info('persistence')['syncs']
            client.set('key', offset)
            until(lambda syncs=syncs: client.info('persistence')['syncs'] > syncs)
        assert client.info('persistence')['longest_unsynced_ms'] < 30_000
        assert 0 <= client.info('server')['uptime_in_seconds'] < 3600


def test_what_expires_follows_the_clock_and_nothing_else_does(clock: JumpingClock, store: Store) -> None:
    with store.client() as client:
        client.set('hour', 'value', ex=3600)
        client.set('week', 'value', ex=7 * 86400)
        client.set('always', 'value')
        first = client.xadd('stream', {'field': 'value'})
        clock.set(-DAY)
        assert client.mget('hour', 'week', 'always') == [b'value'] * 3
        assert client.ttl('hour') > 86400
        # An id is never lower than the one before.
        assert client.xadd('stream', {'field': 'value'}) > first
        clock.set(DAY)
        assert client.mget('hour', 'week', 'always') == [None, b'value', b'value']
        clock.set(0)
        assert client.get('hour') is None
        assert client.xlen('stream') == 2
    store.kill()
    store.start()
    with store.client() as client:
        assert client.mget('hour', 'week', 'always') == [None, b'value', b'value']


@pytest.mark.parametrize('days', [1, -1], ids=['forward', 'back'])
def test_a_client_that_waits_is_answered_in_its_time(clock: JumpingClock, store: Store, days: int) -> None:
    with store.client() as client, store.client() as waiting:
        waiting.blpop('none', 0.01)
        connection = waiting.connection_pool.get_connection()
        connection.send_command('BLPOP', 'queue', 0.5)
        until(lambda: client.info('clients')['blocked_clients'] == 1)
        began = time.monotonic()
        clock.set(days * DAY)
        client.ping()
        assert connection.read_response() is None
        assert time.monotonic() - began < 30
        connection.send_command('BLPOP', 'queue', 0)
        client.rpush('queue', 'value')
        assert connection.read_response() == [b'queue', b'value']
        waiting.connection_pool.release(connection)


def test_a_store_that_nobody_uses_ends_in_its_time(clock: JumpingClock, tmp_path: Path) -> None:
    url = f'leveldb://{tmp_path}/idle?idle=0.5'
    with Redis.from_url(url) as client:
        client.set('key', 'value', ex=3 * 86400)
        pid = client.info('server')['process_id']
        clock.set(-DAY)
        client.ping()
    until(lambda: not Path(f'/proc/{pid}').exists())
    # It was closed in good order, and the next one opens it a day before.
    assert (tmp_path / 'idle' / 'boot').read_text().strip() == 'closed'
    with Redis.from_url(url) as client:
        assert client.get('key') == b'value'
        clock.set(DAY)
        assert client.get('key') == b'value'


def test_the_disk_is_looked_at_whatever_the_clock_says(tmp_path: Path) -> None:
    run_with_mounts_of_its_own('disk_and_clock', tmp_path / 'disk')

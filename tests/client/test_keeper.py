"""Clients that know only a URL find the store, for as long as the process lives that gave it to them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from rq_leveldb import Redis, StoreError, process, unix_url
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.client.support import kill, pid_of
from tests.until import until

# Tells the URL, and ends when its input does.
HOLDER = """
import sys, time
import rq_leveldb
print(rq_leveldb.unix_url(sys.argv[1]), flush=True)
sys.stdin.read()
"""
FORKS = """
import os, sys
import rq_leveldb
url = rq_leveldb.unix_url(sys.argv[1])
if os.fork():
    os._exit(0)
print(url, flush=True)
sys.stdin.read()
"""
STARTS_A_PROGRAM = """
import subprocess, sys
import rq_leveldb
url = rq_leveldb.unix_url(sys.argv[1])
program = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], close_fds=False)
print(url, flush=True)
"""
WAITS_FOR_A_SIGNAL = """
import signal, sys
import rq_leveldb
url = rq_leveldb.unix_url(sys.argv[1])
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print(url, flush=True)
print(signal.sigwait([signal.SIGTERM]).name)
"""
COOPERATES = """
import sys, time
{patch}
import rq_leveldb
print(rq_leveldb.unix_url(sys.argv[1]), flush=True)
while True:
    time.sleep(0.01)
"""

Hold = Callable[..., tuple['subprocess.Popen[str]', Any]]


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Return what starts a process that keeps a store, and gives it with redis-py's client for the URL it told."""
    started: list[subprocess.Popen[str]] = []

    def start(url: str, program: str = HOLDER) -> tuple[subprocess.Popen[str], Any]:
        holder = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-c', program, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(holder)
        assert holder.stdout is not None
        return holder, redis_py.Redis.from_url(holder.stdout.readline().rstrip('\n'))

    yield start
    for holder in started:
        holder.kill()
        holder.wait()
        # What it forked or started ends with its input.
        for stream in (holder.stdin, holder.stdout):
            assert stream is not None
            stream.close()


def identity_of(client: Any) -> process.Identity:
    return process.identify(pid_of(client))


def is_another(client: Any, former: process.Identity) -> bool:
    return identity_of(client) != former


def test_redis_pys_own_client_finds_the_store_and_its_database(store_dir: Path, hold: Hold) -> None:
    _, client = hold(f'leveldb://{store_dir}?db=3&decode_responses=yes')
    client.set('name', 'value')
    assert client.get('name') == 'value'
    assert Redis.from_url(f'leveldb://{store_dir}?db=3').get('name') == b'value'


def test_a_store_that_is_killed_is_started_again(store_dir: Path, hold: Hold) -> None:
    _, client = hold(f'leveldb://{store_dir}')
    client.set('name', 'value')
    for _ in range(3):
        former = identity_of(client)
        kill(client)
        until(lambda former=former: is_another(client, former))
        assert client.get('name') == b'value'


def test_the_store_stays_while_the_process_lives_and_no_longer(store_dir: Path, tmp_path: Path, hold: Hold) -> None:
    holder, client = hold(f'leveldb://{store_dir}?idle=0.2')
    kept = identity_of(client)
    client.close()
    with Redis.from_url(f'leveldb://{tmp_path}/other?idle=0.4') as other:
        left = identity_of(other)
    until(lambda: not process.is_alive(left))
    assert process.is_alive(kept)
    # It does not keep its process from ending, either.
    holder.communicate(timeout=30)
    assert holder.returncode == 0
    until(lambda: not process.is_alive(kept))


def test_a_forked_process_goes_on_when_its_parent_has_ended(store_dir: Path, hold: Hold) -> None:
    holder, client = hold(f'leveldb://{store_dir}?idle=0.2', FORKS)
    holder.wait(30)
    for _ in range(2):
        former = identity_of(client)
        kill(client)
        until(lambda former=former: is_another(client, former))
    kept = identity_of(client)
    client.close()
    assert holder.stdin is not None
    holder.stdin.close()
    until(lambda: not process.is_alive(kept))


def test_a_program_that_is_started_does_not_inherit_it(store_dir: Path, hold: Hold) -> None:
    holder, client = hold(f'leveldb://{store_dir}?idle=0.2', STARTS_A_PROGRAM)
    holder.wait(30)
    kept = identity_of(client)
    client.close()
    until(lambda: not process.is_alive(kept))


def test_signals_are_left_to_the_application(store_dir: Path, hold: Hold) -> None:
    holder, _ = hold(f'leveldb://{store_dir}', WAITS_FOR_A_SIGNAL)
    holder.terminate()
    assert holder.communicate(timeout=30)[0] == 'SIGTERM\n'
    assert holder.returncode == 0


def test_several_processes_keep_one_store(store_dir: Path, hold: Hold) -> None:
    clients = [hold(f'leveldb://{store_dir}')[1] for _ in range(3)]
    former = identity_of(clients[0])
    kill(clients[0])
    until(lambda: all(is_another(client, former) for client in clients))
    until(lambda: [client['name'] for client in clients[0].client_list()].count('keeper') == 3)
    assert len({pid_of(client) for client in clients}) == 1
    assert (store_dir / 'store.log').read_text().count(' ready,') == 2


def test_a_directory_that_was_removed_is_kept_again_once_it_is_back(
    store_dir: Path, tmp_path: Path, hold: Hold
) -> None:
    _, client = hold(f'leveldb://{store_dir}')
    former = identity_of(client)
    store_dir.rename(tmp_path / 'away')
    until(lambda: not process.is_alive(former))
    # A store that starts and ends takes longer than the keeper's first pauses.
    with Redis.from_url(f'leveldb://{tmp_path}/other') as other:
        other.ping()
    assert autostart.stop(DataDirectory(tmp_path / 'other'))
    assert not store_dir.exists()
    shutil.move(tmp_path / 'away', store_dir)
    until(client.ping)


def test_the_url_may_ask_for_durability(store_dir: Path, hold: Hold) -> None:
    _, client = hold(f'leveldb://{store_dir}?fsync=always')
    former = identity_of(client)
    kill(client)
    until(lambda: is_another(client, former))
    assert client.config_get('appendfsync')['appendfsync'] == 'always'


@pytest.mark.parametrize(
    'patch', ['import eventlet; eventlet.monkey_patch()', 'from gevent import monkey; monkey.patch_all()']
)
def test_under_gevent_and_eventlet(patch: str, store_dir: Path, hold: Hold) -> None:
    name = patch.split()[1].rstrip(';')
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'{name} is not installed')
    _, client = hold(f'leveldb://{store_dir}', COOPERATES.format(patch=patch))
    former = identity_of(client)
    kill(client)
    until(lambda: is_another(client, former))


@pytest.mark.parametrize('url', ['redis://host:6380/1', 'rediss://host', 'unix:///run/redis.sock?db=2'])
def test_the_url_of_a_real_server_stays_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unix_url(url) == url
    monkeypatch.setenv('RQ_REDIS_URL', url)
    assert unix_url() == url


def test_what_cannot_be_named_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ('d' * 110)
    with pytest.raises(StoreError, match=r'other clients can connect to sockets with at most 10\d.* shorter path'):
        unix_url(f'leveldb://{deep}')
    with pytest.raises(StoreError, match='A store has no option colour'):
        unix_url(f'leveldb://{tmp_path}/store?colour=red')
    assert not deep.exists()
    assert not (tmp_path / 'store').exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can make what belongs to another user')
def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'store').mkdir(mode=0o755)
    os.chown(tmp_path / 'store', 65534, -1)
    with pytest.raises(redis_py.ConnectionError, match='belongs to another user'):
        unix_url(f'leveldb://{tmp_path}/store')

"""Kill -9 and full disks: what was acknowledged is there, and a transaction is there as a whole or not."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from rq_leveldb.location import FSYNC_POLICIES
from tests.store.crashing import PATIENCE, Store, Writer, wait_for
from tests.store.mounts import run_with_mounts_of_its_own

WRITERS = 4


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / 'jobs'


@pytest.fixture(params=FSYNC_POLICIES)
def store(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    """A running store, with each fsync policy in turn."""
    made = Store(directory, request.param)
    made.start()
    yield made
    made.kill()


def writers(store: Store, payload: int = 100) -> list[Writer]:
    started = [Writer(store, f'w{number}', payload) for number in range(WRITERS)]
    for writer in started:
        writer.start()
    return started


def test_kill_under_load(store: Store) -> None:
    """At random points, again and again on the same directory."""
    chance = random.Random(store.fsync)
    lasts = [0] * WRITERS
    for turn in range(8):
        crowd = [Writer(store, f'w{number}', 100 if turn % 2 else 5_000) for number in range(WRITERS)]
        for writer, last in zip(crowd, lasts, strict=True):
            writer.acknowledged = last
            if last:
                # The payload of what is there already.
                writer.payload = store.client().hget(f'{writer.prefix}:hash:1', 'payload').decode()
            writer.start()
        wait_for(crowd, chance.randrange(1, 300))
        store.kill()
        for writer in crowd:
            writer.join(PATIENCE)
        store.start()
        with store.client() as client:
            lasts = [writer.check(client, writer.acknowledged, writer.acknowledged + 1) for writer in crowd]
    assert sum(lasts) > 0


def test_kill_while_opening(store: Store) -> None:
    """The database is brought up to date when it is opened; that may be cut short any number of times."""
    chance = random.Random(store.fsync)
    crowd = writers(store, 5_000)
    wait_for(crowd, 400)
    store.kill()
    for writer in crowd:
        writer.join(PATIENCE)
    for _ in range(6):
        store.launch()
        time.sleep(chance.uniform(0.1, 0.5))
        store.kill()
    store.start()
    with store.client() as client:
        for writer in crowd:
            writer.check(client, writer.acknowledged, writer.acknowledged + 1)


def test_disk_without_room(store: Store) -> None:
    """The system refuses to let a file grow: clients are told, lose nothing, and go on when it is allowed again."""
    crowd = writers(store, 2_000)
    wait_for(crowd, 50)
    _, hard = resource.prlimit(store.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(store.pid, resource.RLIMIT_FSIZE, (600_000, hard))
    deadline = time.monotonic() + PATIENCE
    while not all(writer.refusals for writer in crowd):
        assert time.monotonic() < deadline
        assert all(writer.is_alive() for writer in crowd)
        time.sleep(0.01)
    assert all('MISCONF' in refusal for writer in crowd for refusal in writer.refusals)
    assert str(store.directory) in crowd[0].refusals[0]
    resource.prlimit(store.pid, resource.RLIMIT_FSIZE, (hard, hard))
    wait_for(crowd, 50)
    for writer in crowd:
        writer.stopping.set()
        writer.join(PATIENCE)
    with store.client() as client:
        for writer in crowd:
            writer.check(client, writer.acknowledged, writer.acknowledged)
    store.kill()
    store.start()
    with store.client() as client:
        for writer in crowd:
            writer.check(client, writer.acknowledged, writer.acknowledged)
        assert client.info('persistence')['loading'] == 0


def test_a_transaction_stays_one_when_the_disk_has_room_again(store: Store) -> None:
    """Whatever its first commands were told while there was none, the rest is not done by itself or elsewhere."""
    with store.client() as client, socket.socket(socket.AF_UNIX) as other:
        client.mset({f'key:{number}': os.urandom(10_000) for number in range(100)})
        other.connect(str(store.directory / 'store.sock'))
        replies = other.makefile('rb')
        _, hard = resource.prlimit(store.pid, resource.RLIMIT_FSIZE)
        # Neither the log nor the table that a new start would make of it fits.
        resource.prlimit(store.pid, resource.RLIMIT_FSIZE, (300_000, hard))
        with pytest.raises(redis.ResponseError, match='MISCONF'):
            client.set('key', 'value')
        other.sendall(b'SELECT 1\r\nMULTI\r\n')
        assert [replies.readline() for _ in range(2)] == [b'+OK\r\n', b'+OK\r\n']
        resource.prlimit(store.pid, resource.RLIMIT_FSIZE, (hard, hard))
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(redis.ResponseError):
                client.set('key', 'value')
                break
            assert time.monotonic() < deadline, 'the store does not go on'
        other.sendall(b'SET one 1\r\nSET two 2\r\nEXEC\r\n')
        assert [replies.readline() for _ in range(2)] == [b'+QUEUED\r\n', b'+QUEUED\r\n']
        assert replies.readline() == b'*2\r\n'
        assert client.exists('one', 'two') == 0


def test_full_disk(tmp_path: Path) -> None:
    """The same on a small file system that is really full."""
    run_with_mounts_of_its_own('full_disk', tmp_path / 'disk')

"""Records that make no sense are told of, with the key's name and what to do; whatever else there is goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis as Client
from redis.exceptions import ConnectionError, ResponseError

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from rq_leveldb.store import encoding
from rq_leveldb.store.opening import close_database, open_database

FIRST = encoding.meta_prefix(encoding.u32(0))


def spoil(directory: DataDirectory, changes: dict[bytes, bytes | None]) -> None:
    """Stop a store and write records behind its back."""
    assert autostart.stop(directory)
    engine = open_database(directory)
    engine.write(changes)
    close_database(directory, engine)


@pytest.fixture
def directory(store_dir: Path) -> DataDirectory:
    return DataDirectory(store_dir)


def record_of(directory: DataDirectory, key: bytes) -> bytes:
    assert autostart.stop(directory)
    engine = open_database(directory)
    record = engine.get(FIRST + key)
    close_database(directory, engine)
    assert record is not None
    return record


@pytest.mark.parametrize('left', [0, 5, 17, 25])
def test_a_record_that_was_cut(redis: Redis, directory: DataDirectory, left: int) -> None:
    redis.hset('job', mapping={'a': 1, 'b': 2})
    redis.set('other', 'there')
    spoil(directory, {FIRST + b'job': record_of(directory, b'job')[:left]})
    with pytest.raises(ResponseError, match=r"MISCONF .*'job'.*rq-leveldb check"):
        redis.hgetall('job')
    assert redis.get('other') == b'there'
    assert sorted(redis.keys()) == [b'job', b'other']


@pytest.mark.parametrize(
    'command',
    ['LRANGE queue 0 -1', 'LPOP queue', 'EVAL return{redis.call("LPOP",KEYS[1])} 1 queue'],
)
def test_an_element_that_is_missing(redis: Redis, directory: DataDirectory, command: str) -> None:
    redis.rpush('queue', 'a', 'b', 'c')
    version = encoding.read_list_body(record_of(directory, b'queue'))[0]
    spoil(directory, {encoding.list_position(version, encoding.LIST_ORIGIN): None})
    with pytest.raises(ResponseError, match=r"MISCONF .*'queue'.*rq-leveldb check"):
        redis.execute_command(*command.split(' '))
    assert redis.llen('queue') == 3


def test_a_member_count_that_is_too_high_makes_no_client_wait(redis: Redis, directory: DataDirectory) -> None:
    redis.sadd('set', *(f'{number}' * 500 for number in range(1, 10)))
    record = record_of(directory, b'set')
    version, _ = encoding.read_counted_body(record)
    spoil(directory, {FIRST + b'set': record[:17] + encoding.counted_body(version, 4000)})
    redis.ping()
    # The reply is sent in pieces, so it ends in the middle.
    with (
        Client(unix_socket_path=str(directory.socket), socket_timeout=30) as client,
        pytest.raises(ConnectionError, match='closed'),
    ):
        client.smembers('set')
    assert redis.scard('set') == 4000


def test_other_keys_expire(redis: Redis, directory: DataDirectory) -> None:
    redis.set('damaged', 'x', px=1500)
    redis.set('sound', 'x', px=1501)
    spoil(directory, {FIRST + b'damaged': b'\x09', encoding.EXPIRY_PREFIX + b'short': b''})
    pubsub = redis.pubsub()
    pubsub.subscribe('never')
    while redis.info('stats')['expired_keys'] == 0:
        pubsub.get_message(timeout=0.05)
    assert redis.keys() == [b'damaged']


def test_what_was_flushed_is_removed_though_a_part_is_damaged(redis: Redis, directory: DataDirectory) -> None:
    redis.mset({f'key{number}': 'x' for number in range(10)})
    spoil(directory, {FIRST + b'key5': b''})
    redis.flushdb()
    while redis.info('memory')['lazyfree_pending_objects']:
        pass
    assert autostart.stop(directory)
    engine = open_database(directory)
    left = list(engine.scan(encoding.META_PREFIX, encoding.after(encoding.META_PREFIX)))
    close_database(directory, engine)
    assert left == []

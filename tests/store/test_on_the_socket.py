"""Strings, hashes, sets, streams and keys as a client of a running store meets them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.location import DataDirectory


@pytest.fixture(params=[2, 3])
def either(request: pytest.FixtureRequest, redis: Redis, store_dir: Path) -> Redis:
    """Return a client that speaks RESP2, then one that speaks RESP3."""
    redis.ping()
    return Redis.from_url(f'leveldb://{store_dir}', protocol=request.param)


def test_large_replies_arrive_whole(either: Any) -> None:
    fields = {b'f%d' % number: b'v' * 100 for number in range(5000)}
    either.hset('h', mapping=fields)
    either.sadd('s', *fields)
    assert either.hgetall('h') == fields
    assert set(either.hkeys('h')) == set(fields)
    assert set(either.smembers('s')) == set(fields)
    assert len(either.srandmember('s', -20_000)) == 20_000


def test_what_comes_behind_a_reply_in_pieces_is_answered(either: Redis) -> None:
    either.rpush('l', *range(1500))
    with either.pipeline(transaction=False) as pipeline:
        for _ in range(3):
            pipeline.lrange('l', 0, -1)
        pipeline.ping()
        *lists, pong = pipeline.execute()
    assert [len(elements) for elements in lists] == [1500] * 3
    assert pong is True


def test_many_keys_are_counted_and_sent(either: Redis) -> None:
    either.mset({f'k{number}': '' for number in range(25_000)})
    assert len(set(either.keys('*'))) == 25_000
    assert len(either.keys('*999')) == 25
    assert either.keys('*nothing*') == []


def test_iterators_see_everything(either: Redis) -> None:
    with either.pipeline() as pipeline:
        for number in range(500):
            pipeline.set(f'key:{number}', number)
        pipeline.sadd('s', *range(500))
        pipeline.hset('h', mapping={str(number): number for number in range(500)})
        pipeline.execute()
    assert len(set(either.scan_iter('key:*', count=30))) == 500
    assert len(set(either.sscan_iter('s', count=30))) == 500
    assert len(dict(either.hscan_iter('h', count=30))) == 500


def blocked(redis: Redis, call: Callable[[], Any]) -> Future[Any]:
    """Return the future of `call` as soon as it waits in the store."""
    pool = ThreadPoolExecutor(1)
    future = pool.submit(call)
    while not redis.info('clients')['blocked_clients']:
        assert not future.done()
    pool.shutdown(wait=False)
    return future


def test_a_reader_waits_for_an_entry(either: Redis) -> None:
    either.xadd('x', {'f': 'old'}, id='1-0')
    waiting = blocked(either, lambda: either.xread({'x': '$', 'y': '$'}, block=20_000))
    either.xadd('x', {'f': 'new'}, id='2-0')
    found = waiting.result(20)
    entries = found[b'x'][0] if isinstance(found, dict) else found[0][1]
    assert entries == [(b'2-0', {b'f': b'new'})]


def test_a_reader_gives_up_in_time(either: Redis) -> None:
    assert not either.xread({'x': '$'}, block=20)


def test_readers_of_a_group_are_served_in_turn(either: Redis) -> None:
    either.xgroup_create('x', 'g', mkstream=True)
    waiting = blocked(either, lambda: either.xreadgroup('g', 'one', {'x': '>'}, block=20_000))
    either.xadd('x', {'f': 'v'}, id='1-0')
    assert waiting.result(20)
    assert either.xpending('x', 'g')['consumers'] == [{'name': b'one', 'pending': 1}]
    assert either.xack('x', 'g', '1-0') == 1


@pytest.mark.parametrize('ending', ['xgroup_destroy', 'delete'])
def test_a_reader_learns_that_its_group_has_gone(either: Redis, ending: str) -> None:
    either.xgroup_create('x', 'g', mkstream=True)
    waiting = blocked(either, lambda: either.xreadgroup('g', 'one', {'x': '>'}, block=20_000))
    either.xgroup_destroy('x', 'g') if ending == 'xgroup_destroy' else either.delete('x')
    with pytest.raises(redis_py.ResponseError, match='NOGROUP'):
        waiting.result(20)


def test_a_large_reply_inside_a_transaction(either: Redis) -> None:
    either.sadd('s', *range(3000))
    with either.pipeline() as pipeline:
        pipeline.smembers('s')
        pipeline.delete('s')
        members, removed = pipeline.execute()
    assert len(members) == 3000
    assert removed == 1


@pytest.mark.parametrize('transaction', [False, True])
def test_a_pipeline_is_sent_whole_before_its_replies_are_read(either: Redis, transaction: bool) -> None:
    # Commands and replies are each more than sockets hold, so one side has to go on reading.
    either.set('s', b'v' * 1500)
    either.hset('h', mapping={b'f%d' % number: b'v' * 100 for number in range(1500)})
    with either.pipeline(transaction) as pipeline:
        pipeline.hgetall('h')
        for _ in range(40_000):
            pipeline.get('s')
        replies = pipeline.execute()
    assert len(replies[0]) == 1500
    assert replies[1:] == [b'v' * 1500] * 40_000


def test_a_client_that_does_not_read_is_not_executed_further(redis: Redis, store_dir: Path) -> None:
    redis.set('s', b'v' * (1 << 20))
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(DataDirectory(store_dir).socket))
        sock.sendall(b'GET s\r\n' * 200 + b'SET done 1\r\n')
        # Another client's command is answered after what that one sent was looked at.
        for _ in range(20):
            assert redis.get('done') is None
        sock.settimeout(20)
        received_end = b''
        while not received_end.endswith(b'+OK\r\n'):
            received_end = (received_end + sock.recv(1 << 20))[-5:]
    assert redis.get('done') == b'1'


def test_a_command_of_very_many_arguments(redis: Redis) -> None:
    count = (1 << 20) + 10
    assert redis.execute_command('DEL', *([b'k'] * count)) == 0
    assert redis.execute_command('EXISTS', *([b''] * count)) == 0

"""DEBUG SNAPSHOT: a connection reads the store as it was at one moment."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rq_leveldb import Redis
from rq_leveldb.store import snapshots
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.context import Context
from rq_leveldb.store.engine import Engine, ReadFailed
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.snapshots import Snapshots
from tests.store.direct import Direct
from tests.until import until


@pytest.fixture
def reader(redis: Redis, store_dir: Path) -> Iterator[Redis]:
    """Return another client, of a single connection."""
    with Redis.from_url(f'leveldb://{store_dir}', single_connection_client=True) as client:
        yield client


def on(reader: Redis) -> None:
    assert reader.execute_command('DEBUG', 'SNAPSHOT', 'ON')


def test_the_reader_sees_one_moment_of_every_type_whatever_is_written(redis: Redis, reader: Redis) -> None:
    large: dict[Any, Any] = {f'{number:05}': 'x' * 50 for number in range(3_000)}
    redis.set('string', 'old')
    redis.hset('large', mapping=large)
    redis.rpush('list', *range(3_000))
    redis.zadd('scores', {member: int(member) for member in large})
    redis.xadd('stream', {'a': 'b'}, id='1-1')
    redis.set('gone', 'still here', px=3_600_000)
    on(reader)
    redis.set('string', 'new')
    redis.hset('large', mapping=dict.fromkeys(large, 'y'))
    redis.ltrim('list', 10, 20)
    redis.delete('scores', 'gone')
    redis.xadd('stream', {'c': 'd'}, id='2-1')
    redis.set('later', 'x')
    assert redis.bgrewriteaof()
    until(lambda: redis.info('persistence')['aof_rewrite_in_progress'] == 0)
    assert {name.decode() for name in reader.scan_iter()} == {'string', 'large', 'list', 'scores', 'stream', 'gone'}
    assert reader.get('string') == b'old'
    assert reader.hgetall('large') == {name.encode(): value.encode() for name, value in large.items()}
    assert reader.lrange('list', 0, -1) == [b'%d' % number for number in range(3_000)]
    assert reader.zrange('scores', -2, -1, withscores=True) == [(b'02998', 2998.0), (b'02999', 2999.0)]
    assert reader.xlen('stream') == 1
    assert reader.get('gone') == b'still here'
    assert reader.dbsize() == 6
    assert reader.execute_command('DEBUG', 'SNAPSHOT', 'OFF')
    assert reader.get('string') == b'new'
    assert not reader.exists('gone', 'scores')


def test_no_expiry_comes_due_in_it(redis: Redis, reader: Redis) -> None:
    redis.set('short', 'x', px=50)
    on(reader)
    until(lambda: not redis.exists('short'))
    assert reader.get('short') == b'x'
    assert reader.pexpiretime('short') > 0


def test_it_can_only_be_read(redis: Redis, reader: Redis) -> None:
    on(reader)
    for command in (('SET', 'a', 'b'), ('MULTI',), ('EVAL', 'return 1', '0'), ('SUBSCRIBE', 'c'), ('WATCH', 'a')):
        with pytest.raises(ResponseError, match='a client with a snapshot can only read'):
            reader.execute_command(*command)
    with pytest.raises(ResponseError, match='has a snapshot already'):
        on(reader)
    assert reader.xread({'stream': '$'}, block=0) in ([], {}, None)
    assert redis.dbsize() == 0


def test_it_does_not_begin_behind_writes_nor_in_a_transaction(redis: Redis) -> None:
    for transaction in (True, False):
        with redis.pipeline(transaction=transaction) as pipe:
            pipe.set('a', 'b')
            pipe.execute_command('DEBUG', 'SNAPSHOT', 'ON')
            with pytest.raises(ResponseError, match='behind commands that write'):
                pipe.execute()


def number(redis: Redis, key: str) -> int:
    return int(redis.get(key) or 0)


def test_two_transactions_are_never_torn(redis: Redis, reader: Redis, store_dir: Path) -> None:
    """Two counters that every transaction raises together are equal in every snapshot."""
    stopped = threading.Event()

    def write() -> None:
        with Redis.from_url(f'leveldb://{store_dir}') as own:
            while not stopped.is_set():
                with own.pipeline() as pipe:
                    pipe.incr('one').hincrby('two', 'field', 1)
                    pipe.execute()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = 0
        for _ in range(20):
            until(lambda seen=seen: number(redis, 'one') > seen)
            on(reader)
            first = number(reader, 'one')
            until(lambda first=first: number(redis, 'one') > first)
            seen = int(reader.hget('two', 'field') or 0)
            assert seen == first
            reader.execute_command('DEBUG', 'SNAPSHOT', 'OFF')
    finally:
        stopped.set()
        writer.join()


def test_it_ends_with_its_connection(redis: Redis, store_dir: Path) -> None:
    def many() -> list[socket.socket]:
        sockets = []
        for _ in range(snapshots.MOST):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(store_dir / 'store.sock'))
            client.sendall(b'DEBUG SNAPSHOT ON\r\n')
            assert client.recv(100) == b'+OK\r\n'
            sockets.append(client)
        return sockets

    redis.ping()
    for _ in range(2):
        clients = many()
        with pytest.raises(ResponseError, match='there are 4 snapshots already'):
            on(redis)
        for client in clients:
            client.close()
        until(lambda: redis.info('clients')['connected_clients'] == 1)


def test_it_ends_when_it_is_not_used(direct: Direct) -> None:
    loop = asyncio.new_event_loop()
    ended = loop.create_future()
    client = ClientState(1, '', 0, lambda message: None, close=lambda: ended.set_result(True))
    ctx = Context(direct.keys, client, direct.ctx.services)
    kept = Snapshots(loop, direct.engine, direct.keys, lambda: None, idle=0.1)
    kept.begin(ctx)
    frozen = ctx.keys
    assert loop.run_until_complete(asyncio.wait_for(ended, 30))
    loop.close()
    assert ctx.keys is direct.keys
    with pytest.raises(ReplyError, match='the snapshot is gone'):
        frozen.find(0, b'key')


def test_what_cannot_be_read_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    path = tmp_path / 'leveldb'
    engine = Engine(path)
    keys = [b'key%06d' % number for number in range(3_000)]
    engine.write({key: random.randbytes(300) for key in keys})
    engine.compact(b'')
    engine.close()
    (table,) = (path for path in path.glob('*.ldb') if path.stat().st_size > 100_000)
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    engine = Engine(path)
    view = engine.view()
    for reverse in (False, True):
        with pytest.raises(ReadFailed):
            list(view.scan(b'key', b'kez', reverse))
    with pytest.raises(ReadFailed):
        [view.get(key) for key in keys]
    view.close()
    engine.close()


def test_many_scans_of_a_view_go_on_at_once(tmp_path: Path) -> None:
    engine = Engine(tmp_path / 'leveldb')
    keys = [b'key%03d' % number for number in range(100)]
    engine.write(dict.fromkeys(keys, b'old'))
    view = engine.view()
    engine.write({key: None if number % 2 else b'new' for number, key in enumerate(keys)})
    forth, back = view.scan(b'key', b'kez'), view.scan(b'key', b'key050', reverse=True)
    assert [(next(forth)[0], next(back)[0]) for _ in range(50)] == list(zip(keys[:50], keys[49::-1], strict=True))
    assert list(back) == []
    assert list(forth) == [(key, b'old') for key in keys[50:]]
    assert [view.get(b'key000'), view.get(b'key'), view.get(b'kez')] == [b'old', None, None]
    view.close()
    engine.close()

"""The pool for settings that name a class and a URL, under redis-py's own client."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis as redis_py
from redis.connection import DefaultParser

from rq_leveldb import ConnectionPool, StoreError
from tests.client.support import kill, pid_of


def test_redis_pys_client_starts_the_store_and_starts_it_again(store_dir: Path) -> None:
    pool = ConnectionPool.from_url(f'leveldb://{store_dir}?db=2', parser_class=DefaultParser, decode_responses=True)
    with redis_py.Redis(connection_pool=pool) as client:
        client.set('name', 'value')
        former = pid_of(client)
        kill(client)
        assert client.get('name') == 'value'
        assert pid_of(client) != former
        assert {each['db'] for each in client.client_list()} == {'2'}
        pool.disconnect()


def test_the_same_settings_lead_to_a_real_server() -> None:
    pool = ConnectionPool.from_url('redis://host:6380/1', parser_class=DefaultParser, socket_timeout=3)
    assert type(pool) is redis_py.ConnectionPool
    assert pool.connection_kwargs['host'] == 'host'
    assert pool.connection_kwargs['socket_timeout'] == 3


def test_mistakes_are_named(store_dir: Path) -> None:
    with pytest.raises(StoreError, match='names no store'):
        ConnectionPool.from_url('memcached://host')
    with pytest.raises(TypeError, match='colour'):
        ConnectionPool.from_url(f'leveldb://{store_dir}', colour='red')

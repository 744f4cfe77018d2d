"""The same for asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import AsyncRedis, Redis, StoreUnavailable, errors
from tests.client.support import kill, pid_of


def test_commands_pipelines_and_subscriptions(store_dir: Path, redis: Redis) -> None:
    async def use() -> None:
        async with AsyncRedis.from_url(f'leveldb://{store_dir}?db=1', decode_responses=True) as client:
            assert await client.set('name', 'value')
            assert await client.get('name') == 'value'
            async with client.pipeline() as pipeline:
                assert await pipeline.rpush('list', 'a', 'b').lrange('list', 0, -1).execute() == [2, ['a', 'b']]
            async with client.pubsub() as pubsub:
                await pubsub.subscribe('news')
                assert (await pubsub.get_message(timeout=5))['type'] == 'subscribe'
                await client.publish('news', 'hello')
                assert (await pubsub.get_message(timeout=5))['data'] == 'hello'

    asyncio.run(use())


def test_many_tasks_at_once(store_dir: Path, redis: Redis) -> None:
    async def use() -> None:
        async with AsyncRedis.from_url(f'leveldb://{store_dir}') as client:
            assert sorted(await asyncio.gather(*(client.incr('count') for _ in range(50)))) == list(range(1, 51))

    asyncio.run(use())


def test_a_killed_store_is_replaced_at_the_next_command(store_dir: Path, redis: Redis) -> None:
    async def use() -> None:
        async with AsyncRedis.from_url(f'leveldb://{store_dir}') as client:
            await client.set('name', 'value')
            await asyncio.to_thread(kill, redis)
            assert await client.get('name') == b'value'

    asyncio.run(use())


def test_a_command_that_was_sent_is_not_sent_again(store_dir: Path, redis: Redis) -> None:
    pid = pid_of(redis)

    async def use() -> None:
        async with AsyncRedis.from_url(f'leveldb://{store_dir}', socket_timeout=0.2) as client:
            await client.ping()
            os.kill(pid, signal.SIGSTOP)
            try:
                with pytest.raises(redis_py.TimeoutError):
                    await client.rpush('list', 'once')
            finally:
                os.kill(pid, signal.SIGCONT)

    asyncio.run(use())
    assert redis.lrange('list', 0, -1) == [b'once']


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    (tmp_path / 'photo.jpg').touch()

    async def use() -> None:
        async with AsyncRedis.from_url(f'leveldb://{tmp_path}') as client:
            with pytest.raises(StoreUnavailable) as caught:
                await client.ping()
            assert isinstance(caught.value.__cause__, errors.NotAStore)

    asyncio.run(use())


def test_the_place_comes_from_the_environment(store_dir: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    redis.set('name', 'value')
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')

    async def use() -> None:
        async with AsyncRedis() as client:
            assert await client.get('name') == b'value'

    asyncio.run(use())

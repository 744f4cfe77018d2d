"""Requests that come at the same time share a transaction, and nothing else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rq_leveldb.http.queueing.combiner import Combiner


def test_all_that_come_at_once_are_written(connection: Any) -> None:
    combiner = Combiner(connection, most=4)
    barrier = threading.Barrier(16)

    def push(item: str, pipe: Any) -> None:
        pipe.rpush('list', item)

    def one(number: int) -> None:
        barrier.wait()
        for turn in range(20):
            combiner.write(partial(push, f'{number}-{turn}'))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(16)))
    assert len(set(connection.lrange('list', 0, -1))) == 320


def test_an_error_is_only_its_own(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.set('text', 'x')
    sending, may_send = threading.Event(), threading.Event()
    open_pipeline = connection.pipeline

    def held_pipeline() -> Any:
        pipe = open_pipeline()
        execute = pipe.execute

        def held_execute(**options: Any) -> Any:
            sending.set()
            assert may_send.wait(20)
            return execute(**options)

        pipe.execute = held_execute
        return pipe

    monkeypatch.setattr(connection, 'pipeline', held_pipeline)
    combiner = Combiner(connection)
    came = threading.Barrier(4)

    def first(pipe: Any) -> None:
        pipe.set('first', 1)

    def wrong(pipe: Any) -> None:
        pipe.rpush('text', 1)
        came.wait(20)

    def broken(pipe: Any) -> None:
        pipe.set('half', 1)
        came.wait(20)
        raise ValueError('mine')

    def right(pipe: Any) -> None:
        pipe.set('good', 1)
        came.wait(20)

    with ThreadPoolExecutor(4) as pool:
        written = pool.submit(combiner.write, first)
        assert sending.wait(20)
        # The others gather while the first one is being written, and are written together.
        bad, worse, good = (pool.submit(combiner.write, each) for each in (wrong, broken, right))
        came.wait(20)
        with pytest.raises(ValueError, match='mine'):
            worse.result(20)
        may_send.set()
        written.result(20)
        good.result(20)
        with pytest.raises(ResponseError, match='WRONGTYPE'):
            bad.result(20)
    assert connection.get('good') == b'1'
    assert connection.get('half') is None

"""Requests that come at the same time share a transaction, and nothing else."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rq_leveldb.http.combiner import Combiner


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


def test_an_error_is_only_its_own(connection: Any) -> None:
    connection.set('text', 'x')
    combiner = Combiner(connection)
    together = threading.Barrier(2)
    first_writes = threading.Event()

    def hold(pipe: Any) -> None:
        # Others gather while the first one is being written.
        first_writes.set()
        together.wait(20)
        pipe.set('first', 1)

    def wrong(pipe: Any) -> None:
        pipe.rpush('text', 1)

    def broken(pipe: Any) -> None:
        pipe.set('half', 1)
        raise ValueError('mine')

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(combiner.write, hold)
        first_writes.wait(20)
        bad = pool.submit(combiner.write, wrong)
        worse = pool.submit(combiner.write, broken)
        good = pool.submit(combiner.write, lambda pipe: pipe.set('good', 1))
        together.wait(20)
        first.result(20)
        good.result(20)
        with pytest.raises(ResponseError, match='WRONGTYPE'):
            bad.result(20)
        with pytest.raises(ValueError, match='mine'):
            worse.result(20)
    assert connection.get('good') == b'1'
    assert connection.get('half') is None

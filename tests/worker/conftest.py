"""A store, a queue and workers for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from rq import Queue

from compat_tests.real_redis import NoRedisError, RealRedis
from tests.places import SERVER_VARIABLE
from tests.worker.support import Workers


@pytest.fixture
def queue(redis: Any) -> Queue:
    """Return the queue named default."""
    return Queue(connection=redis)


@pytest.fixture
def workers(redis: Any, url: str) -> Iterator[Workers]:
    """Return what starts workers on the test's place."""
    started = Workers(url, redis)
    yield started
    started.close()


@pytest.fixture
def server() -> Iterator[Any]:
    """Return a client of a real Redis server; skipped where there is none."""
    try:
        server = RealRedis()
    except NoRedisError as error:
        pytest.skip(str(error))
    with server, Redis(unix_socket_path=server.socket_path) as client:
        yield client


@pytest.fixture(params=['redis', 'server'])
def either(request: pytest.FixtureRequest) -> Any:
    """Return a client of a new store, then one of a real Redis server where there is one.

    Where RQ_LEVELDB_TEST_URL names a server, it is that one.
    """
    if request.param == 'server' and SERVER_VARIABLE in os.environ:
        pytest.skip(f'{SERVER_VARIABLE} names the server')
    return request.getfixturevalue(request.param)

"""The two servers that are compared: one real Redis and one store for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.comparison.contest import Server
from compat_tests.comparison.known import MODEL
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess


@pytest.fixture(scope='session')
def redis_server() -> Iterator[RealRedis]:
    """The model."""
    with RealRedis() as server:
        yield server


@pytest.fixture(scope='session')
def model(redis_server: RealRedis) -> RealRedis:
    """The model, only if its version is: random programs meet everything that changed since."""
    if redis_server.version[:2] < MODEL:
        pytest.skip(f'Redis {redis_server.version} is older than the model {MODEL}; the extra `test` brings one')
    return redis_server


@pytest.fixture(scope='session')
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What is compared with Redis: the store, or the redis-server that RQ_LEVELDB_TEST_SECOND names.

    A second redis-server is a check of the tests themselves.
    """
    second = os.environ.get('RQ_LEVELDB_TEST_SECOND')
    if second:
        with RealRedis(Path(second)) as server:
            yield server
    else:
        with StoreProcess(tmp_path_factory.mktemp('comparison') / 'store') as process:
            yield process

"""The two servers that are compared: one real Redis and one store for the whole run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from compat_tests.comparison.contest import Server
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

# `ci` is the default; `pytest --hypothesis-profile=deep` looks for an hour or so.
# Their databases are empty at each example's start, so none minds that a function-scoped fixture is not.
_COMMON = settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
settings.register_profile('ci', settings(_COMMON, max_examples=60))
settings.register_profile('deep', settings(_COMMON, max_examples=5000))


@pytest.fixture(scope='session')
def redis_server() -> Iterator[RealRedis]:
    """The model."""
    with RealRedis() as server:
        yield server


@pytest.fixture(scope='session')
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What is compared with it: the store, or the redis-server that RQ_LEVELDB_TEST_SECOND names (a check of the
    tests themselves)."""
    second = os.environ.get('RQ_LEVELDB_TEST_SECOND')
    if second:
        with RealRedis(Path(second)) as server:
            yield server
    else:
        with StoreProcess(tmp_path_factory.mktemp('comparison') / 'store') as process:
            yield process

"""A store for each test, and a real server beside it for tools that are too old."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rq import Queue
from rq.job import Job

from compat_tests.real_redis import RealRedis
from compat_tests.tools.place import Place
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Place]:
    """Return a new store."""
    place = Place(f'leveldb://{tmp_path}/store', tmp_path)
    yield place
    place.close()
    assert autostart.stop(DataDirectory(tmp_path / 'store'))


@pytest.fixture(params=['store', 'redis'])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Return a new store, then a real server."""
    if request.param == 'store':
        yield request.getfixturevalue('store')
        return
    with RealRedis() as server:
        place = Place(f'unix://{server.socket_path}', tmp_path)
        yield place
        place.close()


@pytest.fixture
def jobs(store: Place) -> list[Job]:
    """Return a finished, a failed and a queued job."""
    queue = Queue(connection=store.client)
    jobs = [queue.enqueue('compat_tests.tools.jobs.add', 20, 22), queue.enqueue('compat_tests.tools.jobs.fail')]
    store.run('rq', 'worker', '--burst')
    return [*jobs, queue.enqueue('compat_tests.tools.jobs.add', 1, 2, job_id='waiting')]

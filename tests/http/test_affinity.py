"""A process that serves is bound to one core; a store that it starts is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from rq_leveldb.http.serving.affinity import choose_core
from tests.http.support import FrontProcess, ask
from tests.until import until

needs_cores = pytest.mark.skipif(
    not hasattr(os, 'sched_getaffinity') or len(os.sched_getaffinity(0)) < 2, reason='one core, or no way to ask'
)


def serving(front: FrontProcess) -> list[psutil.Process]:
    return list(psutil.Process(front.process.pid).children())


@pytest.mark.parametrize(
    ('usable', 'taken', 'first', 'core'),
    [
        ({0, 1, 2}, [], 0, 0),
        ({0, 1, 2}, [], 4, 1),
        ({2, 5, 7}, [], 2, 7),
        ({0, 1}, [0], 0, 1),
        ({0, 1}, [0, 1, 1], 1, 0),
        ({0, 1}, [None, None, 1], 1, 0),
        ({3}, [], 0, None),
        (set(), [], 9, None),
    ],
)
def test_as_few_as_possible_share_a_core(usable: set[int], taken: list[Any], first: int, core: int | None) -> None:
    assert choose_core(usable, taken, first) == core


@needs_cores
def test_each_process_has_a_core_of_its_own(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front('--processes', '2')

    def both() -> list[psutil.Process] | None:
        found = serving(front)
        return found if len(found) == 2 and all(len(each.cpu_affinity()) == 1 for each in found) else None

    first, second = until(both)
    assert first.cpu_affinity() != second.cpu_affinity()
    first.kill()
    until(lambda: first not in serving(front))
    first, second = until(both)
    assert first.cpu_affinity() != second.cpu_affinity()


@needs_cores
def test_a_store_that_it_starts_is_not_bound(
    start_front: Callable[..., FrontProcess], connection: Any, url: str
) -> None:
    if not url.startswith('leveldb://'):
        pytest.skip('a Redis server is not started by its clients')
    front = start_front()
    assert ask(front, '/v1/queues')[0] == 200
    store = psutil.Process(connection.info('server')['process_id'])
    store.kill()
    store.wait(10)
    assert ask(front, '/v1/queues')[0] == 200
    another = psutil.Process(connection.info('server')['process_id'])
    assert another != store
    assert set(another.cpu_affinity()) == os.sched_getaffinity(0)
    assert [len(each.cpu_affinity()) for each in serving(front)] == [1]

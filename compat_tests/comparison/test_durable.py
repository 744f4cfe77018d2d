"""WAITAOF answers as a Redis that keeps an append only file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.script import parse
from compat_tests.real_redis import RealRedis


@pytest.fixture
def durable_model(model: RealRedis) -> Iterator[RealRedis]:
    with RealRedis(model.path, options=('--appendonly', 'yes')) as server:
        yield server


@pytest.mark.parametrize(
    'program',
    [
        'SET a 1; WAITAOF 1 0 0; WAITAOF 1 0 5000; WAITAOF 0 0 0; GET a; WAITAOF 1 0 x; WAITAOF 2 0 0',
        'WAITAOF 1 0 0; MULTI; WAITAOF 1 0 0; WAIT 1 0; EXEC',
        """SET a 1; WAITAOF 1 0 0; EVAL "return redis.call('waitaof',1,0,0)" 0""",
        """EVAL "return redis.call('wait',1,0)" 0""",
    ],
)
@pytest.mark.parametrize('protocol', [2, 3], ids=['resp2', 'resp3'])
def test_waiting_for_the_disk(program: str, protocol: int, durable_model: RealRedis, store: Server) -> None:
    with Contest(durable_model, store, protocol) as contest:
        for client, command in parse(program):
            contest.send(client, *command)

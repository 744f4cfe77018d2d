"""MONITOR shows the same lines, in the same order, and stops when Redis does."""

from __future__ import annotations

import re

import pytest

from compat_tests.comparison.contest import Contest, Server
from compat_tests.comparison.script import parse
from compat_tests.comparison.wire import Reply
from compat_tests.real_redis import RealRedis

_MOMENT = re.compile(rb'^[0-9]+\.[0-9]{6} ')
_ADDRESS = re.compile(rb'unix:[^]]*')

PROGRAMS = [
    'SET a "\\x00\\n\\r\\t\\"\\\\x\\xff"; GET a; GET; FOO',
    'MULTI; SET a 1; SELECT 3; GET a; EXEC; MULTI; FOO; EXEC; MULTI; DISCARD; WATCH a; UNWATCH',
    "EVAL \"redis.call('set','x',1) return redis.pcall('lpush','x',1)\" 0",
    "MULTI; EVAL \"redis.call('get','x')\" 0; EXEC",
    'LPUSH l a; GET l; BLPOP l 0; AUTH default x; HELLO 2 AUTH default y SETNAME n',
    'CLIENT ID; CLIENT LIST; CONFIG GET x',
    'SLOWLOG LEN; SELECT 2; PUBLISH c m; SUBSCRIBE c; UNSUBSCRIBE c; XADD x 1-1 a b; XREAD STREAMS x 0',
]


def _shown(lines: list[Reply]) -> list[object]:
    """What was shown, without what is each server's own: the moment and the socket's path."""
    return [(line.kind, _ADDRESS.sub(b'unix:', _MOMENT.sub(b'', line.value))) for line in lines]


@pytest.mark.parametrize('program', PROGRAMS)
def test_it_shows_what_others_do(program: str, redis_server: RealRedis, store: Server) -> None:
    with Contest(redis_server, store) as contest:
        contest.send('m', 'MONITOR')
        for _, command in parse(program):
            for wire in contest.client('a'):
                wire.call(*command)
        received = []
        for monitor, other in zip(contest.client('m'), contest.client('a'), strict=True):
            other.call('ECHO', 'the last')
            lines: list[Reply] = []
            while not lines or not lines[-1].value.endswith(b'"the last"'):
                lines.append(monitor.read())
            received.append(_shown(lines))
        assert received[0] == received[1]


def test_its_own_commands_come_behind_their_replies(redis_server: RealRedis, store: Server) -> None:
    with Contest(redis_server, store) as contest:
        contest.send('m', 'MONITOR')
        received = []
        for wire in contest.client('m'):
            wire.send('PING')
            received.append([wire.read(), *_shown([wire.read()])])
        assert received[0] == received[1]


def test_reset_ends_it(redis_server: RealRedis, store: Server) -> None:
    with Contest(redis_server, store) as contest:
        contest.send('m', 'MONITOR')
        contest.send('m', 'RESET')
        contest.send('a', 'SET', 'a', 1)
        contest.send('m', 'PING')

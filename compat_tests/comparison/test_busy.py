"""While a script runs for too long: who is answered how, and who may end it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compat_tests.comparison.contest import Server
from compat_tests.comparison.script import parse
from compat_tests.comparison.wire import CLOSED, Reply, Wire
from compat_tests.real_redis import RealRedis
from compat_tests.store_process import StoreProcess

OTHERS = """
    PING; SCRIPT KILL x; FOO; GET; GET a; EVAL "return 1" 0; SCRIPT EXISTS a; SCRIPT; SCRIPT FOO; SCRIPT LOAD "return 1"
    ; RESET; CLIENT LIST; CLIENT ID; CLIENT SETINFO LIB-NAME x; WATCH a; UNWATCH; MULTI; GET a; DISCARD; MULTI; EXEC
    ; EXEC; MULTI; SCRIPT KILL; EXEC; SHUTDOWN; SHUTDOWN SAVE; SHUTDOWN NOW; SHUTDOWN FOO; SUBSCRIBE z; CONFIG GET dir
    ; SELECT 1; PUBLISH c m; COMMAND; INFO; AUTH x
"""
KILLED = [
    ['EVAL "while true do end" 0'],
    ['EVAL "while true do pcall(function() while true do end end) end" 0'],
    ["EVAL \"\\n\\nwhile true do redis.call('get','x') end\" 0"],
    ["EVAL \"while true do redis.pcall('get','x') end\" 0"],
    ['EVAL_RO "local x = 1\\nwhile true do x = x + 1 end" 0'],
    ['MULTI', 'SET in 1', "EVAL \"while true do redis.call('get','x') end\" 0", 'SET out 1', 'EXEC', 'MGET in out'],
]


@pytest.fixture
def pair(redis_server: RealRedis, store: Server) -> Iterator[tuple[Server, Server]]:
    """Return both servers, with a threshold that is soon reached."""
    servers = redis_server, store
    for server in servers:
        Wire(server.socket_path).call('FLUSHALL')
        Wire(server.socket_path).call('CONFIG', 'SET', 'busy-reply-threshold', 20)
    yield servers
    for server in servers:
        Wire(server.socket_path).call('CONFIG', 'SET', 'busy-reply-threshold', 5000)


def words(program: str) -> tuple[bytes, ...]:
    return tuple(next(iter(parse(program)))[1])


def until_busy(server: Server) -> Wire:
    """Return a client of a server on which a script has run for too long."""
    while True:
        wire = Wire(server.socket_path)
        if wire.call('PING').value.startswith(b'BUSY'):
            return wire


def both(pair: tuple[Server, Server], play: Callable[[Server], list[Reply]]) -> None:
    expected, found = (play(server) for server in pair)
    assert found == expected


def test_others_are_answered_the_same(pair: tuple[Server, Server]) -> None:
    def play(server: Server) -> list[Reply]:
        caller, queueing, listening = (Wire(server.socket_path) for _ in range(3))
        replies = [queueing.call('MULTI'), queueing.call('SET', 'a', 1), listening.call('SUBSCRIBE', 'c')]
        caller.send('EVAL', 'while true do end', 0)
        other = until_busy(server)
        replies += [other.call(*command) for _, command in parse(OTHERS)]
        replies += [listening.call('PING'), listening.call('GET', 'x')]
        replies += [queueing.call('SET', 'b', 1), queueing.call('EXEC'), queueing.call('EXEC')]
        three = Wire(server.socket_path, protocol=3)
        replies.append(three.call('PING'))
        partly = Wire(server.socket_path)
        partly.send_raw(b'*1\r\n$4\r\nPI')
        faulty = Wire(server.socket_path)
        faulty.send_raw(b'PING\r\n*1\r\n:5\r\n')
        replies.append(Reply('bytes', faulty.read_to_end()))
        replies += [Wire(server.socket_path).call('QUIT'), other.call('SCRIPT', 'KILL'), caller.read()]
        # Those who came meanwhile are clients like any other.
        partly.send_raw(b'NG\r\n')
        replies += [partly.read(), three.call('HGETALL', 'nothing'), three.call('SET', 'k', 'v'), other.call('PING')]
        return [*replies, other.call('SCRIPT', 'KILL')]

    both(pair, play)


@pytest.mark.parametrize('programs', KILLED)
def test_a_script_that_wrote_nothing_can_be_killed(pair: tuple[Server, Server], programs: list[str]) -> None:
    def play(server: Server) -> list[Reply]:
        caller = Wire(server.socket_path)
        for program in programs:
            caller.send(*words(program))
        other = until_busy(server)
        return [other.call('SCRIPT', 'KILL'), *(caller.read() for _ in programs), other.call('SCRIPT', 'KILL')]

    both(pair, play)


def test_a_script_that_called_a_writing_command_cannot(tmp_path: Path) -> None:
    def play(server: Server) -> list[Reply]:
        caller = Wire(server.socket_path)
        caller.call('CONFIG', 'SET', 'lua-time-limit', 20)
        caller.send('EVAL', "redis.call('del', 'nothing') while true do end", 0)
        other = until_busy(server)
        replies = [other.call('SCRIPT', 'KILL'), other.call('SHUTDOWN'), other.call('SHUTDOWN', 'NOSAVE')]
        assert caller.read() is CLOSED or caller.read() is CLOSED
        return replies

    with RealRedis() as model, StoreProcess(tmp_path / 'store') as store:
        both((model, store), play)


@pytest.mark.parametrize('name', ['busy-reply-threshold', 'lua-time-limit'])
def test_the_threshold_is_set_as_in_redis(pair: tuple[Server, Server], name: str) -> None:
    def play(server: Server) -> list[Reply]:
        wire = Wire(server.socket_path)
        replies = []
        for value in ('100', '-1', 'abc', '1.5', '', '9223372036854775808', '0', '99999999999'):
            replies.append(wire.call('CONFIG', 'SET', name, value))
            replies.append(wire.call('CONFIG', 'GET', 'busy-reply-threshold'))
            replies.append(wire.call('CONFIG', 'GET', 'lua-*'))
        return [*replies, wire.call('CONFIG', 'SET', 'busy-reply-threshold', 20, 'lua-time-limit', 30)]

    both(pair, play)

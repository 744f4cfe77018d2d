"""What INFO, SLOWLOG and CLIENT tell of the commands that came before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from compat_tests.comparison.contest import Contest, Server, as_bytes
from compat_tests.comparison.script import parse
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis

FAILING = """
    SET s v; MULTI; LPUSH s a; EVAL "return redis.call('lpush','s',1)" 0; EXEC;
    EVAL "return redis.error_reply('MY x')" 0; EVAL "redis.pcall('lpush','s',1) return 1" 0;
    EVAL "return redis.call('lpush','s',1)" 0; FOO; EVAL "return redis.call('foo')" 0;
    EVAL "return {redis.error_reply('OTHER x')}" 0; EVAL "error('x')" 0
"""


@contextmanager
def _fresh(model: RealRedis, store: Server) -> Iterator[Contest]:
    with Contest(model, store) as contest:
        for wire in contest.client('a'):
            wire.call('CONFIG', 'RESETSTAT')
        yield contest


def _same(contest: Contest, *command: str) -> Reply:
    theirs, ours = (wire.call(*as_bytes(command)) for wire in contest.client('a'))
    assert theirs == ours
    return ours


def test_errors_in_transactions_and_scripts_are_counted(model: RealRedis, store: Server) -> None:
    with _fresh(model, store) as contest:
        for _, command in parse(FAILING):
            contest.send('a', *command)
        assert b'errorstat_MY:count=1' in _same(contest, 'INFO', 'errorstats').value


def test_keys_that_expire_are_counted(model: RealRedis, store: Server) -> None:
    with _fresh(model, store) as contest:
        for _, command in parse('SET a 1 EX 100; SET b 1 EX 100; PERSIST b; SET c 1; EXPIRE c 50; EXPIRE c 90; DEL c'):
            contest.send('a', *command)
        assert b'keys=2,expires=1' in _same(contest, 'INFO', 'keyspace').value
        contest.send('a', 'FLUSHALL')
        _same(contest, 'INFO', 'keyspace')


def test_what_ends_a_wait_with_an_error_is_counted(model: RealRedis, store: Server) -> None:
    with _fresh(model, store) as contest:
        pairs = list(zip(contest.client('p'), contest.client('a'), strict=True))
        counts = [_errors_of_waits(waiter, other) for waiter, other in pairs]
        assert counts[0] == counts[1]
        assert b'errorstat_NOGROUP:count=1' in counts[1][0]
        assert b'errorstat_UNBLOCKED:count=1' in counts[1][0]


def _errors_of_waits(waiter: Wire, other: Wire) -> tuple[bytes, list[bytes]]:
    number = waiter.call('CLIENT', 'ID').value
    waiter.send('BLPOP', 'nope', 0)
    while not other.call('CLIENT', 'UNBLOCK', number, 'ERROR').value:
        pass
    assert waiter.read().kind == '-'
    other.call('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM')
    waiter.send('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>')
    while b'blocked_clients:1' not in other.call('INFO', 'clients').value:
        pass
    other.call('DEL', 's')
    assert waiter.read().kind == '-'
    shown = other.call('INFO', 'commandstats').value.splitlines()
    failed = [line.rpartition(b',')[2] for line in shown if b'blpop' in line or b'xreadgroup' in line]
    return other.call('INFO', 'errorstats').value, failed


def test_a_blocking_command_is_in_the_slow_log_when_it_has_ended(model: RealRedis, store: Server) -> None:
    with _fresh(model, store) as contest:
        pairs = list(zip(contest.client('p'), contest.client('a'), strict=True))
        try:
            logged = [_logged(waiter, other) for waiter, other in pairs]
        finally:
            for _, other in pairs:
                other.call('CONFIG', 'SET', 'slowlog-log-slower-than', 10000)
        assert logged[0] == logged[1]


def _logged(waiter: Wire, other: Wire) -> list[object]:
    other.call('CONFIG', 'SET', 'slowlog-log-slower-than', 0)
    waiter.send_raw(b'PING\r\nBLPOP l 0\r\n')
    assert waiter.read() == Reply('+', b'PONG')
    other.call('SLOWLOG', 'RESET')
    before = other.call('SLOWLOG', 'GET', 10)
    other.call('RPUSH', 'l', 'x')
    waiter.read()
    after = other.call('SLOWLOG', 'GET', 10)
    return [
        [entry.value[3] for entry in log.value if entry.value[3].value[0].value != b'SLOWLOG']
        for log in (before, after)
    ]


def test_clients_are_found_by_the_address_that_they_came_to(model: RealRedis, store: Server) -> None:
    with _fresh(model, store) as contest:
        contest.client('b')
        killed = []
        for wire, server in zip(contest.client('a'), (model, store), strict=True):
            assert wire.call('CLIENT', 'KILL', 'LADDR', 'nowhere:0').value == 0
            killed.append(wire.call('CLIENT', 'KILL', 'LADDR', f'{server.socket_path}:0').value)
        assert killed[0] == killed[1] == 1


@pytest.mark.parametrize('count', [1, 128, 129, 512, 513])
@pytest.mark.parametrize('width', [1, 64, 65, 8000, 9000])
def test_encodings_have_the_same_names(count: int, width: int, model: RealRedis, store: Server) -> None:
    texts = [f'{number:05}'.ljust(width, 'x') for number in range(count if width < 100 else 1)]
    pairs = [word for pair in enumerate(texts) for word in pair]
    values = {
        'list': ['RPUSH', *texts],
        'numbers': ['SADD', *range(count)],
        'set': ['SADD', *texts],
        'zset': ['ZADD', *pairs],
        'hash': ['HSET', *pairs],
    }
    with Contest(model, store) as contest:
        for key, (verb, *members) in values.items():
            contest.send('a', verb, key, *members)
            _same(contest, 'OBJECT', 'ENCODING', key)


TRANSACTION = """
    MULTI; SET a 1; LPUSH a 1; EVAL "return redis.call('SET', 'b', 2)" 0; BLPOP nope 0; EXEC;
    MULTI; EXEC; MULTI; FOO; SET a 1; EXEC; MULTI; DISCARD; WATCH a; SET a 2; MULTI; GET a; EXEC;
    MULTI; GET a; EXEC; EXEC
"""


@pytest.mark.parametrize('at_once', [False, True])
def test_the_slow_log_has_the_commands_of_transactions_and_scripts(
    at_once: bool, model: RealRedis, store: Server
) -> None:
    with _fresh(model, store) as contest:
        logs = []
        for wire in contest.client('a'):
            wire.call('CONFIG', 'SET', 'slowlog-log-slower-than', 0)
            try:
                wire.call('SLOWLOG', 'RESET')
                commands = [command for _, command in parse(TRANSACTION)]
                if at_once:
                    wire.call_many(commands)
                else:
                    for command in commands:
                        wire.call(*command)
                logs.append([entry.value[3] for entry in wire.call('SLOWLOG', 'GET', 100).value])
            finally:
                wire.call('CONFIG', 'SET', 'slowlog-log-slower-than', 10000)
        assert logs[0] == logs[1]
        assert Reply('*', [Reply('$', b'LPUSH'), Reply('$', b'a'), Reply('$', b'1')]) in logs[1]

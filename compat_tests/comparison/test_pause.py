"""CLIENT PAUSE holds the same commands, for as long, and lets them go in the same order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compat_tests.comparison.contest import Server, as_bytes
from compat_tests.comparison.script import parse
from compat_tests.comparison.wire import Reply, Wire
from compat_tests.real_redis import RealRedis

MINUTE = 60_000
_PATIENCE = 0.15
"""Seconds after which a command counts as held; whatever is not held is answered in far less."""

NO_WRITES = '"#!lua flags=no-writes\\nreturn 1"'
COMMANDS = f"""
GET a
SET a 1
GETEX a
SORT a
SORT_RO a
PUBLISH a b
SPUBLISH a b
SUBSCRIBE x
WATCH a
FLUSHALL
SCRIPT FLUSH
SCRIPT LOAD "return 1"
EVAL "return 1" 0
EVAL_RO "return 1" 0
EVAL {NO_WRITES} 0
EVAL "#!lua\\nreturn 1" 0
EVAL "#!lua flags=foo\\nreturn 1" 0
EVAL "syntax (" 0
EVAL "return 1" x
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
EVALSHA_RO ffffffffffffffffffffffffffffffffffffffff 0
BLPOP l 0.01
XREAD BLOCK 1 STREAMS x 0
XREADGROUP GROUP g c STREAMS x >
XGROUP CREATE x g 0
FOO
SET a
CLIENT FOO
CLIENT KILL nobody
CONFIG SET timeout 0
WAIT 0 0
SAVE
MULTI
MULTI; SET a 1
MULTI; GET a; EXEC
MULTI; EVAL {NO_WRITES} 0; EXEC
SUBSCRIBE x; GET a
"""

Play = Callable[[Wire, Callable[[], Wire]], object]


def _same(play: Play, model: RealRedis, store: Server) -> object:
    """Have the same done on both servers from an empty database; return what came of it, which has to be the same."""
    outcomes = []
    for server in (model, store):
        wires: list[Wire] = []

        def connect(path: str = server.socket_path, wires: list[Wire] = wires) -> Wire:
            wires.append(Wire(path))
            return wires[-1]

        first = connect()
        first.call('FLUSHALL')
        try:
            outcomes.append(play(first, connect))
        finally:
            first.call('CLIENT', 'UNPAUSE')
            for wire in wires:
                wire.close()
    assert outcomes[0] == outcomes[1]
    return outcomes[1]


def _answer(wire: Wire) -> Reply | str:
    return wire.read() if wire.pending(_PATIENCE) else 'held'


@pytest.mark.parametrize('program', [line for line in COMMANDS.splitlines() if line])
def test_a_pause_of_writes_holds(program: str, model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        other = connect()
        first.call('CLIENT', 'PAUSE', MINUTE, 'WRITE')
        seen: list[object] = []
        for _, command in parse(program):
            other.send(*command)
            seen.append(_answer(other))
        first.call('CLIENT', 'UNPAUSE')
        return seen, other.read() if seen[-1] == 'held' else None, first.call('GET', 'a')

    _same(play, model, store)


def test_a_pause_of_writes_does_not_hold_the_help_of_a_command_that_writes(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        other = connect()
        first.call('CLIENT', 'PAUSE', MINUTE, 'WRITE')
        return other.call('XGROUP', 'HELP').kind  # its words are each server's own

    assert _same(play, model, store) == '*'


def test_a_pause_of_everything_holds_all_but_errors_until_its_end(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        one, other = connect(), connect()
        first.call('CLIENT', 'PAUSE', 600)
        one.send_raw(b'FOO\r\nGET\r\nPING\r\n')
        other.send('CLIENT', 'UNPAUSE')
        errors = [one.read(), one.read()]
        held = _answer(one), _answer(other)
        return errors, held, one.read(), other.read()

    _same(play, model, store)


def test_an_exec_with_writes_waits_and_one_without_does_not(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        writer, reader, failed = connect(), connect(), connect()
        writer.call_many([('MULTI',), ('SET', 'a', 1)])
        reader.call_many([('MULTI',), ('GET', 'a')])
        failed.call_many([('MULTI',), ('SET', 'a', 2), ('FOO',)])
        first.call('CLIENT', 'PAUSE', MINUTE, 'WRITE')
        for wire in (writer, reader, failed):
            wire.send('EXEC')
        seen = [_answer(writer), _answer(reader), _answer(failed)]
        first.call('CLIENT', 'UNPAUSE')
        return seen, writer.read(), failed.read(), first.call('GET', 'a')

    _same(play, model, store)


def test_what_was_held_is_done_in_the_order_in_which_it_came(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        wires = [connect() for _ in range(5)]
        first.call('CLIENT', 'PAUSE', MINUTE, 'WRITE')
        for number, wire in enumerate(wires):
            wire.send_raw(b'RPUSH l %d\r\nPING\r\nRPUSH m %d\r\n' % (number, number))
            while first.call('INFO', 'clients').value.find(b'blocked_clients:%d\r' % (number + 1)) < 0:
                pass
        first.call('CLIENT', 'UNPAUSE')
        replies = [[wire.read() for _ in range(3)] for wire in wires]
        return replies, first.call('LRANGE', 'l', 0, -1), first.call('LRANGE', 'm', 0, -1)

    _same(play, model, store)


def test_keys_that_expire_meanwhile_are_not_seen_and_not_removed(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        first.call('CONFIG', 'RESETSTAT')
        before = _expired(first)
        first.call_many([('SET', 'a', 1, 'PX', 20), ('SET', 'b', 1, 'PX', 20), ('CLIENT', 'PAUSE', MINUTE, 'WRITE')])
        while first.call('GET', 'a').value is not None:
            pass
        connect().call('EVAL_RO', "return redis.call('GET', KEYS[1])", 1, 'b')
        seen = [first.call(*words.split()) for words in ('EXISTS a b', 'TTL a', 'KEYS *', 'SCAN 0', 'DBSIZE')]
        paused = _expired(first) - before
        first.call('CLIENT', 'UNPAUSE')
        while first.call('DBSIZE').value:
            pass
        return seen, paused, _expired(first) - before

    _same(play, model, store)


def _expired(wire: Wire) -> int:
    lines = wire.call('INFO', 'stats').value.split(b'\r\n')
    return next(int(line.partition(b':')[2]) for line in lines if line.startswith(b'expired_keys:'))


def test_who_waits_for_a_key_is_served_at_the_end(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        waiter, late = connect(), connect()
        waiter.send('BLPOP', 'l', 0)
        late.send('BLPOP', 'm', 0.02)
        while first.call('INFO', 'clients').value.find(b'blocked_clients:2\r') < 0:
            pass
        first.call_many([('MULTI',), ('CLIENT', 'PAUSE', MINUTE, 'WRITE'), ('RPUSH', 'l', 'x'), ('EXEC',)])
        seen = [_answer(waiter), _answer(late), first.call('LLEN', 'l')]
        first.call('CLIENT', 'UNPAUSE')
        return seen, waiter.read(), first.call('LLEN', 'l')

    _same(play, model, store)


@pytest.mark.parametrize(
    'pauses', [['500 WRITE', '1 WRITE'], ['1 WRITE', '500 WRITE'], ['500 ALL', '1 WRITE'], ['500 WRITE', '1 ALL']]
)
def test_a_further_pause_makes_it_longer_or_stricter(pauses: list[str], model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        reader, writer = connect(), connect()
        first.call('MULTI')
        for pause in pauses:
            first.call(*as_bytes(['CLIENT', 'PAUSE', *pause.split()]))
        first.call('EXEC')
        reader.send('GET', 'a')
        writer.send('SET', 'a', 1)
        return _answer(reader), _answer(writer)

    _same(play, model, store)


def test_who_is_held_counts_as_blocked_cannot_be_unblocked_and_can_be_killed(model: RealRedis, store: Server) -> None:
    def play(first: Wire, connect: Callable[[], Wire]) -> object:
        held = connect()
        number = held.call('CLIENT', 'ID').value
        first.call('CLIENT', 'PAUSE', MINUTE, 'WRITE')
        held.send('SET', 'a', 1)
        while first.call('INFO', 'clients').value.find(b'blocked_clients:1\r') < 0:
            pass
        line = first.call('CLIENT', 'LIST', 'ID', number).value
        facts = [word for word in line.split() if word.startswith((b'flags=', b'cmd='))]
        kills = [first.call('CLIENT', *words, number) for words in (('UNBLOCK',), ('KILL', 'ID'))]
        first.call('CLIENT', 'UNPAUSE')
        return facts, kills, held.read(), first.call('GET', 'a')

    _same(play, model, store)

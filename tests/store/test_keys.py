"""Keys, whatever they hold: expiry, names, patterns, scans, sorting."""

from __future__ import annotations

import fnmatch
import random
import time

import pytest

from rq_leveldb.store import cursors
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import Pieces
from rq_leveldb.store.resp import encode_pieces
from tests.store.direct import Direct


def test_an_expired_key_is_gone(direct: Direct) -> None:
    direct.run('HSET', 'h', 'f', 'v')
    direct.run('PEXPIRE', 'h', 1)
    time.sleep(0.005)
    assert direct.call('EXISTS', 'h') == 0
    assert direct.call('KEYS', '*') == []
    assert direct.call('SCAN', 0) == [b'0', []]
    assert direct.call('HSET', 'h', 'f', 'v') == 1
    assert direct.call('TTL', 'h') == -1


@pytest.mark.parametrize('when', [('EXPIRE', 0), ('EXPIRE', -5), ('EXPIREAT', 0), ('PEXPIREAT', 1)])
def test_a_time_that_has_passed_removes_the_key(direct: Direct, when: tuple[str, int]) -> None:
    direct.run('SET', 'a', '1')
    assert direct.call(when[0], 'a', when[1]) == 1
    assert direct.call('EXISTS', 'a') == 0


def test_conditions_of_expire(direct: Direct) -> None:
    direct.run('SET', 'a', '1')
    assert direct.call('EXPIRE', 'a', 100, 'XX') == 0
    assert direct.call('EXPIRE', 'a', 100, 'GT') == 0
    assert direct.call('EXPIRE', 'a', 100, 'LT') == 1
    assert direct.call('EXPIRE', 'a', 200, 'NX') == 0
    assert direct.call('EXPIRE', 'a', 200, 'GT') == 1
    assert direct.call('TTL', 'a') == 200
    assert direct.call('PERSIST', 'a') == 1
    assert direct.call('PERSIST', 'a') == 0
    assert direct.error('EXPIRE', 'a', 2**62) == "ERR invalid expire time in 'expire' command"
    assert direct.error('EXPIRE', 'a', 1, 'NX', 'GT').startswith('ERR NX and XX, GT or LT options')


def test_a_name_moves_with_value_and_expiry(direct: Direct) -> None:
    direct.run('SADD', 's', *range(500))
    direct.run('EXPIRE', 's', 100)
    direct.run('SET', 'other', 'x')
    assert direct.call('RENAME', 's', 'other') == b'OK'
    direct.reopen()
    assert direct.call('SCARD', 'other') == 500
    assert direct.call('TTL', 'other') == 100
    assert direct.call('RENAMENX', 'other', 'other') == 0
    assert direct.error('RENAME', 's', 'x') == 'ERR no such key'


def test_copies_are_apart(direct: Direct) -> None:
    direct.run('SADD', 's', *range(500))
    assert direct.call('COPY', 's', 't') == 1
    assert direct.call('COPY', 's', 't') == 0
    direct.run('DEL', 's')
    direct.reopen()
    assert direct.call('SCARD', 't') == 500
    assert direct.call('MOVE', 't', 3) == 1
    assert direct.call('EXISTS', 't') == 0


def test_scan_sees_every_key_that_stays(direct: Direct) -> None:
    for number in range(300):
        direct.run('SET', f'key:{number}', '')
    seen: list[bytes] = []
    cursor = b'0'
    steps = 0
    while True:
        cursor, part = direct.call('SCAN', cursor, 'COUNT', 7)
        seen.extend(part)
        steps += 1
        direct.run('SET', f'new:{steps}', '')
        direct.run('DEL', 'key:299')
        if cursor == b'0':
            break
    assert {b'key:%d' % number for number in range(299)} <= set(seen)
    assert len(seen) == len(set(seen))


def test_a_cursor_that_nobody_knows_starts_over(direct: Direct) -> None:
    for number in range(20):
        direct.run('SET', number, '')
    cursor, _ = direct.call('SCAN', 0)
    direct.reopen()
    _, part = direct.call('SCAN', cursor, 'COUNT', 100)
    assert len(part) == 20


def test_scan_with_type_and_pattern(direct: Direct) -> None:
    direct.run('SADD', 'a:set', 'x')
    direct.run('SET', 'a:string', 'x')
    direct.run('SADD', 'b:set', 'x')
    assert direct.call('SCAN', 0, 'MATCH', 'a:*', 'TYPE', 'set') == [b'0', [b'a:set']]


def test_the_table_of_cursors_has_a_bound() -> None:
    table = cursors.Cursors()
    first = table.issue(b'first')
    for number in range(cursors.MAX_CURSORS):
        table.issue(b'%d' % number)
    assert table.resolve(first) is None
    assert len(table) == cursors.MAX_CURSORS
    for number in range(100):
        table.issue(b'%d' % number * 100_000)
    assert len(table) < 100


@pytest.mark.parametrize('pattern', ['*', 'k*', '*5*', '*nothing*'])
def test_keys_of_a_large_database_are_what_they_were_when_asked(direct: Direct, pattern: str) -> None:
    names = [f'k{number}' for number in range(12_345)]
    direct.run('MSET', *[part for name in names for part in (name, '')])
    reply = direct.run('KEYS', pattern)
    assert isinstance(reply, Pieces)
    direct.run('DEL', *names)
    direct.run('SET', 'k5', '')
    pieces = b''.join(encode_pieces(reply, resp3=False))
    expected = [f'${len(name)}\r\n{name}\r\n' for name in names if fnmatch.fnmatch(name, pattern)]
    assert sorted(pieces.split(b'$')) == sorted(f'*{len(expected)}\r\n{"".join(expected)}'.encode().split(b'$'))


def test_a_random_key_is_one_of_the_keys(direct: Direct) -> None:
    assert direct.call('RANDOMKEY') is None
    names = {b'%x' % random.getrandbits(64) for _ in range(300)}
    for name in names:
        direct.run('SET', name, '')
    drawn = {direct.call('RANDOMKEY') for _ in range(200)}
    assert drawn <= names
    assert len(drawn) > 30


@pytest.mark.parametrize(
    ('pattern', 'matching', 'others'),
    [
        (b'*', [b'', b'a'], []),
        (b'h?llo', [b'hello', b'h\nllo'], [b'hllo', b'heello']),
        (b'h*llo', [b'hllo', b'heeello'], [b'hell']),
        (b'h[ae]llo', [b'hallo'], [b'hillo']),
        (b'h[^e]llo', [b'hallo'], [b'hello']),
        (b'h[a-c]llo', [b'hbllo'], [b'hdllo']),
        (b'h[c-a]llo', [b'hbllo'], [b'hdllo']),
        (b'h[a-', [b'h-', b'ha'], [b'hb']),
        (b'[]a', [], [b'a', b']a']),
        (b'[^]a', [b'xa'], [b'a']),
        (b'a\\*', [b'a*'], [b'ab']),
        (b'a\\', [b'a\\'], [b'a']),
        (b'*a*b*', [b'ab', b'xaxbx'], [b'ba']),
        (b'a*a', [b'aa', b'aba'], [b'a']),
        (b'**', [b'a'], [b'']),
        (b'\xff*', [b'\xff', b'\xffx'], [b'x']),
    ],
)
def test_patterns(pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    glob = Glob(pattern)
    assert [text for text in matching if not glob.matches(text)] == []
    assert [text for text in others if glob.matches(text)] == []


def test_a_hostile_pattern_does_not_hang() -> None:
    text = b'a' * 20_000
    started = time.perf_counter()
    assert not Glob(b'*a' * 900 + b'*b').matches(text)
    assert not Glob(b'*[ab]?a' * 500 + b'*b').matches(text)
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize('pattern', [b'*?' * 1000, b'a' + b'*a' * 1000 + b'*', b'?**' * 1000 + b'?'])
def test_redis_gives_up_at_the_thousand_and_first_star(pattern: bytes) -> None:
    assert Glob(pattern).matches(b'a' * 5000)
    assert not Glob(b'*a' + pattern).matches(b'a' * 5000)


def test_sort(direct: Direct) -> None:
    direct.run('RPUSH', 'l', 3, 1, 10, 2)
    direct.run('MSET', 'w_1', 4, 'w_2', 3, 'w_3', 2, 'w_10', 1)
    direct.run('HSET', 'o_1', 'name', 'one')
    assert direct.call('SORT', 'l', 'DESC', 'LIMIT', 0, 2) == [b'10', b'3']
    assert direct.call('SORT', 'l', 'ALPHA') == [b'1', b'10', b'2', b'3']
    assert direct.call('SORT', 'l', 'BY', 'w_*', 'LIMIT', 3, 1, 'GET', '#', 'GET', 'o_*->name') == [b'1', b'one']
    assert direct.call('SORT', 'l', 'BY', 'w_*', 'STORE', 'l') == 4
    assert direct.call('LRANGE', 'l', 0, -1) == [b'10', b'3', b'2', b'1']
    direct.run('RPUSH', 'l', 'word')
    assert direct.error('SORT', 'l') == "ERR One or more scores can't be converted into double"


def test_what_a_value_is_stored_as(direct: Direct) -> None:
    direct.run('MSET', 'int', 5, 'short', 'x', 'long', 'x' * 45)
    direct.run('SADD', 'numbers', 1, 2)
    assert [direct.call('OBJECT', 'ENCODING', key) for key in ('int', 'short', 'long', 'numbers', 'none')] == [
        b'int',
        b'embstr',
        b'raw',
        b'intset',
        None,
    ]
    assert direct.error('OBJECT', 'NOPE', 'int') == "ERR unknown subcommand 'NOPE'. Try OBJECT HELP."


def test_each_key_of_a_database_may_be_the_random_one(direct: Direct) -> None:
    names = [b'', b'a', b'ab', b'b' * 20, b'c']
    for name in names:
        direct.call('SET', name, 1)
    assert {direct.call('RANDOMKEY') for _ in range(500)} == set(names)


def test_cursors_are_numbers_that_a_double_holds(direct: Direct) -> None:
    for number in range(100):
        direct.call('SADD', 'set', f'member {number} ' + 'x' * 40)
        direct.call('HSET', 'hash', f'field {number} ' + 'x' * 40, 1)
        direct.call('ZADD', 'sorted set', number, f'member {number} ' + 'x' * 40)
        direct.call('SET', f'key {number}', 1)
    for command in (['SCAN'], ['SSCAN', 'set'], ['HSCAN', 'hash'], ['ZSCAN', 'sorted set']):
        seen: set[bytes] = set()
        cursor = b'0'
        while cursor != b'0' or not seen:
            cursor, found = direct.call(*command, cursor, 'COUNT', 3)
            assert int(float(cursor)) == int(cursor) < 1 << 53
            seen.update(found[:: 2 if command[0] in ('HSCAN', 'ZSCAN') else 1])
        assert len(seen) >= 100, command


def test_memory_usage_grows_with_what_a_key_holds(direct: Direct) -> None:
    direct.call('RPUSH', 'list', *(b'x' * 1000 for _ in range(5000)))
    direct.call('SADD', 'set', *(b'%04d' % number + b'x' * 1000 for number in range(500)))
    assert 5_000_000 < direct.call('MEMORY', 'USAGE', 'list') < 6_000_000
    assert 500_000 < direct.call('MEMORY', 'USAGE', 'set') < 600_000

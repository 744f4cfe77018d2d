"""Strings."""

from __future__ import annotations

import pytest

from rq_leveldb.store import long_double
from tests.store.direct import Direct


def test_set_with_conditions(direct: Direct) -> None:
    assert direct.call('SET', 'a', '1', 'NX') == b'OK'
    assert direct.call('SET', 'a', '2', 'NX') is None
    assert direct.call('SET', 'a', '3', 'XX', 'GET') == b'1'
    assert direct.call('SET', 'b', '1', 'XX') is None
    assert direct.call('SET', 'b', '1', 'NX', 'GET') is None
    assert direct.call('MGET', 'a', 'b', 'c') == [b'3', b'1', None]


def test_set_forgets_the_expiry_unless_told_to_keep_it(direct: Direct) -> None:
    direct.run('SET', 'a', '1', 'EX', 100)
    direct.run('SET', 'a', '2', 'KEEPTTL')
    assert direct.call('TTL', 'a') == 100
    direct.run('SET', 'a', '3')
    assert direct.call('TTL', 'a') == -1


@pytest.mark.parametrize(
    ('arguments', 'error'),
    [
        (('EX', '0'), "ERR invalid expire time in 'set' command"),
        (('EX', 'x'), 'ERR value is not an integer or out of range'),
        (('PX', '9223372036854775807'), "ERR invalid expire time in 'set' command"),
        (('NX', 'XX'), 'ERR syntax error'),
        (('KEEPTTL', 'EX', '3'), 'ERR syntax error'),
        (('EX',), 'ERR syntax error'),
    ],
)
def test_a_wrong_set_changes_nothing(direct: Direct, arguments: tuple[str, ...], error: str) -> None:
    direct.run('SET', 'a', 'old')
    assert direct.error('SET', 'a', 'new', *arguments) == error
    assert direct.call('GET', 'a') == b'old'


def test_set_with_a_time_that_has_passed_leaves_no_key(direct: Direct) -> None:
    direct.run('SET', 'a', '1')
    assert direct.call('SET', 'a', '2', 'PXAT', 1) == b'OK'
    assert direct.call('EXISTS', 'a') == 0


def test_counters(direct: Direct) -> None:
    assert direct.call('INCR', 'n') == 1
    assert direct.call('DECRBY', 'n', 11) == -10
    direct.run('SET', 'n', 2**63 - 1)
    assert direct.error('INCR', 'n') == 'ERR increment or decrement would overflow'
    direct.run('SET', 'n', 'text')
    assert direct.error('INCR', 'n') == 'ERR value is not an integer or out of range'


def test_a_counter_keeps_its_expiry(direct: Direct) -> None:
    direct.run('SET', 'n', 1, 'EX', 100)
    direct.run('INCR', 'n')
    assert direct.call('TTL', 'n') == 100


@pytest.mark.parametrize(
    ('start', 'increment', 'total'),
    [
        ('10.5', '0.1', b'10.6'),
        ('5.0e3', '200', b'5200'),
        ('0', '-0', b'0'),
        # Digits that a sum of doubles or of decimal numbers does not have: Redis computes with a mantissa of 64 bits.
        ('8831.04155785303000137', '2.088', b'8833.12955785303000145'),
        ('67043427261414.34', '0.5', b'67043427261414.84000015258789062'),
    ],
)
def test_sums_of_floats_have_the_digits_of_redis(direct: Direct, start: str, increment: str, total: bytes) -> None:
    direct.run('SET', 'f', start)
    assert direct.call('INCRBYFLOAT', 'f', increment) == total


def test_infinity_and_what_is_no_number(direct: Direct) -> None:
    assert direct.error('INCRBYFLOAT', 'f', 'inf') == 'ERR increment would produce NaN or Infinity'
    assert direct.error('INCRBYFLOAT', 'f', 'nan') == 'ERR value is not a valid float'
    assert direct.error('INCRBYFLOAT', 'f', '1e5000') == 'ERR value is not a valid float'


def test_the_largest_number_is_written_out() -> None:
    number = long_double.parse(b'1.18e4932')
    assert number is not None
    text = long_double.write(number)
    assert len(text) == 4933
    assert text.startswith(b'11800000000000000000')


def test_ranges(direct: Direct) -> None:
    assert direct.call('SETRANGE', 's', 3, 'abc') == 6
    assert direct.call('GET', 's') == b'\x00\x00\x00abc'
    assert direct.call('GETRANGE', 's', -3, -2) == b'ab'
    assert direct.call('GETRANGE', 's', 4, 100) == b'bc'
    assert direct.call('GETRANGE', 's', 2, 1) == b''
    assert direct.error('SETRANGE', 's', 512 << 20, 'x').startswith('ERR string exceeds maximum allowed size')
    assert direct.call('APPEND', 's', 'd') == 7


def test_getdel_and_getex(direct: Direct) -> None:
    direct.run('SET', 'a', '1')
    assert direct.call('GETEX', 'a', 'EX', 10) == b'1'
    assert direct.call('TTL', 'a') == 10
    assert direct.call('GETEX', 'a', 'PERSIST') == b'1'
    assert direct.call('TTL', 'a') == -1
    assert direct.call('GETDEL', 'a') == b'1'
    assert direct.call('GETDEL', 'a') is None


def test_msetnx_is_all_or_nothing(direct: Direct) -> None:
    direct.run('SET', 'b', '1')
    assert direct.call('MSETNX', 'a', '1', 'b', '2') == 0
    assert direct.call('EXISTS', 'a') == 0


def test_longest_common_subsequence(direct: Direct) -> None:
    direct.run('MSET', 'a', 'ohmytext', 'b', 'mynewtext')
    assert direct.call('LCS', 'a', 'b') == b'mytext'
    assert direct.call('LCS', 'a', 'b', 'IDX', 'MINMATCHLEN', 4, 'WITHMATCHLEN', resp3=True) == {
        b'matches': [[[4, 7], [5, 8], 4]],
        b'len': 6,
    }

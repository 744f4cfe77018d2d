"""Hashes, small and large."""

from __future__ import annotations

import pytest

from rq_leveldb.store.types.collection import MAX_SMALL_MEMBERS
from tests.store.direct import Direct


def fill(direct: Direct, count: int) -> dict[bytes, bytes]:
    fields = {b'field%d' % number: b'value%d' % number for number in range(count)}
    direct.run('HSET', 'h', *[part for item in fields.items() for part in item])
    return fields


SIZES = [3, MAX_SMALL_MEMBERS, MAX_SMALL_MEMBERS + 1, 2500]


@pytest.mark.parametrize('count', SIZES)
@pytest.mark.parametrize('resp3', [False, True])
def test_what_was_set_is_there_after_a_crash(direct: Direct, count: int, resp3: bool) -> None:
    fields = fill(direct, count)
    direct.reopen()
    reply = direct.call('HGETALL', 'h', resp3=resp3)
    if not resp3:
        reply = dict(zip(reply[::2], reply[1::2], strict=True))
    assert reply == fields
    assert sorted(direct.call('HKEYS', 'h')) == sorted(fields)
    assert sorted(direct.call('HVALS', 'h')) == sorted(fields.values())
    assert direct.call('HLEN', 'h') == count


@pytest.mark.parametrize('count', SIZES)
def test_fields_go_one_by_one_and_the_key_with_the_last(direct: Direct, count: int) -> None:
    fields = fill(direct, count)
    assert direct.call('HSET', 'h', b'field0', b'x') == 0
    assert direct.call('HDEL', 'h', *fields, b'nope') == count
    assert direct.call('EXISTS', 'h') == 0
    direct.reopen()
    assert direct.call('HGETALL', 'h') == []


@pytest.mark.parametrize('count', SIZES)
def test_hscan_sees_every_field_that_stays_while_others_come_and_go(direct: Direct, count: int) -> None:
    fields = fill(direct, count)
    gone = set(list(fields)[1::2])
    seen: set[bytes] = set()
    cursor = b'0'
    for step in range(10 * count):
        cursor, part = direct.call('HSCAN', 'h', cursor, 'COUNT', 20)
        seen.update(part[::2])
        for field in list(gone)[:10]:
            direct.run('HDEL', 'h', field)
            gone.discard(field)
        direct.run('HSET', 'h', f'new{step}', '')
        if cursor == b'0':
            break
    assert cursor == b'0'
    assert set(list(fields)[::2]) <= seen


def test_hscan_without_values_and_with_a_pattern(direct: Direct) -> None:
    fill(direct, 12)
    cursor, fields = direct.call('HSCAN', 'h', 0, 'MATCH', 'field1*', 'NOVALUES')
    assert cursor == b'0'
    assert sorted(fields) == [b'field1', b'field10', b'field11']
    assert direct.error('HSCAN', 'h', 'x') == 'ERR invalid cursor'


@pytest.mark.parametrize('count', SIZES)
def test_random_fields(direct: Direct, count: int) -> None:
    fields = fill(direct, count)
    assert direct.call('HRANDFIELD', 'h') in fields
    drawn = direct.call('HRANDFIELD', 'h', 3, 'WITHVALUES', resp3=True)
    assert len({field for field, _ in drawn}) == 3
    assert all(fields[field] == value for field, value in drawn)
    assert sorted(direct.call('HRANDFIELD', 'h', count + 5)) == sorted(fields)
    assert len(direct.call('HRANDFIELD', 'h', -2000)) == 2000


def test_sums(direct: Direct) -> None:
    assert direct.call('HINCRBY', 'h', 'n', 5) == 5
    assert direct.call('HINCRBYFLOAT', 'h', 'n', '0.25') == b'5.25'
    assert direct.error('HINCRBY', 'h', 'n', 1) == 'ERR hash value is not an integer'
    direct.run('HSET', 'h', 'n', 'text')
    assert direct.error('HINCRBYFLOAT', 'h', 'n', 1) == 'ERR hash value is not a float'


def test_a_large_reply_shows_the_hash_as_it_was(direct: Direct) -> None:
    fields = fill(direct, 3000)
    reply = direct.run('HKEYS', 'h')
    direct.run('HDEL', 'h', *fields)
    direct.run('HSET', 'h', 'new', '')
    assert sorted(reply.elements) == sorted(fields)


def test_wrong_calls_change_nothing(direct: Direct) -> None:
    direct.run('SADD', 's', 'a')
    assert direct.error('HSET', 's', 'f', 'v').startswith('WRONGTYPE ')
    assert direct.error('HSET', 'h', 'f') == "ERR wrong number of arguments for 'hset' command"
    assert direct.error('HINCRBY', 'h', 'f', 'x') == 'ERR value is not an integer or out of range'
    assert direct.call('EXISTS', 'h') == 0

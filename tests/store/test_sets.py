"""Sets, small and large."""

from __future__ import annotations

import pytest

from rq_leveldb.store.types.collection import MAX_SMALL_MEMBERS
from tests.store.direct import Direct

SIZES = [3, MAX_SMALL_MEMBERS, MAX_SMALL_MEMBERS + 1, 2500]


def fill(direct: Direct, key: str, numbers: range) -> set[bytes]:
    members = {b'member%d' % number for number in numbers}
    direct.run('SADD', key, *members)
    return members


@pytest.mark.parametrize('count', SIZES)
@pytest.mark.parametrize('resp3', [False, True])
def test_what_was_added_is_there_after_a_crash(direct: Direct, count: int, resp3: bool) -> None:
    members = fill(direct, 's', range(count))
    direct.reopen()
    reply = direct.call('SMEMBERS', 's', resp3=resp3)
    assert len(reply) == count
    assert set(reply) == members
    assert direct.call('SCARD', 's') == count
    assert direct.call('SMISMEMBER', 's', 'member0', 'nope') == [1, 0]


@pytest.mark.parametrize('count', SIZES)
def test_members_go_one_by_one_and_the_key_with_the_last(direct: Direct, count: int) -> None:
    members = fill(direct, 's', range(count))
    assert direct.call('SADD', 's', 'member0') == 0
    assert direct.call('SREM', 's', *members, 'nope') == count
    assert direct.call('EXISTS', 's') == 0


@pytest.mark.parametrize('count', SIZES)
def test_random_members(direct: Direct, count: int) -> None:
    members = fill(direct, 's', range(count))
    assert direct.call('SRANDMEMBER', 's') in members
    assert len(set(direct.call('SRANDMEMBER', 's', 3))) == 3
    assert len(direct.call('SRANDMEMBER', 's', -5000)) == 5000
    popped = set()
    for _ in range(min(count, 50)):
        popped.add(direct.call('SPOP', 's'))
    popped.update(direct.call('SPOP', 's', count))
    assert popped == members
    assert direct.call('EXISTS', 's') == 0


def test_a_large_set_pops_what_nobody_can_foresee(direct: Direct) -> None:
    fill(direct, 's', range(1000))
    first = {direct.call('SRANDMEMBER', 's') for _ in range(100)}
    assert len(first) > 20


@pytest.mark.parametrize('count', SIZES)
def test_sscan_sees_every_member_that_stays(direct: Direct, count: int) -> None:
    members = fill(direct, 's', range(count))
    seen: list[bytes] = []
    cursor = b'0'
    while True:
        cursor, part = direct.call('SSCAN', 's', cursor, 'COUNT', 30)
        seen.extend(part)
        if cursor == b'0':
            break
        direct.reopen()  # where a scan has come to does not depend on the store's memory
    assert set(seen) == members


@pytest.mark.parametrize(('first', 'second'), [(10, 5), (300, 200), (10, 2000)])
def test_algebra(direct: Direct, first: int, second: int) -> None:
    one = fill(direct, 'one', range(first))
    other = fill(direct, 'other', range(first // 2, first // 2 + second))
    assert set(direct.call('SINTER', 'one', 'other')) == one & other
    assert set(direct.call('SUNION', 'one', 'other', 'none')) == one | other
    assert set(direct.call('SDIFF', 'one', 'other')) == one - other
    assert direct.call('SINTERCARD', 2, 'one', 'other', 'LIMIT', 2) == 2
    assert direct.call('SUNIONSTORE', 'one', 'one', 'other') == len(one | other)
    assert set(direct.call('SMEMBERS', 'one')) == one | other
    assert direct.call('SINTERSTORE', 'one', 'one', 'none') == 0
    assert direct.call('EXISTS', 'one') == 0


def test_smove(direct: Direct) -> None:
    direct.run('SADD', 'a', 'x')
    direct.run('SADD', 'b', 'y')
    assert direct.call('SMOVE', 'a', 'b', 'x') == 1
    assert direct.call('EXISTS', 'a') == 0
    assert sorted(direct.call('SMEMBERS', 'b')) == [b'x', b'y']
    assert direct.call('SMOVE', 'b', 'b', 'x') == 1


def test_wrong_calls_change_nothing(direct: Direct) -> None:
    direct.run('SADD', 'a', 'x')
    direct.run('SET', 'string', '')
    assert direct.error('SMOVE', 'a', 'string', 'x').startswith('WRONGTYPE ')
    assert direct.error('SINTERSTORE', 'a', 'a', 'string').startswith('WRONGTYPE ')
    assert direct.error('SPOP', 'a', -1) == 'ERR value is out of range, must be positive'
    assert direct.call('SMEMBERS', 'a') == [b'x']

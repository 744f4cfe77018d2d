"""Streams and their consumer groups."""

from __future__ import annotations

import time

import pytest

from rq_leveldb.store.replies import NO_REPLY
from rq_leveldb.store.types.stream import MAX_SMALL_ENTRIES
from tests.store.direct import Direct

SIZES = [3, MAX_SMALL_ENTRIES, MAX_SMALL_ENTRIES + 1, 1500]


def fill(direct: Direct, count: int, first: int = 1) -> list[list[object]]:
    for number in range(first, first + count):
        direct.run('XADD', 'x', f'{number}-0', 'f', number)
    return [[b'%d-0' % number, [b'f', b'%d' % number]] for number in range(first, first + count)]


@pytest.mark.parametrize('count', SIZES)
def test_what_was_added_is_there_after_a_crash(direct: Direct, count: int) -> None:
    entries = fill(direct, count)
    direct.reopen()
    assert direct.call('XRANGE', 'x', '-', '+') == entries
    assert direct.call('XREVRANGE', 'x', '+', '-', 'COUNT', 2) == entries[:-3:-1]
    assert direct.call('XRANGE', 'x', '(1', '3-0') == entries[1:3]
    assert direct.call('XREAD', 'COUNT', 1, 'STREAMS', 'x', '1-0') == [[b'x', entries[1:2]]]
    assert direct.call('XLEN', 'x') == count


@pytest.mark.parametrize('count', SIZES)
def test_trimming_and_deleting(direct: Direct, count: int) -> None:
    entries = fill(direct, count)
    assert direct.call('XDEL', 'x', '1-0', '1-0', '99999-0') == 1
    assert direct.call('XTRIM', 'x', 'MINID', '3-0') == 1
    direct.reopen()
    assert direct.call('XRANGE', 'x', '-', '+') == entries[2:]
    assert direct.call('XADD', 'x', 'MAXLEN', 1, '*', 'f', 'v')
    assert direct.call('XLEN', 'x') == 1


def test_an_empty_stream_is_still_there_and_remembers_its_last_id(direct: Direct) -> None:
    direct.run('XADD', 'x', '5-1', 'f', 'v')
    direct.run('XDEL', 'x', '5-1')
    direct.reopen()
    assert direct.call('EXISTS', 'x') == 1
    assert direct.error('XADD', 'x', '5-1', 'f', 'v') == (
        'ERR The ID specified in XADD is equal or smaller than the target stream top item'
    )
    assert direct.call('XADD', 'x', '5-*', 'f', 'v') == b'5-2'


def test_fields_may_repeat_and_ids_go_up_to_the_end(direct: Direct) -> None:
    last = f'{2**64 - 1}-{2**64 - 1}'
    direct.run('XADD', 'x', last, 'f', '1', 'f', '2')
    assert direct.call('XRANGE', 'x', '-', '+') == [[last.encode(), [b'f', b'1', b'f', b'2']]]
    assert direct.error('XADD', 'x', '*', 'f', 'v').startswith('ERR The stream has exhausted the last possible ID')
    assert direct.call('XTRIM', 'x', 'MAXLEN', 0) == 1


def test_nothing_is_made_by_a_wrong_xadd(direct: Direct) -> None:
    assert direct.call('XADD', 'x', 'NOMKSTREAM', '*', 'f', 'v') is None
    assert direct.error('XADD', 'x', '1-1', 'f') == "ERR wrong number of arguments for 'xadd' command"
    assert direct.error('XADD', 'x', 'MAXLEN', '5', 'LIMIT', '1', '*', 'f', 'v').startswith('ERR syntax error, LIMIT')
    assert direct.error('XADD', 'x', '0-0', 'f', 'v') == 'ERR The ID specified in XADD must be greater than 0-0'
    assert direct.call('EXISTS', 'x') == 0


def test_a_blocked_reader_gets_what_comes_after_its_call(direct: Direct) -> None:
    fill(direct, 3)
    assert direct.run('XREAD', 'BLOCK', 0, 'STREAMS', 'x', 'y', '$', '$') is NO_REPLY
    assert direct.waiting is not None
    keys, attempt = direct.waiting
    assert keys == [b'x', b'y']
    assert attempt(b'x') is None
    direct.run('SADD', 'y', 'not a stream')
    assert attempt(b'y') is None
    direct.run('DEL', 'y')
    direct.run('XADD', 'x', '9-0', 'f', 'v')
    assert attempt(b'x') == [[b'x', [[b'9-0', [b'f', b'v']]]]]


def test_reading_maps_streams_to_entries_in_resp3(direct: Direct) -> None:
    entries = fill(direct, 2)
    assert direct.call('XREAD', 'STREAMS', 'x', 'none', '0', '0', resp3=True) == {b'x': entries}


@pytest.mark.parametrize('count', SIZES)
def test_a_group_delivers_each_entry_once_until_it_is_acknowledged(direct: Direct, count: int) -> None:
    entries = fill(direct, count)
    direct.run('XGROUP', 'CREATE', 'x', 'g', 0)
    read = ('XREADGROUP', 'GROUP', 'g')
    assert direct.call(*read, 'alice', 'COUNT', 2, 'STREAMS', 'x', '>') == [[b'x', entries[:2]]]
    direct.reopen()
    assert direct.call(*read, 'bob', 'STREAMS', 'x', '>') == [[b'x', entries[2:]]]
    assert direct.call(*read, 'bob', 'STREAMS', 'x', '>') is None
    assert direct.call(*read, 'alice', 'STREAMS', 'x', '0') == [[b'x', entries[:2]]]
    assert direct.call('XACK', 'x', 'g', '1-0', '1-0') == 1
    assert direct.call(*read, 'alice', 'STREAMS', 'x', '0') == [[b'x', entries[1:2]]]
    summary = direct.call('XPENDING', 'x', 'g')
    assert summary == [count - 1, b'2-0', b'%d-0' % count, [[b'alice', b'1'], [b'bob', b'%d' % (count - 2)]]]


def test_claiming_moves_an_entry_and_counts_its_deliveries(direct: Direct) -> None:
    entries = fill(direct, 3)
    direct.run('XGROUP', 'CREATE', 'x', 'g', 0)
    direct.run('XREADGROUP', 'GROUP', 'g', 'alice', 'STREAMS', 'x', '>')
    assert direct.call('XCLAIM', 'x', 'g', 'bob', 3600000, '1-0') == []
    assert direct.call('XCLAIM', 'x', 'g', 'bob', 0, '1-0') == entries[:1]
    direct.run('XDEL', 'x', '2-0')
    assert direct.call('XAUTOCLAIM', 'x', 'g', 'carol', 0, '-', 'COUNT', 2) == [b'3-0', entries[:1], [b'2-0']]
    pending = direct.call('XPENDING', 'x', 'g', '-', '+', 10)
    assert [(id_, consumer, times) for id_, consumer, _, times in pending] == [
        (b'1-0', b'carol', 3),
        (b'3-0', b'alice', 1),
    ]
    assert direct.call('XGROUP', 'DELCONSUMER', 'x', 'g', 'alice') == 1


def test_what_a_group_has_read_and_not_read(direct: Direct) -> None:
    fill(direct, 5)
    direct.run('XGROUP', 'CREATE', 'x', 'g', 0)
    direct.run('XREADGROUP', 'GROUP', 'g', 'alice', 'COUNT', 2, 'STREAMS', 'x', '>')
    [group] = direct.call('XINFO', 'GROUPS', 'x', resp3=True)
    assert (group[b'entries-read'], group[b'lag'], group[b'pending']) == (2, 3, 2)
    direct.run('XDEL', 'x', '4-0')
    [group] = direct.call('XINFO', 'GROUPS', 'x', resp3=True)
    assert group[b'lag'] is None


def test_a_group_that_goes_away_tells_who_waits_for_it(direct: Direct) -> None:
    direct.run('XGROUP', 'CREATE', 'x', 'g', '$', 'MKSTREAM')
    assert direct.run('XREADGROUP', 'GROUP', 'g', 'alice', 'BLOCK', 0, 'STREAMS', 'x', '>') is NO_REPLY
    assert direct.waiting is not None
    direct.run('XGROUP', 'DESTROY', 'x', 'g')
    with pytest.raises(Exception, match=r'^NOGROUP '):
        direct.waiting[1](b'x')


def test_a_copy_has_groups_of_its_own(direct: Direct) -> None:
    fill(direct, 3)
    direct.run('XGROUP', 'CREATE', 'x', 'g', 0)
    direct.run('COPY', 'x', 'y')
    direct.run('XREADGROUP', 'GROUP', 'g', 'alice', 'STREAMS', 'y', '>')
    assert direct.call('XPENDING', 'x', 'g')[0] == 0
    assert direct.call('XPENDING', 'y', 'g')[0] == 3


def test_looking_for_the_oldest_pending_entry_costs_nothing_of_what_was_acknowledged(direct: Direct) -> None:
    direct.run('XGROUP', 'CREATE', 'x', 'g', '$', 'MKSTREAM')
    count = 20_000
    for number in range(1, count + 1, 100):
        for step in range(100):
            direct.commands[b'xadd'].handler(direct.ctx, [b'xadd', b'x', b'%d-0' % (number + step), b'f', b'v'])
        direct.run('XREADGROUP', 'GROUP', 'g', 'alice', 'STREAMS', 'x', '>')
        direct.run('XACK', 'x', 'g', *[f'{number + step}-0' for step in range(100 if number < count - 100 else 99)])
    claim = ('XAUTOCLAIM', 'x', 'g', 'bob', 0, '-')
    assert direct.call(*claim)[1] == [[b'%d-0' % count, [b'f', b'v']]]
    started = time.thread_time()
    for _ in range(50):
        direct.run(*claim)
    assert (time.thread_time() - started) / 50 < 0.002

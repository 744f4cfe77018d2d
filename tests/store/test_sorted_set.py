"""Sorted sets: what the commands answer, that any sequence of them leaves what a sorted dict holds, what they cost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rq_leveldb.store.commands import list as list_commands
from rq_leveldb.store.commands import set as set_commands
from rq_leveldb.store.commands import sorted_set as sorted_set_commands
from rq_leveldb.store.replies import NO_REPLY, ReplyError
from rq_leveldb.store.sweeper import Sweeper
from tests.store.direct import Direct


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Direct]:
    commands = (*list_commands.COMMANDS, *set_commands.COMMANDS, *sorted_set_commands.COMMANDS)
    store = Direct(tmp_path / 'leveldb', commands)
    yield store
    store.close()


def records(store: Direct) -> list[bytes]:
    """Return the keys of all records of values and of what is to be swept."""
    return [key for key, _ in store.engine.scan(b'A', b'\xff')]


def sweep(store: Direct) -> None:
    sweeper = Sweeper(store.keys)
    while sweeper.sweep(1000):
        store.keys.commit()
    store.keys.commit()


# -- against a dict

SCORES = st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0, math.inf, -math.inf, 1e300, 5e-324, 1700000000.25])
MEMBERS = st.sampled_from([b'', b'a', b'b', b'c', b'\x00', b'\xff', b'aa', b'x' * 100])
RANKS = st.integers(-6, 6)
STEPS = st.one_of(
    st.tuples(st.just('zadd'), st.lists(st.tuples(SCORES, MEMBERS), min_size=1, max_size=5)),
    st.tuples(st.just('zrem'), MEMBERS),
    st.tuples(st.sampled_from(['zpopmin', 'zpopmax', 'reopen'])),
    st.tuples(st.just('zremrangebyscore'), SCORES, SCORES),
    st.tuples(st.just('zremrangebyrank'), RANKS, RANKS),
)


def in_order(model: dict[bytes, float]) -> list[bytes]:
    return sorted(model, key=lambda member: (model[member], member))


def ranks(first: int, last: int, length: int) -> slice:
    start = max(first + length, 0) if first < 0 else first
    return slice(start, max((last + length if last < 0 else last) + 1, 0))


def apply_to(model: dict[bytes, float], step: tuple[Any, ...]) -> None:
    match step:
        case ('zadd', pairs):
            model.update((member, score) for score, member in pairs)
        case ('zrem', member):
            model.pop(member, None)
        case ('zpopmin',) if model:
            del model[in_order(model)[0]]
        case ('zpopmax',) if model:
            del model[in_order(model)[-1]]
        case ('zremrangebyscore', low, high):
            for member in [member for member, score in model.items() if low <= score <= high]:
                del model[member]
        case ('zremrangebyrank', first, last):
            for member in in_order(model)[ranks(first, last, len(model))]:
                del model[member]


def apply(store: Direct, step: tuple[Any, ...]) -> None:
    match step:
        case ('zadd', pairs):
            store.call('zadd', 'z', *[part for pair in pairs for part in pair])
        case ('reopen',):
            store.reopen()
        case (name, *arguments):
            store.call(name, 'z', *arguments)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=30), low=SCORES, high=SCORES)
def test_any_sequence_of_commands_leaves_what_a_sorted_dict_holds(
    store: Direct, steps: list[tuple[Any, ...]], low: float, high: float
) -> None:
    model: dict[bytes, float] = {}
    for step in steps:
        apply(store, step)
        apply_to(model, step)
        expected = in_order(model)
        assert store.call('zrange', 'z', 0, -1) == expected
        assert store.call('zrevrange', 'z', 0, -1) == expected[::-1]
        assert store.call('zcard', 'z') == len(model)
        within = [member for member in expected if low <= model[member] <= high]
        assert store.call('zrangebyscore', 'z', low, high) == within
        assert store.call('zrevrangebyscore', 'z', high, low) == within[::-1]
        assert store.call('zcount', 'z', low, high) == len(within)
        inside = [member for member in expected if low < model[member] < high]
        assert store.call('zrange', 'z', f'({low}', f'({high}', 'byscore') == inside
    for rank, member in enumerate(in_order(model)):
        assert store.call('zrank', 'z', member) == rank
        assert store.call('zrevrank', 'z', member) == len(model) - 1 - rank
        assert float(store.call('zscore', 'z', member)) == model[member]
    store.call('zremrangebyrank', 'z', 0, -1)
    sweep(store)
    assert records(store) == []


# -- what the commands answer


def test_adding_under_conditions(store: Direct) -> None:
    assert store.call('zadd', 'z', 'xx', 1, 'a') == 0
    assert store.call('zadd', 'z', 'xx', 'incr', 1, 'a') is None
    assert store.call('zadd', 'z', 1, 'a', 2, 'b', 3, 'a') == 2
    assert store.call('zadd', 'z', 'nx', 9, 'a', 9, 'c') == 1
    assert store.call('zadd', 'z', 'gt', 'ch', 5, 'a', 1, 'b', 1, 'd') == 2
    assert store.call('zadd', 'z', 'lt', 'xx', 'ch', 4, 'a', 5, 'b', 1, 'e') == 1
    assert store.call('zadd', 'z', 'incr', '0.5', 'a') == b'4.5'
    assert store.call('zadd', 'z', 'nx', 'incr', 1, 'a') is None
    assert store.call('zincrby', 'z', -1, 'new') == b'-1'
    assert store.call('zrange', 'z', 0, -1, 'withscores') == (
        [b'new', b'-1', b'd', b'1', b'b', b'2', b'a', b'4.5', b'c', b'9']
    )


def test_scores_are_doubles_in_resp3(store: Direct) -> None:
    store.call('zadd', 'z', 1, 'a', 'inf', 'b')
    assert store.call('zscore', 'z', 'a', resp3=True) == 1.0
    assert store.call('zmscore', 'z', 'a', 'x', resp3=True) == [1.0, None]
    assert store.call('zrange', 'z', 0, -1, 'withscores', resp3=True) == [[b'a', 1.0], [b'b', math.inf]]
    assert store.call('zrank', 'z', 'b', 'withscore', resp3=True) == [1, math.inf]
    assert store.call('zpopmin', 'z', 1, resp3=True) == [[b'a', 1.0]]
    assert store.call('zpopmin', 'z', resp3=True) == [b'b', math.inf]
    assert store.call('zpopmin', 'z', resp3=True) == []


def test_ranges_by_member(store: Direct) -> None:
    store.call('zadd', 'z', *[part for member in 'abcdef' for part in (0, member)])
    assert store.call('zrangebylex', 'z', '-', '(c') == [b'a', b'b']
    assert store.call('zrangebylex', 'z', '[b', '+', 'limit', 1, 2) == [b'c', b'd']
    assert store.call('zrevrangebylex', 'z', '[d', '(b') == [b'd', b'c']
    assert store.call('zrange', 'z', '+', '[e', 'bylex', 'rev') == [b'f', b'e']
    assert store.call('zrangebylex', 'z', '+', '-') == []
    assert store.call('zlexcount', 'z', '(a', '[e') == 4
    assert store.call('zremrangebylex', 'z', '[b', '[c') == 2
    assert store.call('zrange', 'z', 0, -1) == [b'a', b'd', b'e', b'f']


def test_sets_of_sorted_sets(store: Direct) -> None:
    store.call('zadd', 'a', 1, 'x', 2, 'y', 3, 'z')
    store.call('zadd', 'b', 10, 'y', 20, 'w')
    store.call('sadd', 's', 'y', 'z')
    assert store.call('zunion', 2, 'a', 'b', 'withscores') == [b'x', b'1', b'z', b'3', b'y', b'12', b'w', b'20']
    assert store.call('zunion', 2, 'a', 'b', 'weights', 2, 1, 'aggregate', 'max') == [b'x', b'z', b'y', b'w']
    assert store.call('zinter', 2, 'a', 's', 'withscores') == [b'y', b'3', b'z', b'4']
    assert store.call('zdiff', 2, 'a', 's') == [b'x']
    assert store.call('zintercard', 2, 'a', 's', 'limit', 1) == 1
    assert store.call('zinterstore', 'a', 2, 'a', 'b', 'aggregate', 'min') == 1
    assert store.call('zrange', 'a', 0, -1, 'withscores') == [b'y', b'2']
    assert store.call('zunionstore', 'a', 1, 'nothing') == 0
    assert store.call('zcard', 'a') == 0
    assert store.call('zrangestore', 's', 'b', 0, 0) == 1
    assert store.call('zrange', 's', 0, -1) == [b'y']


def test_what_is_wrong_with_a_command_is_said_in_the_words_of_redis(store: Direct) -> None:
    store.call('zadd', 'z', 'inf', 'a')
    store.call('rpush', 'l', 'a')
    not_a_float = 'ERR value is not a valid float'
    assert store.error('zadd', 'z', 1, 'b', 'nan', 'a') == not_a_float
    assert store.error('zadd', 'z', 1, 'b', 2) == 'ERR syntax error'
    assert store.error('zadd', 'z', 'nx', 'xx', 1, 'a') == 'ERR XX and NX options at the same time are not compatible'
    assert store.error('zadd', 'z', 'gt', 'lt', 1, 'a') == (
        'ERR GT, LT, and/or NX options at the same time are not compatible'
    )
    assert store.error('zadd', 'z', 'incr', 1, 'a', 1, 'b') == (
        'ERR INCR option supports a single increment-element pair'
    )
    assert store.error('zincrby', 'z', '-inf', 'a') == 'ERR resulting score is not a number (NaN)'
    assert store.error('zrange', 'z', 'a', 'b', 'byscore') == 'ERR min or max is not a float'
    assert store.error('zrange', 'z', 'a', 'b', 'bylex') == 'ERR min or max not valid string range item'
    assert store.error('zrange', 'z', 0, 1, 'limit', 0, 1).startswith('ERR syntax error, LIMIT is only supported')
    assert store.error('zpopmin', 'z', -1) == 'ERR value is out of range, must be positive'
    assert store.error('zunion', 0, 'z') == "ERR at least 1 input key is needed for 'zunion' command"
    assert store.error('zunion', 1, 'z', 'weights', 'x') == 'ERR weight value is not a float'
    assert store.error('zscan', 'z', 'x') == 'ERR invalid cursor'
    assert store.error('zadd', 'l', 1, 'a').startswith('WRONGTYPE')
    assert store.error('zunion', 2, 'z', 'l').startswith('WRONGTYPE')
    assert store.call('zrange', 'z', 0, -1, 'withscores') == [b'a', b'inf']


def test_a_reply_of_many_entries_is_what_was_there_when_it_was_asked_for(store: Direct) -> None:
    members = [b'%06d' % number for number in range(2500)]
    store.call('zadd', 'z', *[part for number, member in enumerate(members) for part in (number, member)])
    assert store.call('zrange', 'z', 0, -1) == members
    assert store.call('zrange', 'z', 0, -1, 'rev') == members[::-1]
    assert store.call('zrange', 'z', 400, 2400) == members[400:2401]
    assert store.call('zrangebyscore', 'z', '-inf', '(2000', 'withscores', resp3=True) == (
        [[member, float(number)] for number, member in enumerate(members[:2000])]
    )
    assert store.call('zrange', 'z', 2490, 2494) == members[2490:2495]
    assert store.call('zremrangebyscore', 'z', '-inf', 2400) == 2401
    assert store.call('zrange', 'z', 0, -1) == members[2401:]


def test_drawing_and_scanning(store: Direct) -> None:
    scores = {b'%d' % number: float(number) for number in range(500)}
    store.call('zadd', 'z', *[part for member, score in scores.items() for part in (score, member)])
    assert store.call('zrandmember', 'z') in scores
    drawn = store.call('zrandmember', 'z', 20, 'withscores', resp3=True)
    assert len({member for member, _ in drawn}) == 20
    assert all(scores[member] == score for member, score in drawn)
    assert sorted(store.call('zrandmember', 'z', 1000)) == sorted(scores)
    assert len(store.call('zrandmember', 'z', -2000)) == 2000
    seen: dict[bytes, float] = {}
    cursor = b'0'
    while True:
        cursor, found = store.call('zscan', 'z', cursor, 'count', 30)
        seen.update(zip(found[::2], map(float, found[1::2]), strict=True))
        store.call('zadd', 'z', 1, b'more %s' % cursor)
        if cursor == b'0':
            break
    assert scores.items() <= seen.items()
    assert sorted(store.call('zscan', 'z', 0, 'count', 2000, 'match', '49?')[1][::2]) == [
        b'49%d' % n for n in range(10)
    ]


# -- waiting


def test_a_blocking_pop_waits_for_all_its_keys(store: Direct) -> None:
    assert store.run('bzpopmin', 'a', 'b', 0) is NO_REPLY
    assert store.waiting is not None
    keys, attempt = store.waiting
    assert keys == [b'a', b'b']
    store.call('rpush', 'a', 'x')
    assert attempt(b'a') is None
    store.call('zadd', 'b', 2, 'y', 1, 'x')
    with pytest.raises(ReplyError, match='WRONGTYPE'):
        attempt(b'b')
    store.call('lpop', 'a')
    assert attempt(b'b') == [b'b', b'x', 1.0]
    assert store.call('bzpopmax', 'b', 0) == [b'b', b'y', b'2']
    assert store.run('bzmpop', 0, 1, 'b', 'max', 'count', 2) is NO_REPLY
    store.call('zadd', 'b', 2, 'y', 1, 'x')
    assert store.waiting[1](b'b') == [b'b', [[b'y', 2.0], [b'x', 1.0]]]


# -- what they cost


def test_nothing_walks_what_was_removed_at_the_low_end(store: Direct) -> None:
    """LevelDB takes some 8 ms to walk the remains of so many entries; each of these would do it every time."""
    count = 20_000
    for start in range(0, count, 5000):
        store.call('zadd', 'z', *[part for n in range(start, start + 5000) for part in (n, f'{n:06}')])
    store.call('zadd', 'z', -1, 'low', count, 'high')
    for n in range(count):
        store.call('zrem', 'z', f'{n:06}')
    store.call('zrem', 'z', 'low')
    started = time.perf_counter()
    for n in range(100):
        assert store.call('zrangebyscore', 'z', '-inf', count - 1) == []
        assert store.call('zremrangebyscore', 'z', 0, count - 1) == 0
        assert store.call('zpopmin', 'z')[0] in (b'high', b'again')
        store.call('zadd', 'z', count + n, 'again')
        assert store.call('zrange', 'z', 0, -1) == [b'again']
    assert time.perf_counter() - started < 1.5


@pytest.mark.parametrize(
    ('low', 'high', 'within'), [(0, 4, 5), (5, math.inf, 1995), (1990, math.inf, 10), (3, 1996, 1994)]
)
def test_a_count_reads_the_smaller_part(
    store: Direct, monkeypatch: pytest.MonkeyPatch, low: float, high: float, within: int
) -> None:
    store.call('zadd', 'z', *[part for n in range(2000) for part in (n, f'{n:06}')])
    read = []
    scan = store.engine.scan

    def noted(*args: Any) -> Iterator[tuple[bytes, bytes]]:
        for record in scan(*args):
            read.append(record)
            yield record

    monkeypatch.setattr(store.engine, 'scan', noted)
    assert store.call('zcount', 'z', low, high) == within
    assert len(read) < 50


@pytest.mark.parametrize('score', ['1' * 200_000 + 'x', '0x' + 'f' * 200_000 + 'g'])
def test_a_long_text_that_is_no_score_is_refused_at_once(direct: Direct, score: str) -> None:
    assert direct.error('ZADD', 'z', score, 'a') == 'ERR value is not a valid float'

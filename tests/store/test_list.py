"""Lists: what the commands answer, that any sequence of them leaves what a plain list holds, and what they cost."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rq_leveldb.store.commands import list as list_commands
from rq_leveldb.store.commands import sorted_set as sorted_set_commands
from rq_leveldb.store.replies import NO_REPLY, ReplyError
from rq_leveldb.store.sweeper import Sweeper
from tests.store.direct import Direct


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Direct]:
    store = Direct(tmp_path / 'leveldb', (*list_commands.COMMANDS, *sorted_set_commands.COMMANDS))
    yield store
    store.close()


def whole(store: Direct, key: str = 'l') -> list[bytes]:
    found: list[bytes] = store.call('lrange', key, 0, -1)
    return found


def records(store: Direct) -> list[bytes]:
    """Return the keys of all records of values and of what is to be swept."""
    return [key for key, _ in store.engine.scan(b'A', b'\xff')]


def sweep(store: Direct) -> None:
    sweeper = Sweeper(store.keys)
    while sweeper.sweep(1000):
        store.keys.commit()
    store.keys.commit()


# -- against a plain list

ELEMENTS = st.sampled_from([b'a', b'b', b'c', b'', b'x' * 64, b'x' * 65, b'y' * 200])
INDICES = st.integers(-12, 12)
STEPS = st.one_of(
    st.tuples(st.sampled_from(['lpush', 'rpush']), st.lists(ELEMENTS, min_size=1, max_size=6)),
    st.tuples(st.sampled_from(['lpop', 'rpop', 'rotate', 'commit', 'reopen'])),
    st.tuples(st.just('lrem'), ELEMENTS, st.integers(-3, 3)),
    st.tuples(st.just('lset'), INDICES, ELEMENTS),
    st.tuples(st.just('ltrim'), INDICES, INDICES),
    st.tuples(st.just('linsert'), ELEMENTS, ELEMENTS, st.booleans()),
)


def apply_to(model: list[bytes], step: tuple[Any, ...]) -> list[bytes]:
    """Return what the list holds after the step."""
    match step:
        case ('lpush', elements):
            return [*reversed(elements), *model]
        case ('rpush', elements):
            return [*model, *elements]
        case ('lpop',):
            return model[1:]
        case ('rpop',):
            return model[:-1]
        case ('rotate',):
            return [*model[1:], *model[:1]]
        case ('lrem', element, count):
            at = [index for index, found in enumerate(model) if found == element]
            gone = set(at[:count] if count > 0 else at[count:] if count < 0 else at)
            return [found for index, found in enumerate(model) if index not in gone]
        case ('lset', index, element):
            if -len(model) <= index < len(model):
                model = list(model)
                model[index] = element
            return model
        case ('ltrim', first, last):
            start = max(first + len(model), 0) if first < 0 else first
            stop = (last + len(model) if last < 0 else last) + 1
            return model[start : max(stop, 0)]
        case ('linsert', pivot, element, after):
            if pivot in model:
                index = model.index(pivot) + after
                return [*model[:index], element, *model[index:]]
    return model


def apply(store: Direct, step: tuple[Any, ...]) -> None:
    match step:
        case ('lpush' | 'rpush' as name, elements):
            store.call(name, 'l', *elements)
        case ('rotate',):
            store.call('lmove', 'l', 'l', 'left', 'right')
        case ('lpop' | 'rpop' as name,):
            store.call(name, 'l')
        case ('lrem', element, count):
            store.call('lrem', 'l', count, element)
        case ('linsert', pivot, element, after):
            store.call('linsert', 'l', 'after' if after else 'before', pivot, element)
        case ('reopen',):
            store.reopen()
        case ('commit',):
            store.keys.commit()
        case (name, *arguments):
            store.call(name, 'l', *arguments)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=40))
def test_any_sequence_of_commands_leaves_what_a_plain_list_holds(store: Direct, steps: list[tuple[Any, ...]]) -> None:
    model: list[bytes] = []
    for step in steps:
        apply(store, step)
        model = apply_to(model, step)
        assert whole(store) == model
        assert store.call('llen', 'l') == len(model)
    for element in set(model):
        expected = [index for index, found in enumerate(model) if found == element]
        assert store.call('lpos', 'l', element, 'count', 0) == expected
        assert store.call('lpos', 'l', element, 'rank', -1) == expected[-1]
    for index in range(-len(model), len(model)):
        assert store.call('lindex', 'l', index) == model[index]
    for _ in range(len(model)):
        store.call('lpop', 'l')
    sweep(store)
    assert records(store) == []


def test_holes_of_every_size_are_counted(store: Direct) -> None:
    size = 9000
    model = [b'%d' % number for number in range(size)]
    store.call('rpush', 'l', *model)
    rng = random.Random(7)
    for start, stop in ((1, 70), (128, 192), (200, 4500), (4500, 4501), (8191, 8999)):
        order = list(range(start, stop))
        rng.shuffle(order)
        for number in order:
            assert store.call('lrem', 'l', rng.choice((1, -1, 0)), number) == 1
        gone = {b'%d' % number for number in order}
        model = [element for element in model if element not in gone]
        for _ in range(30):
            index = rng.randrange(len(model))
            assert store.call('lindex', 'l', index) == model[index]
            assert store.call('lpos', 'l', model[index]) == index
            assert store.call('lrange', 'l', index, index + 9) == model[index : index + 10]
        assert whole(store) == model
    for first, last in ((40, -1), (0, -50), (20, -30)):
        store.call('ltrim', 'l', first, last)
        model = model[first : len(model) + last + 1]
        assert whole(store) == model
    assert store.call('lpop', 'l', 33) == [model.pop(0) for _ in range(33)]
    assert store.call('rpop', 'l', 44) == [model.pop() for _ in range(44)]
    assert whole(store) == model
    while model:
        left = rng.random() < 0.5
        assert store.call('lpop' if left else 'rpop', 'l') == model.pop(0 if left else -1)
    assert records(store) == []


def test_many_occurrences_are_removed_at_once(store: Direct) -> None:
    rng = random.Random(3)
    model = rng.choices([b'a', b'b', b'c'], k=9000)
    model[2000:7000] = [b'c'] * 5000
    store.call('rpush', 'l', *model)
    for step in (
        ('lrem', b'a', 500),
        ('lrem', b'b', -700),
        ('lrem', b'c', 4000),
        ('lrem', b'b', 0),
        ('lrem', b'c', -1),
    ):
        apply(store, step)
        model = apply_to(model, step)
        assert whole(store) == model
        for _ in range(30):
            index = rng.randrange(len(model))
            assert store.call('lindex', 'l', index) == model[index]
    store.call('lrem', 'l', 0, 'a')
    store.call('lrem', 'l', 0, 'c')
    assert records(store) == []


# -- what the commands answer


def test_pushing_and_popping(store: Direct) -> None:
    assert store.call('rpushx', 'l', 'a') == 0
    assert store.call('lpushx', 'l', 'a') == 0
    assert store.call('rpush', 'l', 'b', 'c') == 2
    assert store.call('lpush', 'l', 'a', '0') == 4
    assert whole(store) == [b'0', b'a', b'b', b'c']
    assert store.call('lpop', 'l') == b'0'
    assert store.call('rpop', 'l', 2) == [b'c', b'b']
    assert store.call('lpop', 'l', 0) == []
    assert store.call('lpop', 'l', 9) == [b'a']
    assert store.call('lpop', 'l') is None
    assert store.call('lpop', 'l', 1) is None


def test_moving_from_list_to_list(store: Direct) -> None:
    store.call('rpush', 'l', 'a', 'b', 'c')
    assert store.call('lmove', 'l', 'm', 'LEFT', 'right') == b'a'
    assert store.call('rpoplpush', 'l', 'm') == b'c'
    assert whole(store, 'm') == [b'c', b'a']
    assert store.call('lmove', 'l', 'l', 'left', 'right') == b'b'
    assert whole(store) == [b'b']
    assert store.call('lmove', 'nothing', 'l', 'left', 'left') is None
    assert store.call('lmpop', 2, 'nothing', 'm', 'right', 'count', 5) == [b'm', [b'a', b'c']]
    assert store.call('lmpop', 1, 'm', 'left') is None


def test_finding(store: Direct) -> None:
    store.call('rpush', 'l', *'abcabcab')
    assert store.call('lpos', 'l', 'c') == 2
    assert store.call('lpos', 'l', 'c', 'rank', 2) == 5
    assert store.call('lpos', 'l', 'c', 'rank', 3) is None
    assert store.call('lpos', 'l', 'b', 'rank', -1) == 7
    assert store.call('lpos', 'l', 'b', 'rank', -1, 'count', 0) == [7, 4, 1]
    assert store.call('lpos', 'l', 'b', 'count', 0, 'maxlen', 5) == [1, 4]
    assert store.call('lpos', 'l', 'b', 'rank', -1, 'count', 0, 'maxlen', 4) == [7, 4]
    assert store.call('lpos', 'l', 'z') is None
    assert store.call('lpos', 'l', 'z', 'count', 1) == []


def test_what_is_wrong_with_a_command_is_said_in_the_words_of_redis(store: Direct) -> None:
    store.call('rpush', 'l', 'a')
    store.call('zadd', 'z', 1, 'a')
    positive = 'ERR value is out of range, must be positive'
    assert store.error('lpop', 'l', -1) == positive
    assert store.error('lpop', 'l', 'x') == positive
    assert store.error('lpop', 'l', 1, 2) == "ERR wrong number of arguments for 'lpop' command"
    assert store.error('lset', 'l', 5, 'x') == 'ERR index out of range'
    assert store.error('lset', 'nothing', 0, 'x') == 'ERR no such key'
    assert store.error('linsert', 'l', 'beside', 'a', 'b') == 'ERR syntax error'
    assert store.error('lpos', 'l', 'a', 'rank', 0).startswith("ERR RANK can't be zero: use 1 to start from")
    assert store.error('lpos', 'l', 'a', 'count', -1) == "ERR COUNT can't be negative"
    assert store.error('lmpop', 0, 'l', 'left') == 'ERR numkeys should be greater than 0'
    assert store.error('lmpop', 1, 'l', 'left', 'count', 0) == 'ERR count should be greater than 0'
    assert store.error('blpop', 'l', -1) == 'ERR timeout is negative'
    assert store.error('blmove', 'l', 'l', 'left', 'up', 1) == 'ERR syntax error'
    for command in (('rpush', 'z', 'a'), ('lmove', 'l', 'z', 'left', 'left'), ('blpop', 'z', 'l', 0)):
        assert store.error(*command).startswith('WRONGTYPE')
    assert whole(store) == [b'a']


def test_a_reply_of_many_elements_is_what_was_there_when_it_was_asked_for(store: Direct) -> None:
    elements = [b'%d' % number for number in range(3000)]
    store.call('rpush', 'l', *elements)
    assert whole(store) == elements
    assert store.call('lpop', 'l', 1500) == elements[:1500]
    assert store.call('rpop', 'l', 1200) == elements[:1799:-1]
    assert whole(store) == elements[1500:1800]
    store.call('rpush', 'm', *elements)
    assert store.call('lpop', 'm', 5000) == elements
    assert store.call('lpop', 'l', 300) == elements[1500:1800]
    sweep(store)
    assert records(store) == []


# -- waiting


def test_a_blocking_pop_waits_for_all_its_keys(store: Direct) -> None:
    assert store.run('blpop', 'a', 'b', 0) is NO_REPLY
    assert store.waiting is not None
    keys, attempt = store.waiting
    assert keys == [b'a', b'b']
    assert attempt(b'a') is None
    store.call('zadd', 'a', 1, 'x')
    assert attempt(b'a') is None
    store.call('rpush', 'b', 'y', 'z')
    with pytest.raises(ReplyError, match='WRONGTYPE'):
        attempt(b'b')
    store.call('zpopmin', 'a')
    assert attempt(b'a') is None
    assert attempt(b'b') == [b'b', b'y']
    assert whole(store, 'b') == [b'z']


def test_a_blocking_move_waits_for_its_source(store: Direct) -> None:
    assert store.run('blmove', 'a', 'b', 'left', 'right', 0) is NO_REPLY
    assert store.waiting is not None
    keys, attempt = store.waiting
    assert keys == [b'a']
    assert attempt(b'a') is None
    store.call('rpush', 'a', 'x')
    assert attempt(b'a') == b'x'
    assert whole(store, 'b') == [b'x']
    assert store.call('llen', 'a') == 0


def test_a_blocking_pop_does_not_wait_where_there_is_something(store: Direct) -> None:
    store.call('rpush', 'b', *'xyz')
    assert store.call('brpop', 'a', 'b', 0) == [b'b', b'z']
    assert store.call('blmove', 'b', 'c', 'left', 'left', 0) == b'x'
    assert store.call('brpoplpush', 'b', 'c', 0) == b'y'
    assert store.call('blmpop', 0, 2, 'b', 'c', 'left', 'count', 2) == [b'c', [b'y', b'x']]


# -- what they cost


def test_nothing_walks_what_was_removed(store: Direct) -> None:
    """LevelDB takes some 8 ms to walk the remains of so many elements; each of these would do it every time."""
    count = 20_000
    elements = [b'%08x' % (number * 2654435761 % (1 << 32)) for number in range(count)]
    for start in range(0, count, 5000):
        store.call('rpush', 'l', 'first', *elements[start : start + 5000])
        store.call('lpop', 'l')
    store.call('lpush', 'l', 'first')
    store.call('rpush', 'l', 'last')
    for element in elements[: count // 2]:
        store.call('lrem', 'l', 1, element)
    store.call('lpop', 'l', count // 2 - 50)
    started = time.perf_counter()
    for _ in range(100):
        store.call('lrem', 'l', 1, 'not there')
        store.call('rpush', 'l', store.call('lpop', 'l'))
        store.call('lrange', 'l', 0, 10)
        store.call('lpos', 'l', 'last')
    assert time.perf_counter() - started < 2

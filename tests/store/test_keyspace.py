"""Keys over a real LevelDB: what is seen inside a transaction, after it, after a crash, and when time passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb import errors
from rq_leveldb.store import encoding
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.keyspace import MAX_CACHED_VALUES, Keyspace
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.sweeper import Sweeper
from rq_leveldb.store.types.collection import MAX_SMALL_MEMBERS
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.string import String


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / 'leveldb')
    yield engine
    engine.close()


@pytest.fixture
def keys(engine: Engine) -> Keyspace:
    return Keyspace(engine)


def put(keys: Keyspace, key: bytes, data: bytes = b'x', expire: int = 0) -> None:
    value = String(keys.overlay, 0, data)
    value.expire = expire
    keys.put(0, key, value)


def put_hash(keys: Keyspace, key: bytes, count: int) -> Hash:
    value = keys.typed_or_new(0, key, Hash)
    for number in range(count):
        value.set(b'f%d' % number, b'v%d' % number)
    keys.changed(value)
    return value


def reopened(keys: Keyspace) -> Keyspace:
    """As after kill -9: only what was committed is there."""
    return Keyspace(keys.engine)


def records(keys: Keyspace, prefix: bytes) -> list[bytes]:
    return [key for key, _ in keys.engine.scan(prefix, encoding.after(prefix))]


def test_nothing_is_kept_of_what_was_not_committed(keys: Keyspace) -> None:
    put(keys, b'kept')
    keys.commit()
    put(keys, b'lost')
    keys.delete(0, b'kept')
    after = reopened(keys)
    assert list(after.keys(0)) == [b'kept']
    assert after.count(0) == 1


def test_a_rollback_forgets_values_changed_in_memory(keys: Keyspace) -> None:
    put_hash(keys, b'h', 3)
    keys.commit()
    value = keys.typed(0, b'h', Hash)
    assert value is not None
    value.set(b'f0', b'changed')
    keys.changed(value)
    keys.rollback()
    again = keys.typed(0, b'h', Hash)
    assert again is not None
    assert again.get(b'f0') == b'v0'


def test_keys_are_listed_as_they_are_inside_a_transaction(keys: Keyspace) -> None:
    for name in (b'a', b'b', b'c'):
        put(keys, name)
    keys.commit()
    keys.delete(0, b'b')
    put(keys, b'bb')
    assert list(keys.keys(0)) == [b'a', b'bb', b'c']
    assert keys.count(0) == 3


@pytest.mark.parametrize('count', [3, MAX_SMALL_MEMBERS + 1])
def test_a_hash_reads_the_same_small_or_large_now_or_after_reopening(keys: Keyspace, count: int) -> None:
    put_hash(keys, b'h', count)
    keys.commit()
    expected = {b'f%d' % number: b'v%d' % number for number in range(count)}
    for view in (keys, reopened(keys)):
        value = view.typed(0, b'h', Hash)
        assert value is not None
        assert dict(value.items()) == expected
        assert len(value) == count


def test_a_wrong_type_is_refused(keys: Keyspace) -> None:
    put(keys, b's')
    with pytest.raises(ReplyError, match='WRONGTYPE'):
        keys.typed(0, b's', Hash)
    with pytest.raises(ReplyError, match='WRONGTYPE'):
        keys.typed_or_new(0, b's', Hash)


def test_an_emptied_value_takes_its_key_along(keys: Keyspace) -> None:
    value = put_hash(keys, b'h', 1)
    keys.commit()
    value.delete(b'f0')
    keys.changed(value)
    keys.commit()
    assert keys.find(0, b'h') is None
    assert keys.count(0) == 0
    assert records(keys, encoding.META_PREFIX) == []


def test_an_expired_key_is_gone_before_any_sweeper_came(keys: Keyspace) -> None:
    put(keys, b'k', expire=keys.now + 1000)
    keys.commit()
    assert keys.find(0, b'k') is not None
    keys.now += 1000
    assert keys.find(0, b'k') is None
    assert list(keys.keys(0)) == []


def test_due_keys_are_removed_in_slices_and_tell_when_the_next_is_due(keys: Keyspace) -> None:
    start = keys.now
    for number in range(10):
        put(keys, b'k%d' % number, expire=start + 100)
    put(keys, b'later', expire=start + 5000)
    put(keys, b'never')
    keys.commit()
    assert keys.next_due == start + 100
    keys.now = start + 200
    sweeper = Sweeper(keys)
    assert sweeper.take_due(4) == 4
    keys.commit()
    assert keys.next_due == start + 100
    while sweeper.take_due(4):
        keys.commit()
    keys.commit()
    assert keys.next_due == start + 5000
    assert list(keys.keys(0)) == [b'later', b'never']
    assert keys.count(0) == 2
    assert len(records(keys, encoding.EXPIRY_PREFIX)) == 1


def test_an_expiry_put_off_again_and_again_keeps_one_entry_and_holds(keys: Keyspace) -> None:
    start = keys.now
    put(keys, b'k', expire=start + 100)
    keys.commit()
    for later in range(200, 1000, 100):
        value = keys.find(0, b'k')
        assert value is not None
        keys.expire_at(value, start + later)
        keys.commit()
    assert len(records(keys, encoding.EXPIRY_PREFIX)) == 1
    keys.now = start + 150
    Sweeper(keys).take_due(100)
    keys.commit()
    assert keys.find(0, b'k') is not None
    assert keys.next_due == start + 900
    keys.now = start + 950
    Sweeper(keys).take_due(100)
    keys.commit()
    assert records(keys, encoding.META_PREFIX) == []
    assert records(keys, encoding.EXPIRY_PREFIX) == []


def test_an_expiry_that_was_taken_off_or_brought_forward_holds(keys: Keyspace) -> None:
    start = keys.now
    put(keys, b'forward', expire=start + 5000)
    put(keys, b'off', expire=start + 100)
    keys.commit()
    forward, off = keys.find(0, b'forward'), keys.find(0, b'off')
    assert forward is not None
    assert off is not None
    keys.expire_at(forward, start + 50)
    keys.expire_at(off, 0)
    keys.commit()
    assert keys.next_due == start + 50
    keys.now = start + 10_000
    Sweeper(keys).take_due(100)
    keys.commit()
    assert list(keys.keys(0)) == [b'off']


def test_the_next_due_key_is_known_after_reopening(keys: Keyspace) -> None:
    put(keys, b'k', expire=keys.now + 1234)
    keys.commit()
    assert reopened(keys).next_due == keys.now + 1234


def test_a_renamed_key_keeps_value_and_expiry(keys: Keyspace) -> None:
    start = keys.now
    value = keys.typed_or_new(0, b'old', Set)
    value.add(b'member')
    value.expire = start + 100
    keys.changed(value)
    put(keys, b'new', expire=start + 50)
    keys.commit()
    keys.rename(value, 0, b'new')
    keys.commit()
    after = reopened(keys)
    assert list(after.keys(0)) == [b'new']
    assert after.count(0) == 1
    after.now = start + 60
    Sweeper(after).take_due(10)
    found = after.typed(0, b'new', Set)
    assert found is not None
    assert list(found) == [b'member']
    after.now = start + 100
    assert after.find(0, b'new') is None


def test_the_members_of_removed_keys_are_swept_in_slices(keys: Keyspace) -> None:
    value = keys.typed_or_new(0, b'big', Set)
    for number in range(1000):
        value.add(b'%d' % number)
    keys.changed(value)
    keys.commit()
    keys.delete(0, b'big')
    keys.commit()
    assert len(records(keys, encoding.MEMBER_PREFIX)) == 1000
    sweeper = Sweeper(keys)
    slices = 0
    while sweeper.has_work():
        assert sweeper.sweep(100) <= 100
        keys.commit()
        slices += 1
    assert slices >= 10
    assert records(keys, encoding.MEMBER_PREFIX) == []
    assert records(keys, encoding.GARBAGE_PREFIX) == []


def test_a_flushed_database_is_empty_at_once_and_swept_later(keys: Keyspace) -> None:
    for number in range(50):
        put(keys, b'k%d' % number, expire=keys.now + 1000)
    members = keys.typed_or_new(0, b'set', Set)
    members.add(b'm')
    keys.changed(members)
    keys.commit()
    put(keys, b'uncommitted')
    keys.flush(0)
    put(keys, b'after')
    assert list(keys.keys(0)) == [b'after']
    assert keys.count(0) == 1
    keys.commit()
    view = reopened(keys)
    assert list(view.keys(0)) == [b'after']
    sweeper = Sweeper(view)
    while sweeper.has_work():
        assert sweeper.sweep(20) <= 20
        view.commit()
    assert len(records(view, encoding.META_PREFIX)) == 1
    assert records(view, encoding.MEMBER_PREFIX) == []
    assert records(view, encoding.EXPIRY_PREFIX) == []


def test_databases_are_apart_and_can_be_exchanged(keys: Keyspace) -> None:
    put(keys, b'zero')
    keys.commit()
    assert keys.find(1, b'zero') is None
    keys.swap(0, 1)
    keys.commit()
    view = reopened(keys)
    assert list(view.keys(0)) == []
    assert list(view.keys(1)) == [b'zero']
    assert (view.count(0), view.count(1)) == (0, 1)


def test_memory_holds_a_bounded_number_of_values(keys: Keyspace) -> None:
    for number in range(3 * MAX_CACHED_VALUES):
        put(keys, b'k%d' % number)
        keys.commit()
    for number in range(3 * MAX_CACHED_VALUES):
        assert keys.find(0, b'k%d' % number) is not None
        assert keys.find(0, b'missing%d' % number) is None
        keys.commit()
    assert keys.cached() <= MAX_CACHED_VALUES


def test_a_database_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    engine = Engine(tmp_path / 'newer')
    engine.write({encoding.FORMAT_KEY: b'%d' % (encoding.FORMAT_VERSION + 1)})
    engine.close()
    with pytest.raises(errors.NewerFormat):
        Engine(tmp_path / 'newer')


def test_a_damaged_database_is_refused_with_words(tmp_path: Path) -> None:
    directory = tmp_path / 'leveldb'
    engine = Engine(directory)
    engine.close()
    (directory / 'CURRENT').write_bytes(b'nonsense')
    with pytest.raises(errors.StoreError) as caught:
        Engine(directory)
    assert str(directory) in str(caught.value)


def test_what_a_rolled_back_transaction_abandoned_keeps_its_members(keys: Keyspace) -> None:
    value = keys.typed_or_new(0, b'big', Set)
    for number in range(1000):
        value.add(b'%d' % number)
    keys.changed(value)
    keys.commit()
    sweeper = Sweeper(keys)
    sweeper.sweep(10)
    keys.delete(0, b'big')
    sweeper.sweep(10)
    keys.rollback()
    while sweeper.has_work():
        sweeper.sweep(1000)
        keys.commit()
    found = keys.typed(0, b'big', Set)
    assert found is not None
    assert len(list(found)) == 1000


def test_sweeping_a_flushed_database_of_large_values_leaves_nothing(keys: Keyspace) -> None:
    for name in (b'a', b'b', b'c'):
        value = keys.typed_or_new(0, name, Set)
        for number in range(300):
            value.add(b'%d' % number)
        keys.changed(value)
    keys.commit()
    keys.flush(0)
    keys.commit()
    sweeper = Sweeper(keys)
    while sweeper.has_work():
        sweeper.sweep(7)
        keys.commit()
    for prefix in (b'M', b'D', b'G', b'N', b'X'):
        assert records(keys, prefix) == []

"""Keys and their values: lookup with expiry and type check, creation, deletion, renaming, commit and rollback.

A few thousand values are cached in memory between transactions, and only the keyspace hands them out: a job's hash is
read and changed some twenty times within milliseconds. Everything else is read from LevelDB when needed.

The keyspace records which keys changed, for WATCH and blocking commands (`touched`, and `woken` for blocked clients
only). On request it also records which keys were read (`seen`, `saw_all`), so that no reply shows data that is not
durable. It knows nothing of the users of these records.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator, Sized
from itertools import islice
from typing import TypeVar

from rq_leveldb.location import DATABASES
from rq_leveldb.store import encoding
from rq_leveldb.store.cursors import Cursors
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.replies import wrong_type
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.list import List
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet
from rq_leveldb.store.types.stream import Stream
from rq_leveldb.store.types.string import String
from rq_leveldb.store.types.value import Value
from rq_leveldb.store.view import View

MAX_CACHED_VALUES = 2048
MAX_CACHED_RECORD = 8192
"""Bytes of a meta record above which its value is not cached beyond the transaction."""


_LOADERS: dict[int, type[Value]] = {
    encoding.TYPE_STRING: String,
    encoding.TYPE_LIST: List,
    encoding.TYPE_SET: Set,
    encoding.TYPE_SORTED_SET: SortedSet,
    encoding.TYPE_SMALL_HASH: Hash,
    encoding.TYPE_LARGE_HASH: Hash,
    encoding.TYPE_STREAM: Stream,
    encoding.TYPE_SMALL_SET: Set,
    encoding.TYPE_SMALL_STREAM: Stream,
}

V = TypeVar('V', bound=Value)
_RANDOM_STEPS = 100
_SAMPLED = 1000
"""Number of a value's records whose size is measured."""
_COUNTED = 20_000
"""Number of keys with an expiry that are counted one by one."""


def _number(data: bytes) -> int:
    return int.from_bytes(data.ljust(8, b'\x00'), 'big')


class Keyspace:
    """All databases of one store, and the one transaction that is open on them.

    Args:
        engine: an open LevelDB; or a view of one, for reading.

    Attributes:
        changes: keys changed since the last :meth:`note_save`, counted once per transaction.
        keeps_expired: whether expired keys are kept, though hidden: while writes are paused.
    """

    def __init__(self, engine: Engine | View) -> None:
        self.engine = engine
        self.cursors = Cursors()
        self.now = 0
        self.clock = 0
        self.touched: list[bytes] = []
        self.woken: list[bytes] = []
        self.next_due = 0
        self.expired_keys = 0
        self.rollbacks = 0
        self.seen: set[bytes] | None = None
        self.saw_all = False
        self.keeps_expired = False
        self.changes = 0
        self._load()

    def _load(self) -> None:
        self.overlay = Overlay(self.engine)
        self._cache: dict[bytes, Value | None] = {}
        self._dirty: dict[bytes, Value | None] = {}
        self._counts: dict[bytes, int] = {}
        self._counts_changed: set[bytes] = set()
        self._heavy: list[bytes] = []
        self.prefixes: list[bytes] = []
        for db in range(DATABASES):
            namespace = self.engine.get(encoding.namespace_key(db))
            self.prefixes.append(encoding.meta_prefix(namespace if namespace is not None else encoding.u32(db)))
        self.tick()
        first = next(self.engine.scan(encoding.EXPIRY_PREFIX, encoding.after(encoding.EXPIRY_PREFIX)), None)
        self.next_due = encoding.due_key(first[0])[0] if first else 0

    def track(self) -> None:
        """Record in `seen` which keys are read, from now on; the caller clears it."""
        self.seen = set()
        self.saw_all = True

    def forget_seen(self) -> None:
        """Clear the record of what was read, at the end of a transaction."""
        if self.seen is not None:
            self.seen.clear()
            self.saw_all = False

    def tick(self) -> None:
        """Advance the clock; between two calls it stands still, as it does inside Redis transactions."""
        self.clock = time.time_ns()
        self.now = self.clock // 1_000_000

    # -- lookup

    def find(self, db: int, key: bytes) -> Value | None:
        """Return the value of `key`, of any type, or None."""
        return self._lookup(self.prefixes[db] + key)

    def _lookup(self, meta_key: bytes) -> Value | None:
        if self.seen is not None:
            self.seen.add(meta_key)
        try:
            value = self._cache[meta_key]
        except KeyError:
            record = self.engine.get(meta_key)
            if record is None:
                self._cache[meta_key] = None
                return None
            try:
                value = _LOADERS[record[0]].load(self.overlay, record)
                _, value.expire, value.indexed = encoding.meta_header(record)
                if value.expire > encoding.MAX_NUMBER:
                    raise encoding.DamagedRecord('its time of expiry cannot be')
            except encoding.UNREADABLE as error:
                raise encoding.of_keys(error, (meta_key,)) from error
            except (KeyError, IndexError, ValueError) as error:
                raise encoding.DamagedRecord('its record cannot be read', (meta_key,)) from error
            value.meta_key = meta_key
            self._cache[meta_key] = value
            if len(record) > MAX_CACHED_RECORD:
                self._heavy.append(meta_key)
        if value is not None and value.expire and value.expire <= self.now:
            if not self.keeps_expired:
                self.expired_keys += 1
                self.remove(value)
            return None
        return value

    def typed(self, db: int, key: bytes, type_: type[V]) -> V | None:
        """Return the value of `key`, or None.

        Raises:
            ReplyError: the key holds another type.
        """
        value = self._lookup(self.prefixes[db] + key)
        if value is None:
            return None
        if type(value) is not type_:
            raise wrong_type()
        return value

    def read(self, db: int, key: bytes, type_: type[V]) -> V:
        """Return the key's value, or an empty one, which only has to be read.

        Raises:
            ReplyError: the key holds another type.
        """
        value = self._lookup(self.prefixes[db] + key)
        if value is None:
            return type_(self.overlay, encoding.NO_VERSION)
        if type(value) is not type_:
            raise wrong_type()
        return value

    def typed_or_new(self, db: int, key: bytes, type_: type[V]) -> V:
        """Return the key's value, or an empty one that the key gets once it is marked as changed.

        Raises:
            ReplyError: the key holds another type.
        """
        meta_key = self.prefixes[db] + key
        value = self._lookup(meta_key)
        if value is None:
            new = self.new(type_)
            new.meta_key = meta_key
            return new
        if type(value) is not type_:
            raise wrong_type()
        return value

    def new(self, type_: type[V]) -> V:
        """Return an empty value that belongs to no key yet."""
        return type_(self.overlay, self.overlay.new_version())

    def count(self, db: int) -> int:
        """Return how many keys the database holds, including expired ones not yet removed."""
        self.saw_all = True
        return self._count(self.prefixes[db])

    def _count(self, prefix: bytes) -> int:
        count = self._counts.get(prefix)
        if count is None:
            stored = self.engine.get(encoding.count_key(prefix[1:]))
            count = self._counts[prefix] = 0 if stored is None else encoding.read_u64(stored)
        return count

    def count_expiring(self) -> dict[int, int]:
        """Return how many keys of each database have an expiry, estimated from a sample if there are very many."""
        self.write_changes()
        counts = dict.fromkeys(self.prefixes, 0)
        start, stop = encoding.EXPIRY_PREFIX, encoding.after(encoding.EXPIRY_PREFIX)
        key = start
        counted = 0
        for key, _ in islice(self.overlay.scan(start, stop), _COUNTED):
            counted += 1
            prefix = encoding.due_key(key)[1][: encoding.META_PREFIX_SIZE]
            if prefix in counts:
                counts[prefix] += 1
        share = 1.0
        if counted == _COUNTED:
            share = max(
                1.0, self.engine.approximate_size(start, stop) / (self.engine.approximate_size(start, key) or 1)
            )
        return {db: min(int(counts[prefix] * share), self._count(prefix)) for db, prefix in enumerate(self.prefixes)}

    def keys(self, db: int, prefix: bytes = b'', after: bytes | None = None) -> Iterator[bytes]:
        """Return the keys that exist now, in a stable order.

        Args:
            db: the number of the database.
            prefix: only keys that begin with it.
            after: only keys after this one.
        """
        return (key for key, _ in self.typed_keys(db, after, prefix))

    def typed_keys(self, db: int, after: bytes | None = None, prefix: bytes = b'') -> Iterator[tuple[bytes, str]]:
        """Return the keys that exist now and the names of their types, in a stable order.

        Args:
            db: the number of the database.
            after: only keys after this one.
            prefix: only keys that begin with it.
        """
        self.write_changes()
        whole_prefix = self.prefixes[db] + prefix
        first = whole_prefix if after is None else max(whole_prefix, self.prefixes[db] + after + b'\x00')
        return self._living(self.overlay.scan(first, encoding.after(whole_prefix)), self.now)

    def _living(self, records: Iterator[tuple[bytes, bytes]], now: int) -> Iterator[tuple[bytes, str]]:
        names = {code: loader.type_name for code, loader in _LOADERS.items()}
        for meta_key, record in records:
            try:
                type_code, expire, _ = encoding.meta_header(record)
            except struct.error:
                # It is still listed; reading it gives an error.
                type_code = expire = 0
            if not expire or expire > now:
                yield meta_key[encoding.META_PREFIX_SIZE :], names.get(type_code, 'unknown')

    def random_key(self, db: int) -> bytes | None:
        """Return a random key, near a random place; in a large database not all are equally likely."""
        self.write_changes()
        first = next(self.keys(db), None)
        if first is None:
            return None
        prefix = self.prefixes[db]
        last = next(self.overlay.scan(prefix, encoding.after(prefix), reverse=True))[0][encoding.META_PREFIX_SIZE :]
        size = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
        between = random.randint(_number(first[size : size + 8]), _number(last[size : size + 8]))
        after = first[:size] + between.to_bytes(8, 'big')
        near = list(islice(self.keys(db, after=after), _RANDOM_STEPS))
        # After the last key comes the first, or no place would be near the first ones.
        near += islice(self.keys(db), _RANDOM_STEPS - len(near))
        return random.choice(near)

    # -- change

    def kept(self, value: Value) -> None:
        """Mark a value as changed, without notifying clients that watch or wait for its key."""
        self._dirty[value.meta_key] = value

    def wake(self, db: int, key: bytes) -> None:
        """Let clients that wait for a key try it again; for WATCH it does not count as changed."""
        self.woken.append(self.prefixes[db] + key)

    def changed(self, value: Value) -> None:
        """Mark a value as changed; an empty one is removed, a new one is assigned to its key."""
        meta_key = value.meta_key
        if value.is_empty():
            self.remove(value)
            return
        if self._cache.get(meta_key) is not value:
            self._adopt(value)
        self._dirty[meta_key] = value
        self.touched.append(meta_key)

    def changed_by(self, value: Value, count: int) -> int:
        """Mark a value as changed if `count`, the number of elements that were, is not 0; return it."""
        if count:
            self.changed(value)
        return count

    def _adopt(self, value: Value) -> None:
        meta_key = value.meta_key
        old = self._lookup(meta_key)
        if old is None and self.keeps_expired:
            old = self._cache[meta_key]
        if old is None:
            self._add_to_count(meta_key, 1)
        else:
            self._abandon(old)
        self._cache[meta_key] = value

    def assign(self, db: int, key: bytes, data: bytes, expire: int) -> None:
        """Set `key` to a string, whatever it held before.

        Args:
            db: number of the database.
            key: the key.
            data: the string.
            expire: Unix time in ms, 0 for never; a past time removes the key.
        """
        value = String(self.overlay, 0, data)
        value.meta_key = self.prefixes[db] + key
        value.expire = expire
        self.changed(value)
        if expire and expire <= self.now:
            self.remove(value)

    def put(self, db: int, key: bytes, value: Value) -> None:
        """Set `key` to `value`, whatever it held before."""
        value.meta_key = self.prefixes[db] + key
        self.changed(value)

    def expire_at(self, value: Value, when: int) -> None:
        """Set or remove a value's expiry.

        Args:
            value: the value of an existing key.
            when: Unix time in ms, 0 for never; a past time removes the key.
        """
        if when and when <= self.now:
            self.remove(value)
            return
        value.expire = when
        self.changed(value)

    def remove(self, value: Value) -> None:
        """Remove a value's key; do nothing if the key no longer holds this value."""
        meta_key = value.meta_key
        if self._cache.get(meta_key) is not value:
            return
        self._abandon(value)
        self._cache[meta_key] = None
        self._dirty[meta_key] = None
        self._add_to_count(meta_key, -1)
        self.touched.append(meta_key)

    def delete(self, db: int, key: bytes) -> bool:
        """Remove `key`; return whether it existed."""
        value = self._lookup(self.prefixes[db] + key)
        if value is None:
            return False
        self.remove(value)
        return True

    def rename(self, value: Value, db: int, key: bytes) -> None:
        """Move a value to another key or database, replacing what is there; its members stay in place."""
        old_key = value.meta_key
        self._cache[old_key] = None
        self._dirty[old_key] = None
        self._add_to_count(old_key, -1)
        self.touched.append(old_key)
        if value.indexed:
            self.overlay.delete(encoding.expiry_key(value.indexed, old_key))
            value.indexed = 0
        self.put(db, key, value)

    def copy(self, value: Value, db: int, key: bytes) -> None:
        """Set `key` to a copy of `value`, with its expiry."""
        record = value.record()
        version = encoding.meta_version(record)
        if version:
            new_version = self.overlay.new_version()
            old_prefix = encoding.members_prefix(version)
            new_prefix = encoding.members_prefix(new_version)
            for member, data in list(self.overlay.scan_prefix(old_prefix)):
                self.overlay.put(new_prefix + member[len(old_prefix) :], data)
        twin = _LOADERS[record[0]].load(self.overlay, record)
        if version:
            twin.version = new_version
        twin.expire = value.expire
        self.put(db, key, twin)

    def flush(self, db: int) -> None:
        """Remove every key of a database, at the same cost for any size: the database gets a new, empty namespace.

        The removed keys are not added to `touched`.
        """
        prefix = self.prefixes[db]
        if self._count(prefix) == 0:
            return
        self.write_changes()
        self.changes += self._count(prefix)
        for meta_key in [key for key in self._cache if key.startswith(prefix)]:
            del self._cache[meta_key]
        self.overlay.abandon(prefix[1:])
        self._counts.pop(prefix, None)
        self._counts_changed.discard(prefix)
        self.overlay.delete(encoding.count_key(prefix[1:]))
        stored = self.overlay.get(encoding.NEXT_NAMESPACE_KEY)
        number = DATABASES if stored is None else encoding.read_u32(stored)
        self.overlay.put(encoding.NEXT_NAMESPACE_KEY, encoding.u32(number + 1))
        self._set_namespace(db, encoding.u32(number))

    def swap(self, one: int, other: int) -> None:
        """Exchange two databases."""
        first, second = self.prefixes[one][1:], self.prefixes[other][1:]
        self._set_namespace(one, second)
        self._set_namespace(other, first)

    def _set_namespace(self, db: int, namespace: bytes) -> None:
        self.saw_all = True
        self.prefixes[db] = encoding.meta_prefix(namespace)
        self.overlay.put(encoding.namespace_key(db), namespace)

    def _add_to_count(self, meta_key: bytes, change: int) -> None:
        prefix = meta_key[: encoding.META_PREFIX_SIZE]
        self._counts[prefix] = self._count(prefix) + change
        self._counts_changed.add(prefix)

    def _abandon(self, value: Value) -> None:
        if value.has_members():
            self.overlay.abandon(value.version)
        if value.indexed:
            self.overlay.delete(encoding.expiry_key(value.indexed, value.meta_key))
            value.indexed = 0

    # -- the end of a transaction

    def write_changes(self) -> None:
        """Write what changed in memory to the open transaction, so that a scan sees it."""
        self.saw_all = True
        self._write_changes()

    def _write_changes(self) -> None:
        overlay = self.overlay
        self.changes += len(self._dirty)
        for meta_key, value in self._dirty.items():
            if value is None:
                overlay.delete(meta_key)
                continue
            expire = value.expire
            if not expire:
                if value.indexed:
                    overlay.delete(encoding.expiry_key(value.indexed, meta_key))
                    value.indexed = 0
            elif not value.indexed or expire < value.indexed:
                if value.indexed:
                    overlay.delete(encoding.expiry_key(value.indexed, meta_key))
                overlay.put(encoding.expiry_key(expire, meta_key), b'')
                value.indexed = expire
                if not self.next_due or expire < self.next_due:
                    self.next_due = expire
            try:
                record = value.record()
            except struct.error as error:
                # It had more members than its count said, and all were removed.
                raise encoding.DamagedRecord('the number of its members is wrong', (meta_key,)) from error
            if len(record) > MAX_CACHED_RECORD:
                self._heavy.append(meta_key)
            overlay.put(meta_key, record)
        self._dirty.clear()
        if self._counts_changed:
            for prefix in self._counts_changed:
                overlay.put(encoding.count_key(prefix[1:]), encoding.u64(max(0, self._counts[prefix])))
            self._counts_changed.clear()

    def place(self, meta_key: bytes) -> tuple[int, bytes] | None:
        """Return the database and key of an entry of `touched`; None if the database was flushed since."""
        try:
            db = self.prefixes.index(meta_key[: encoding.META_PREFIX_SIZE])
        except ValueError:
            return None
        return db, meta_key[encoding.META_PREFIX_SIZE :]

    def note_save(self) -> None:
        """Reset the count of changes."""
        self.write_changes()
        self.changes = 0

    def has_changes(self) -> bool:
        """Return whether anything was changed since the last commit."""
        return bool(self._dirty or self.overlay.pending)

    def commit(self) -> bool:
        """Write everything since the last commit, as one batch.

        Returns:
            Whether there was anything.

        Raises:
            WriteRefused: nothing was written; the caller rolls back and reopens.
        """
        if self._dirty:
            self._write_changes()
        wrote = self.overlay.commit()
        if self._heavy:
            for meta_key in self._heavy:
                self._cache.pop(meta_key, None)
            self._heavy.clear()
        if len(self._cache) > MAX_CACHED_VALUES:
            self.trim()
        return wrote

    def memory_usage(self, value: Value) -> int:
        """Return the size of a value's records in bytes, estimated from a sample if there are many."""
        record = value.record()
        size = len(value.meta_key) + len(record)
        version = encoding.meta_version(record)
        return size + self._members_size(version, value) if version else size

    def _members_size(self, version: int, value: Value) -> int:
        prefix = encoding.members_prefix(version)
        sampled = records = 0
        for key, record in islice(self.overlay.scan_prefix(prefix), _SAMPLED):
            sampled += len(key) + len(record)
            records += 1
        if records < _SAMPLED:
            return sampled
        # LevelDB knows only the size of what has left its log.
        on_disk = self.engine.approximate_size(prefix, encoding.after(prefix))
        return max(on_disk, sampled, sampled * (len(value) if isinstance(value, Sized) else 0) // records)

    def size_on_disk(self) -> int:
        """Return the size of LevelDB's files in bytes."""
        return self.engine.size_on_disk()

    def cached(self) -> int:
        """Return how many lookups are cached."""
        return len(self._cache)

    def trim(self) -> None:
        """Drop the values that were cached first; only between transactions."""
        excess = len(self._cache) - MAX_CACHED_VALUES // 2
        for meta_key in list(self._cache)[:excess]:
            del self._cache[meta_key]

    def rollback(self) -> None:
        """Forget everything since the last commit."""
        self._load()
        self.touched.clear()
        self.woken.clear()
        self.rollbacks += 1

    def came_due(self, meta_key: bytes, due: int) -> None:
        """Remove a key whose entry was just taken from the expiry index, or have its entry rewritten.

        Args:
            meta_key: the key of the entry.
            due: Unix time in ms of the entry.
        """
        value = self._lookup(meta_key)
        if value is not None and value.indexed == due:
            # It was postponed since, which only its meta record shows.
            value.indexed = 0
            self._dirty[meta_key] = value

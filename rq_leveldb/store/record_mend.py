"""The repair of inconsistent records: everything is rebuilt from what can be read.

A value with missing members is rebuilt from the remaining ones, by the types themselves. Members without a key become a
key again, under a name that says so. Counts and indexes are rebuilt. Nothing that can be read is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rq_leveldb.location import DATABASES
from rq_leveldb.store import encoding
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.finding import Finding
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.record_check import Broken, Survey
from rq_leveldb.store.types.consumer_group import Consumer
from rq_leveldb.store.types.hash import Hash
from rq_leveldb.store.types.list import List
from rq_leveldb.store.types.set import Set
from rq_leveldb.store.types.sorted_set import SortedSet
from rq_leveldb.store.types.stream import Stream
from rq_leveldb.store.types.value import Value

_AT_ONCE = 10_000
"""Members between two batches."""
_SOME = 20
"""How many items of a counted finding are named."""

Words = Callable[[bytes], str]


def mend(engine: Engine, survey: Survey, words: Words) -> list[Finding]:
    """Repair what a survey found; another survey may find what this revealed.

    Args:
        engine: the database, which nobody else uses.
        survey: what was found.
        words: returns a LevelDB key in words.

    Returns:
        What was wrong, and what was done about it.

    Raises:
        WriteRefused: the disk takes no more data.
    """
    findings = list(_mend_own(engine, survey, words))
    keyspace = Keyspace(engine)
    for broken in survey.broken:
        finding = _Rebuilding(keyspace, broken).run(words)
        if finding is not None:
            findings.append(finding)
        keyspace.commit()
    for meta_key in survey.unindexed:
        place = keyspace.place(meta_key)
        value = keyspace.find(*place) if place is not None else None
        if value is not None:
            value.indexed = 0
            keyspace.kept(value)
        keyspace.commit()
    if survey.unindexed:
        some = ', '.join(map(words, survey.unindexed[:_SOME]))
        problem = f'{len(survey.unindexed)} keys would not expire, or too late: {some}'
        findings.append(Finding('index of expiry', problem, 'they are entered again'))
    if survey.stray:
        for entry in survey.stray:
            keyspace.overlay.delete(entry)
        keyspace.commit()
        problem = f'{len(survey.stray)} entries belong to no key'
        findings.append(Finding('index of expiry', problem, 'they are removed', harmless=True))
    findings += _recount(engine, survey)
    return findings


def _mend_own(engine: Engine, survey: Survey, words: Words) -> Iterator[Finding]:
    records: dict[bytes, bytes | None] = dict.fromkeys(survey.unreadable)
    for key in survey.unreadable:
        yield Finding(words(key), 'its record makes no sense', 'it is removed', first=key, last=key)
    for version in survey.swept:
        records[encoding.garbage_key(version)] = None
        yield Finding(f'the members of version {version}', 'they were about to be removed', 'they stay')
    if survey.numbers_used_again:
        what = ' and '.join(survey.numbers_used_again)
        yield Finding(
            'numbers that were given out', f'{what} would be given out again', 'they begin behind the last one'
        )
        records[encoding.NEXT_VERSION_KEY] = encoding.u64(survey.next_version)
        records[encoding.NEXT_NAMESPACE_KEY] = encoding.u32(max(survey.next_namespace, DATABASES))
    free = [
        db
        for db, namespace in enumerate(survey.namespaces)
        if namespace in survey.awaited or db in survey.shared or not survey.counts.get(namespace)
    ]
    # Those whose keys are to be removed come first: they had another namespace.
    free.sort(key=lambda db: db not in survey.shared and survey.namespaces[db] not in survey.awaited)
    for namespace, db in zip(survey.homeless, free, strict=False):
        records[encoding.namespace_key(db)] = namespace
        problem = f'its name is lost ({survey.counts[namespace]} keys)'
        yield Finding('a database', problem, f'it becomes database {db}')
    for namespace in survey.homeless[len(free) :]:
        records[encoding.garbage_namespace_key(namespace)] = b''
        problem = f'its name is lost ({survey.counts[namespace]} keys), and no number is free for it'
        yield Finding('a database', problem, 'it is removed')
    for number, db in enumerate(set(survey.shared) - set(free[: len(survey.homeless)])):
        records[encoding.namespace_key(db)] = encoding.u32(survey.next_namespace + number)
        records[encoding.NEXT_NAMESPACE_KEY] = encoding.u32(max(survey.next_namespace + number + 1, DATABASES))
        yield Finding(f'database {db}', 'it shows the keys of another one', 'it is empty')
    if records:
        engine.write(records)


def _recount(engine: Engine, survey: Survey) -> Iterator[Finding]:
    if not (survey.wrong_counts or survey.broken or survey.unreadable):
        return
    counts = dict.fromkeys(survey.counts, 0)
    for key, _ in engine.scan(encoding.META_PREFIX, encoding.after(encoding.META_PREFIX)):
        namespace = key[1 : encoding.META_PREFIX_SIZE]
        if namespace in counts:
            counts[namespace] += 1
    engine.write({encoding.count_key(namespace): encoding.u64(count) for namespace, count in counts.items()})
    for namespace, said in survey.wrong_counts.items():
        found = survey.counts[namespace]
        where = f'database {survey.namespaces.index(namespace)}' if namespace in survey.namespaces else 'a database'
        problem = f'it should hold {said} keys and holds {found}' + (
            f': {said - found} are lost' if said > found else ''
        )
        yield Finding(where, problem, 'they are counted again')


class _Rebuilding:
    """The rebuilding of one value."""

    def __init__(self, keyspace: Keyspace, broken: Broken) -> None:
        self._keyspace = keyspace
        self._overlay = keyspace.overlay
        self._broken = broken
        self._written = 0

    def run(self, words: Words) -> Finding | None:
        """Rebuild the value; return what was wrong, or None if nothing was left of it anyway."""
        keyspace, broken = self._keyspace, self._broken
        name, rebuild = _TYPES.get(broken.type_code, ('value', None))
        if broken.meta_key:
            place = keyspace.place(broken.meta_key)
            if place is None:
                return None
            where = words(broken.meta_key)
        else:
            place = None
            where = f'a {name}'
        record = self._overlay.get(broken.meta_key) if broken.meta_key else None
        value = rebuild(self, record) if rebuild is not None else None
        if place is None:
            place = 0, f'found:{name}:{broken.version}'.encode()
        if value is None or (value.is_empty()):
            keyspace.delete(*place)
            remedy = 'nothing is left of it'
        else:
            if record is not None:
                value.expire = encoding.meta_header(record)[1]
            count = len(value)  # type: ignore[arg-type]
            keyspace.put(*place, value)
            remedy = f'it is made anew with {count}' + (f' of {broken.count}' if broken.meta_key else '')
            if not broken.meta_key:
                remedy += f', as {place[1].decode()} in database 0'
        self._overlay.abandon(broken.version)
        return Finding(where, broken.problem, remedy, first=broken.meta_key or None, last=broken.meta_key or None)

    def _members(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Return the members' keys without the prefix, and their values."""
        size = len(prefix)
        for key, value in self._keyspace.engine.scan(prefix, encoding.after(prefix)):
            yield key[size:], value
            self._written += 1
            if self._written % _AT_ONCE == 0:
                self._overlay.commit()

    def _new_version(self) -> tuple[Overlay, int]:
        return self._overlay, self._overlay.new_version()

    def _list(self, record: bytes | None) -> Value:
        version = self._broken.version
        value = List(*self._new_version())
        elsewhere = self._known_elsewhere(record) if record is not None else []
        elsewhere.reverse()
        for rest, stored in self._members(encoding.members_prefix(version) + b'p'):
            while elsewhere and elsewhere[-1][0] < encoding.read_u64(rest):
                value.push(elsewhere.pop()[1])
            value.push(stored[encoding.LIST_ELEMENT_OFFSET :])
        while elsewhere:
            value.push(elsewhere.pop()[1])
        return value

    def _known_elsewhere(self, record: bytes) -> list[tuple[int, bytes]]:
        """Return, in order, the positions and elements known only from the records that index elements."""
        version, head, tail, count = encoding.read_list_body(record)
        positions = encoding.members_prefix(version) + b'p'
        if sum(1 for _ in self._members(positions)) >= count:
            return []
        found = []
        for tag in (b'v', b'w'):
            for rest, stored in self._members(encoding.members_prefix(version) + tag):
                place, identity = (stored, rest) if tag == b'v' else (rest[-8:], rest[:-8])
                element = identity[1:]
                # Of a long one only a digest is known; for one that occurs often, the other tag has the positions.
                if len(place) != 8 or identity[:1] != bytes((len(element) & 0xFF,)) or len(element) > 64:
                    continue
                position = encoding.read_u64(place)
                if head <= position < tail and self._overlay.get(positions + place) is None:
                    found.append((position, element))
        return sorted(found)

    def _set(self, record: bytes | None) -> Value:
        value = Set(*self._new_version())
        for rest, _ in self._members(encoding.scattered_members(self._broken.version, Set.tag)):
            value.add(rest[encoding.CHECKSUM_SIZE :])
        return value

    def _hash(self, record: bytes | None) -> Value:
        value = Hash(*self._new_version())
        for rest, stored in self._members(encoding.scattered_members(self._broken.version, Hash.tag)):
            value.set(rest[encoding.CHECKSUM_SIZE :], stored)
        return value

    def _sorted_set(self, record: bytes | None) -> Value:
        value = SortedSet(*self._new_version())
        members = encoding.scattered_members(self._broken.version, encoding.SORTED_SET_TAG)
        entries = encoding.sorted_set_entries(self._broken.version)
        count = self._broken.count if record is not None else 0
        of_members = sum(1 for _ in self._members(members))
        if of_members != count:
            for rest, _ in self._members(entries):
                value.set(rest[encoding.SCORE_SIZE :], encoding.read_score(rest))
        if of_members == count or len(value) != count:
            for rest, score in self._members(members):
                value.set(rest[encoding.CHECKSUM_SIZE :], encoding.read_score(score))
        return value

    def _stream(self, record: bytes | None) -> Value:
        value = Stream(*self._new_version())
        version = self._broken.version
        for rest, data in self._members(encoding.stream_entries(version)):
            value.append(encoding.read_stream_id(rest), encoding.read_strings_body(data))
        if record is not None:
            body = encoding.read_stream_body(record)
            value.last = max(value.last, body.last)
            value.added = max(value.added, body.added)
            value.deleted = body.deleted
        for name, stored in self._members(encoding.stream_groups(version)):
            number, last, read, _, _ = encoding.read_group_record(stored)
            group = value.create_group(name, last, read if read is not None and read <= value.added else None)
            consumers: dict[bytes, Consumer] = {}
            for consumer_name, told in self._members(encoding.group_consumers(version, number)):
                seen, active, _ = encoding.read_consumer_record(told)
                consumer = consumers[consumer_name] = group.add_consumer(consumer_name, seen)
                consumer.active = active
            for rest, told in self._members(encoding.group_pending(version, number)):
                if rest == encoding.BEHIND_STREAM_IDS:
                    continue
                delivered, times, consumer_name = encoding.read_pending_record(told)
                if consumer_name not in consumers:
                    consumers[consumer_name] = group.add_consumer(consumer_name, delivered)
                group.deliver(encoding.read_stream_id(rest), consumers[consumer_name], delivered, times)
            group.save()
        return value


_TYPES: dict[int, tuple[str, Callable[[_Rebuilding, bytes | None], Value]]] = {
    encoding.TYPE_LIST: ('list', _Rebuilding._list),
    encoding.TYPE_SET: ('set', _Rebuilding._set),
    encoding.TYPE_LARGE_HASH: ('hash', _Rebuilding._hash),
    encoding.TYPE_SORTED_SET: ('sorted set', _Rebuilding._sorted_set),
    encoding.TYPE_STREAM: ('stream', _Rebuilding._stream),
}

"""The check of all records for consistency in one pass (docs/format.rst describes the format).

The records come in order, members before the keys that they belong to. Memory holds one small object for each large
value, and nothing for small values or members. Records that must match in pairs, such as a sorted set's member and its
entry, are added up on the way: the sums are equal if the pairs match. The whole pass is in this file, with a short
reader for each type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from zlib import crc32

from rq_leveldb.location import DATABASES
from rq_leveldb.store import encoding
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.holes import SIZES, Holes

_UNREADABLE = (ValueError, IndexError, struct.error)
_EVERY = 1000

Progress = Callable[[int, int], None]


@dataclass
class Broken:
    """A value whose records are inconsistent.

    Args:
        meta_key: its key; b'' if no key owns it.
        type_code: its type.
        version: of its members; 0 if they are in the meta record.
        problem: what is wrong, in words.
        count: how many members it had, as its meta record says.
    """

    meta_key: bytes
    type_code: int
    version: int
    problem: str
    count: int = 0


@dataclass
class Survey:
    """The result of the check, with what a repair needs to know.

    Args:
        broken: inconsistent values.
        unreadable: invalid or unknown records.
        unindexed: keys with an expiry that the expiry index lacks.
        stray: entries of the expiry index without such a key.
        swept: versions that have an owner but would be swept.
        counts: how many keys each namespace holds.
        wrong_counts: namespaces, and their recorded number of keys.
        namespaces: of the databases.
        shared: databases with the same namespace as another one.
        awaited: namespaces whose keys are to be swept.
        homeless: namespaces with keys that belong to no database.
        next_version: the first version that no record has.
        next_namespace: the first namespace that no record has.
        numbers_used_again: in words, which numbers would be issued a second time.
        keys: how many keys were checked.
        records: how many records.
    """

    broken: list[Broken] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    unindexed: list[bytes] = field(default_factory=list)
    stray: list[bytes] = field(default_factory=list)
    swept: list[int] = field(default_factory=list)
    counts: dict[bytes, int] = field(default_factory=dict)
    wrong_counts: dict[bytes, int] = field(default_factory=dict)
    namespaces: list[bytes] = field(default_factory=list)
    shared: list[int] = field(default_factory=list)
    awaited: set[bytes] = field(default_factory=set)
    homeless: list[bytes] = field(default_factory=list)
    next_version: int = 1
    next_namespace: int = 0
    numbers_used_again: list[str] = field(default_factory=list)
    keys: int = 0
    records: int = 0

    def is_sound(self) -> bool:
        """Return whether nothing was found."""
        found = (self.broken, self.unreadable, self.unindexed, self.stray, self.swept, self.wrong_counts)
        return not any((*found, self.homeless, self.shared, self.numbers_used_again))


@dataclass(eq=False, slots=True)
class _Members:
    """The members of one version: their number, their range, and whether pairs match."""

    type_code: int = 0
    count: int = 0  # of elements, fields, members or entries
    holes: int = 0  # of a list
    others: int = 0  # sorted set: entries; list: records of holes
    number: int = 0  # the greatest that a group of a stream has
    balance: int = 0
    low: bytes = b''
    high: bytes = b''
    problem: str = ''
    owner: bytes = b''


class RecordCheck:
    """The pass over all records, in order.

    Args:
        engine: an open database that nobody changes meanwhile.
        progress: in thousandths.
    """

    def __init__(self, engine: Engine, progress: Progress) -> None:
        self._engine = engine
        self._progress = progress
        self._survey = Survey()
        self._values: dict[int, _Members] = {}
        self._size = engine.approximate_size(b'', b'\xff') or 1

    def run(self) -> Survey:
        """Return what was found.

        Raises:
            ReadFailed: LevelDB cannot read its files.
        """
        survey = self._survey
        self._databases()
        self._read_members()
        self._read_keys()
        self._orphans()
        self._numbers()
        self._foreign_records()
        return survey

    def owner(self, version: int) -> bytes:
        """Return the key that the members of a version belong to; b'' if unknown."""
        members = self._values.get(version)
        return b'' if members is None else members.owner

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        survey = self._survey
        for record in self._engine.scan(prefix, encoding.after(prefix)):
            survey.records += 1
            if survey.records % _EVERY == 0:
                done = self._engine.approximate_size(b'', record[0])
                self._progress(min(999, done * 1000 // self._size), 1000)
            yield record

    def _databases(self) -> None:
        survey = self._survey
        stored = [self._engine.get(encoding.namespace_key(db)) for db in range(DATABASES)]
        said = set(stored)
        for db, namespace in enumerate(stored):
            if namespace is None:
                namespace = encoding.u32(db)
                if namespace in said:
                    survey.shared.append(db)
            survey.namespaces.append(namespace)
        survey.counts = dict.fromkeys(survey.namespaces, 0)

    # -- members

    def _read_members(self) -> None:
        reader = _Reader(self._engine, -1, _Members())
        for key, value in self._scan(encoding.MEMBER_PREFIX):
            try:
                version, tag, rest = encoding.split_member_key(key)
            except _UNREADABLE:
                self._survey.unreadable.append(key)
                continue
            if version != reader.version:
                reader.finish()
                members = self._values[version] = _Members()
                reader = _Reader(self._engine, version, members)
            try:
                reader.read(tag, rest, value)
            except _UNREADABLE:
                self._survey.unreadable.append(key)
                reader.members.problem = reader.members.problem or 'one of its records cannot be read'
        reader.finish()

    # -- keys

    def _read_keys(self) -> None:
        survey, engine = self._survey, self._engine
        living = set(survey.namespaces)
        awaited = survey.awaited = {key[1:] for key, _ in self._scan(encoding.GARBAGE_NAMESPACE_PREFIX)}
        index = 0
        for key, record in self._scan(encoding.META_PREFIX):
            namespace = key[1 : encoding.META_PREFIX_SIZE]
            try:
                type_code, expire, indexed = encoding.meta_header(record)
                version = encoding.meta_version(record)
            except _UNREADABLE:
                survey.unreadable.append(key)
                continue
            if len(namespace) < encoding.NAMESPACE_SIZE:
                survey.unreadable.append(key)
                continue
            if namespace in awaited and namespace not in living:
                members = self._values.get(version)
                if members is not None:
                    members.owner = key
                continue
            if namespace not in survey.counts:
                survey.homeless.append(namespace)
                survey.counts[namespace] = 0
            try:
                problem, count = self._value(key, record, type_code, version)
            except _UNREADABLE:
                survey.unreadable.append(key)
                continue
            survey.keys += 1
            survey.counts[namespace] += 1
            if problem:
                survey.broken.append(Broken(key, type_code, version, problem, count))
            if indexed:
                index += hash((indexed, key))
            if expire and (not indexed or indexed > expire):
                survey.unindexed.append(key)
        for key, _ in self._scan(encoding.EXPIRY_PREFIX):
            try:
                due, meta_key = encoding.split_expiry_key(key)
            except _UNREADABLE:
                survey.unreadable.append(key)
                continue
            namespace = meta_key[1 : encoding.META_PREFIX_SIZE]
            if namespace in living or namespace not in awaited:
                index -= hash((due, meta_key))
        if index:
            self._compare_index(living, awaited)
        for namespace, count in survey.counts.items():
            stored = engine.get(encoding.count_key(namespace))
            said = encoding.read_u64(stored) if stored is not None and len(stored) == 8 else 0
            if said != count:
                survey.wrong_counts[namespace] = said

    def _compare_index(self, living: set[bytes], awaited: set[bytes]) -> None:
        survey, engine = self._survey, self._engine
        known = set(survey.unindexed)
        for key, record in self._scan(encoding.META_PREFIX):
            if len(record) < 17 or (key[1 : encoding.META_PREFIX_SIZE] not in living and key[1:5] in awaited):
                continue
            _, _, indexed = encoding.meta_header(record)
            if indexed and key not in known and engine.get(encoding.expiry_key(indexed, key)) is None:
                survey.unindexed.append(key)
        for entry, _ in self._scan(encoding.EXPIRY_PREFIX):
            due, meta_key = encoding.due_key(entry)
            found = engine.get(meta_key)
            if found is None or len(found) < 17 or encoding.meta_header(found)[2] != due:
                survey.stray.append(entry)

    def _value(self, key: bytes, record: bytes, type_code: int, version: int) -> tuple[str, int]:
        """Return what is wrong with a value, '' if nothing is; and how many members it should have.

        Raises:
            ValueError: its record is invalid.
        """
        if type_code == encoding.TYPE_STRING:
            return '', 0
        if type_code in encoding.SMALL_TYPES:
            return _small(record, type_code), 0
        if type_code not in encoding.LARGE_TYPES:
            raise ValueError('an unknown type')
        if type_code == encoding.TYPE_LIST:
            count = encoding.read_list_body(record)[3]
        else:
            count = encoding.read_counted_body(record)[1]
        members = self._values.get(version)
        if members is None:
            if type_code == encoding.TYPE_STREAM and not count:
                return self._said_by(record), 0
            return f'all of its {count} members are missing', count
        if members.owner:
            return 'it shares its members with another key', count
        members.owner = key
        if self._engine.get(encoding.garbage_key(version)) is not None:
            self._survey.swept.append(version)
        if members.type_code != type_code and not (type_code == encoding.TYPE_STREAM and not members.type_code):
            return 'its members are of another type', count
        if members.problem:
            return members.problem, count
        problem = self._said_by(record)
        if problem:
            return problem, count
        if members.count != count:
            return f'it has {members.count} members, but its header says {count}', count
        if type_code == encoding.TYPE_LIST:
            return self._list(record, members), count
        if type_code == encoding.TYPE_SORTED_SET:
            floor = encoding.read_sorted_set_body(record)[2]
            return ('its lowest member is below its recorded minimum' if floor > members.low else ''), count
        if type_code == encoding.TYPE_STREAM:
            body = encoding.read_stream_body(record)
            if count and not (
                encoding.stream_id(*body.floor) <= members.low and members.high <= encoding.stream_id(*body.last)
            ):
                return 'its entries are outside its recorded range of ids', count
        return '', count

    def _said_by(self, record: bytes) -> str:
        """Return what is impossible in a large value's record."""
        try:
            encoding.check_large(record)
            if record[0] == encoding.TYPE_STREAM:
                encoding.check_number(encoding.read_stream_body(record).added)
        except encoding.DamagedRecord as error:
            return error.reason
        return ''

    def _list(self, record: bytes, members: _Members) -> str:
        version, head, tail, count = encoding.read_list_body(record)
        low, high = encoding.read_u64(members.low), encoding.read_u64(members.high)
        if not head <= low <= high < tail:
            return 'its elements are outside its recorded ends'
        if tail - head == count:
            return 'it has hole records but no holes' if members.others else ''
        if members.holes != tail - head - count:
            return 'its holes do not match their records'
        holes = Holes(Overlay(self._engine), version)
        before = head - 1
        number = 0
        prefix = encoding.list_position(version, 0)[: -len(members.low)]
        try:
            for key, _ in self._engine.scan(prefix, encoding.after(prefix)):
                position = encoding.read_u64(key, len(prefix))
                if position != before + 1 and holes.before(head, position) != position - head - number:
                    return 'its holes do not match their records'
                before = position
                number += 1
            if holes.before(head, tail) != tail - head - count or holes.select(head, count - 1) != high:
                return 'its holes do not match their records'
        except _UNREADABLE:
            return 'its holes do not match their records'
        return ''

    # -- what is left

    def _orphans(self) -> None:
        for version, members in self._values.items():
            if not members.owner and self._engine.get(encoding.garbage_key(version)) is None:
                self._survey.broken.append(Broken(b'', members.type_code, version, 'its key is lost', members.count))

    def _numbers(self) -> None:
        survey, engine = self._survey, self._engine
        last = max((*self._values, *(members.number for members in self._values.values())), default=0)
        for key, _ in self._scan(encoding.GARBAGE_PREFIX):
            if len(key) == 9:
                last = max(last, encoding.read_u64(key, 1))
        survey.next_version = last + 1
        stored = engine.get(encoding.NEXT_VERSION_KEY)
        if last and (stored is None or len(stored) != 8 or encoding.read_u64(stored) <= last):
            survey.numbers_used_again.append('versions of values')
        used = [
            *survey.counts,
            *(namespace for namespace in survey.awaited if len(namespace) == encoding.NAMESPACE_SIZE),
        ]
        survey.next_namespace = max(encoding.read_u32(namespace) for namespace in used) + 1
        stored = engine.get(encoding.NEXT_NAMESPACE_KEY)
        said = encoding.read_u32(stored) if stored is not None and len(stored) == 4 else DATABASES
        if said < survey.next_namespace:
            survey.numbers_used_again.append('namespaces')

    def _foreign_records(self) -> None:
        """Find records whose keys begin unlike any of the store's."""
        start = b''
        for prefix in sorted(encoding.PREFIXES):
            self._survey.unreadable.extend(key for key, _ in self._engine.scan(start, prefix))
            start = encoding.after(prefix)
        self._survey.unreadable.extend(key for key, _ in self._engine.scan(start, b'\xff' * 64))


def _small(record: bytes, type_code: int) -> str:
    """Return what is wrong with a value that is stored in its meta record.

    Raises:
        ValueError: it is invalid.
    """
    parts = encoding.check_small(record)
    if type_code == encoding.TYPE_SMALL_STREAM:
        body = encoding.read_stream_body(record)
        encoding.check_number(body.added)
        ids = parts[::2]
        for data in parts[1::2]:
            encoding.check_strings(data)
        if len(parts) % 2 or any(len(one) != encoding.STREAM_ID_SIZE for one in ids):
            raise ValueError('entries without ids')
        if ids != sorted(set(ids)) or len(ids) != body.count or (ids and ids[-1] > encoding.stream_id(*body.last)):
            raise ValueError('its entries do not match its header')
        return ''
    names = parts if type_code == encoding.TYPE_SMALL_SET else parts[::2]
    if not parts or (type_code == encoding.TYPE_SMALL_HASH and len(parts) % 2) or len(set(names)) != len(names):
        raise ValueError('its members do not match its header')
    return ''


@dataclass(eq=False, slots=True)
class _Reader:
    """The reader of the members of one version, in order.

    Args:
        members: gets the totals.
    """

    _engine: Engine
    version: int
    members: _Members
    _repeated: int = 0  # elements of a list that may occur twice
    _element: bytes = b''  # the one of them whose positions are read
    _positions: list[int] = field(default_factory=list)  # the first one, and how many
    # Of a stream: what each group records, and what exists.
    _groups: dict[int, list[int]] = field(default_factory=dict)
    _said: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    _consumers: dict[tuple[int, bytes], int] = field(default_factory=dict)
    _lowest: dict[int, bytes] = field(default_factory=dict)

    def read(self, tag: bytes, rest: bytes, value: bytes) -> None:
        """Check one record.

        Raises:
            ValueError: the record is invalid.
        """
        type_code = _TYPES.get(tag)
        if tag == b'p':
            type_code = encoding.TYPE_LIST if len(rest) == 8 else encoding.TYPE_STREAM
        if type_code is None:
            raise ValueError('an unknown kind of member')
        members = self.members
        if members.type_code != type_code:
            if members.type_code:
                members.problem = members.problem or 'its members are of several types'
                return
            members.type_code = type_code
        if tag in (b'f', b'm'):
            self._scattered(rest)
            if tag == b'm' and value:
                raise ValueError('a member with a value')
            members.count += 1
        elif type_code == encoding.TYPE_LIST:
            self._list(tag, rest, value)
        elif type_code == encoding.TYPE_SORTED_SET:
            self._sorted_set(tag, rest, value)
        else:
            self._stream(tag, rest, value)

    def _scattered(self, rest: bytes) -> bytes:
        name = rest[encoding.CHECKSUM_SIZE :]
        if encoding.read_u32(rest) != crc32(name):
            raise ValueError('a wrong checksum')
        return name

    def _end(self, place: bytes) -> None:
        members = self.members
        if not members.count:
            members.low = place
        members.high = place
        members.count += 1

    def _list(self, tag: bytes, rest: bytes, value: bytes) -> None:
        members = self.members
        if tag == b'p':
            often = value[: encoding.LIST_ELEMENT_OFFSET]
            if often not in (encoding.LIST_ONCE, encoding.LIST_OFTEN):
                raise ValueError('an element without a mark')
            identity = encoding.list_element_id(value[encoding.LIST_ELEMENT_OFFSET :])
            members.balance += hash((often == encoding.LIST_OFTEN, identity, rest))
            self._end(rest)
        elif tag == b'v':
            if len(value) == 8:
                members.balance -= hash((False, rest, value))
            else:
                encoding.read_occurrences_record(value)
                self._repeated += 1
        elif tag == b'w':
            element, position = rest[:-8], rest[-8:]
            if len(position) < 8:
                raise ValueError('a position that is too short')
            members.balance -= hash((True, element, position))
            if element != self._element:
                self._finish_element()
                self._element = element
                self._positions = [encoding.read_u64(position), 0]
            self._positions[1] += 1
        else:
            if len(rest) != 9 or not 1 <= rest[0] <= encoding.LIST_HOLES_LEVELS:
                raise ValueError('holes in no level')
            self._holes(rest[0], encoding.read_u64(rest, 1), value)
            members.others += 1

    def _holes(self, level: int, block: int, value: bytes) -> None:
        """Add up the holes of a block, which must equal what the block above records for it."""
        members = self.members
        if level == 1:
            number = encoding.read_u64(value).bit_count()
        else:
            counts = encoding.read_holes_record(level, value)
            size = SIZES[level - 1]
            for slot, count in enumerate(counts):
                if count > size:
                    raise ValueError('more holes than positions')
                if 0 < count < size:
                    members.balance -= hash((level - 1, (block << 6) + slot, count))
            number = sum(counts)
        if level == encoding.LIST_HOLES_LEVELS:
            members.holes += number
        else:
            members.balance += hash((level, block, number))

    def _finish_element(self) -> None:
        if not self._element:
            return
        first, count = self._positions
        self._repeated -= 1
        stored = self._engine.get(encoding.list_value(self.version, self._element))
        said = None if stored is None else encoding.read_occurrences_record(stored)
        if said is None or said[0] != count or said[1] > first:
            self._wrong('it does not know where an element stands that it holds several times')
        self._element = b''

    def _sorted_set(self, tag: bytes, rest: bytes, value: bytes) -> None:
        members = self.members
        if tag == b's':
            member = self._scattered(rest)
            if len(value) != encoding.SCORE_SIZE:
                raise ValueError('a score of another length')
            members.balance += hash(value + member)
            members.count += 1
        else:
            if len(rest) < encoding.SCORE_SIZE:
                raise ValueError('an entry without a score')
            members.balance -= hash(rest)
            members.low = members.low or rest
            members.others += 1

    def _stream(self, tag: bytes, rest: bytes, value: bytes) -> None:
        members = self.members
        if tag == b'x':
            if len(rest) != encoding.STREAM_ID_SIZE or len(encoding.check_strings(value)) % 2:
                raise ValueError('an entry without an id')
            self._end(rest)
            return
        if tag == b'g':
            number, _, _, pending, floor = encoding.read_group_record(value)
            self._said[number] = pending, encoding.stream_id(*floor)
            members.number = max(members.number, number)
            return
        number = encoding.read_u64(rest)
        rest = rest[8:]
        group = self._groups.setdefault(number, [0, 0])
        if tag == b'c':
            self._consumers[number, rest] = (
                self._consumers.get((number, rest), 0) + encoding.read_consumer_record(value)[2]
            )
        elif tag == b'p':
            if rest == encoding.BEHIND_STREAM_IDS:
                group[1] += 1
                return
            consumer = encoding.read_pending_record(value)[2]
            if len(rest) != encoding.STREAM_ID_SIZE:
                raise ValueError('a pending entry without an id')
            self._lowest.setdefault(number, rest)
            group[0] += 1
            members.balance += hash((number, consumer, rest))
        else:
            size = encoding.read_u32(rest)
            consumer, place = rest[4 : 4 + size], rest[4 + size :]
            if (number, consumer) not in self._consumers:
                self._wrong('a consumer is missing')
            if place == encoding.BEHIND_STREAM_IDS:
                return
            if len(place) != encoding.STREAM_ID_SIZE:
                raise ValueError('a pending entry without an id')
            self._consumers[number, consumer] = self._consumers.get((number, consumer), 0) - 1
            members.balance -= hash((number, consumer, place))

    def _wrong(self, problem: str) -> None:
        self.members.problem = self.members.problem or problem

    def finish(self) -> None:
        """Check the totals after the last record."""
        members = self.members
        try:
            self._finish_element()
        except _UNREADABLE:
            self._wrong('it does not know where an element stands that it holds several times')
        if members.type_code == encoding.TYPE_SORTED_SET and (members.balance or members.others != members.count):
            self._wrong('its members and their order do not agree')
        elif members.type_code == encoding.TYPE_LIST and (members.balance or self._repeated):
            self._wrong('its elements and their positions do not agree')
        elif members.type_code == encoding.TYPE_STREAM:
            wrong = bool(members.balance) or any(self._consumers.values()) or set(self._groups) != set(self._said)
            for number, (pending, floor) in self._said.items():
                found = self._groups.get(number, [0, 0])
                wrong = wrong or found != [pending, 1] or floor > self._lowest.get(number, floor)
            if wrong:
                self._wrong('its consumer groups do not agree with what is pending')


_TYPES = {
    b'f': encoding.TYPE_LARGE_HASH,
    b'm': encoding.TYPE_SET,
    **dict.fromkeys((b'v', b'w', b'h'), encoding.TYPE_LIST),
    **dict.fromkeys((b's', b'z'), encoding.TYPE_SORTED_SET),
    **dict.fromkeys((b'x', b'g', b'c', b'q'), encoding.TYPE_STREAM),
}
"""The types of members by their tags, but for p, which lists and streams have."""

r"""The byte layout of the database, and its version; pure (docs/format.rst explains it).

No other module knows the byte layout, so all of it is in this one, although that makes it long.

::

    \x00 format                    -> the format's version, decimal
    \x00 batches                   -> how many batches were written, including this one, 8 bytes
    \x00 version                   -> the first incarnation that no earlier run can have used, 8 bytes
    \x00 next namespace           -> the first namespace that no database ever had, 4 bytes
    \x00 namespace  db             -> the namespace that holds the keys of database `db`, 4 bytes
    \x00 count  namespace          -> how many keys the namespace holds, 8 bytes
    M namespace key                -> the meta record of a key
    D version tag ...              -> a member of the value whose incarnation is `version`
    X due namespace key            -> the key has to be checked when the clock (ms) passes `due`
    G version                      -> the members of `version` have no owner: to be swept
    N namespace                    -> the keys of `namespace` have no owner: to be swept

Numbers are big-endian, so that LevelDB sorts them by value. A meta record is ``type expire indexed body``: one byte,
then twice 8 bytes of Unix time in ms (0: never). `indexed` is the `due` of the key's one valid entry under X. It may be
earlier than `expire`, since postponing an expiry writes only the meta record.

====  ==============================================================================
type  body
====  ==============================================================================
 1    string: its bytes
 2    list: version, head, tail, count (8 bytes each); head <= position < tail
 3    set, large: version, count
 4    sorted set: version, count, then a score-and-member below which there is none
 5    hash, small: count of fields and values (4 bytes), their lengths (4 bytes each), their bytes
 6    hash, large: version, count
 7    stream, large: version, count, last id, entries added, greatest deleted id, an id below which there is none
 8    set, small: its members, as a small hash's fields
 9    stream, small: as 7, then for each entry its id (16 bytes) and its fields and values, as a small hash's
====  ==============================================================================

Members, under ``D version``:

==========  =====================================================  ====================
of          key                                                    value
==========  =====================================================  ====================
hash        ``f checksum field``                                   the field's value
set         ``m checksum member``                                  nothing
list        ``p position``                                         1 byte: 1 if the element may occur twice; the element
list        ``v element-id``                                       its position; or, if it may occur twice, how often it
                                                                   does and a position below which it does not
list        ``w element-id position``                              nothing; only of elements that may occur twice
list        ``h level block``                                      which positions, or how many below, are holes
sorted set  ``s checksum member``                                  score, 8 bytes
sorted set  ``z score member``                                     nothing
stream      ``x ms seq``                                           fields and values, as a small hash
stream      ``g group``                                            number, last id, entries read, pending, an id below
                                                                   which none is pending
stream      ``c number consumer``                                  seen, active, pending
stream      ``p number ms seq``                                    delivered, times delivered, consumer
stream      ``p number``, then 17 times ``\xff``                    nothing
stream      ``q number size consumer ms seq``                      nothing
stream      ``q number size consumer``, then 17 times ``\xff``      nothing
==========  =====================================================  ====================

An id is two numbers, ms and seq. A checksum is the CRC-32 of what follows it (4 bytes). In its order a random place is
a random member, whatever the names are, and the position of an HSCAN or SSCAN is a number.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

FORMAT_VERSION = 1

TYPE_STRING = 1
TYPE_LIST = 2
TYPE_SET = 3
TYPE_SORTED_SET = 4
TYPE_SMALL_HASH = 5
TYPE_LARGE_HASH = 6
TYPE_STREAM = 7
TYPE_SMALL_SET = 8
TYPE_SMALL_STREAM = 9

OWN_PREFIX = b'\x00'
FORMAT_KEY = b'\x00format'
BATCHES_KEY = b'\x00batches'
NEXT_VERSION_KEY = b'\x00version'
NEXT_NAMESPACE_KEY = b'\x00next namespace'

META_PREFIX = b'M'
MEMBER_PREFIX = b'D'
EXPIRY_PREFIX = b'X'
GARBAGE_PREFIX = b'G'
GARBAGE_NAMESPACE_PREFIX = b'N'

PREFIXES = (OWN_PREFIX, META_PREFIX, MEMBER_PREFIX, EXPIRY_PREFIX, GARBAGE_PREFIX, GARBAGE_NAMESPACE_PREFIX)
"""Every key of the store begins with one of these."""
NAMESPACE_SIZE = 4
META_PREFIX_SIZE = 1 + NAMESPACE_SIZE
"""Number of bytes before the user's key in a meta key."""

LIST_ORIGIN = 1 << 63
"""The position of the first element ever pushed to a list: the middle, so that both ends can grow."""

_U64 = struct.Struct('>Q')
_U32 = struct.Struct('>I')
_HEADER = struct.Struct('>BQQ')
_HEADER_SIZE = _HEADER.size
_TWO = struct.Struct('>QQ')
_FOUR = struct.Struct('>QQQQ')
_DOUBLE = struct.Struct('>d')

SMALL_TYPES = frozenset((TYPE_SMALL_HASH, TYPE_SMALL_SET, TYPE_SMALL_STREAM))
"""Types that are stored in the meta record, including the members."""
LARGE_TYPES = frozenset((TYPE_LIST, TYPE_SET, TYPE_SORTED_SET, TYPE_LARGE_HASH, TYPE_STREAM))

_WITHOUT_MEMBERS = SMALL_TYPES | {TYPE_STRING}

u64 = _U64.pack
u32 = _U32.pack


class DamagedRecord(ValueError):
    """A record that is invalid, or missing although another one requires it.

    Args:
        reason: what is wrong, in words.
        keys: the meta keys of its owner; empty if unknown here.
    """

    def __init__(self, reason: str, keys: Sequence[bytes] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.keys = keys


UNREADABLE = (DamagedRecord, struct.error)
"""Exceptions of reading a record: struct.error if it is too short or too long."""


def of_keys(fault: Exception, keys: Sequence[bytes]) -> DamagedRecord:
    """Return a read fault with keys added.

    Args:
        fault: one of `UNREADABLE`.
        keys: the meta keys whose records were read.
    """
    if isinstance(fault, DamagedRecord):
        return fault if fault.keys else DamagedRecord(fault.reason, keys)
    return DamagedRecord('one of its records is too short or too long', keys)


_U64_TAG = struct.Struct('>Qc').pack
_U64_TAG_U32 = struct.Struct('>QcI').pack
_U64_TAG_U64 = struct.Struct('>QcQ').pack


def read_u64(data: bytes, offset: int = 0) -> int:
    """Return the number in 8 bytes at an offset."""
    value: int = _U64.unpack_from(data, offset)[0]
    return value


def read_u32(data: bytes, offset: int = 0) -> int:
    """Return the number in 4 bytes at an offset."""
    value: int = _U32.unpack_from(data, offset)[0]
    return value


def after(prefix: bytes) -> bytes:
    """Return the first key after every key that starts with `prefix` (which must not be all 0xff)."""
    stripped = prefix.rstrip(b'\xff')
    return stripped[:-1] + bytes((stripped[-1] + 1,))


# -- the store's own records


def namespace_key(db: int) -> bytes:
    """Return the key of the record that holds a database's namespace."""
    return _NAMESPACE + bytes((db,))


def count_key(namespace: bytes) -> bytes:
    """Return the key of the record that holds a namespace's number of keys."""
    return _COUNT + namespace


_NAMESPACE = b'\x00namespace'
_COUNT = b'\x00count'
_OWN_SIZES = {BATCHES_KEY: 8, NEXT_VERSION_KEY: 8, NEXT_NAMESPACE_KEY: 4}


def read_format(record: bytes) -> int:
    """Return the format's version.

    Raises:
        ValueError: it is not a number.
    """
    return int(record)


def is_own_record(key: bytes, value: bytes) -> bool:
    """Return whether one of the store's own records is valid; True for an unknown one."""
    if key == FORMAT_KEY:
        return value.isdigit()
    size = _OWN_SIZES.get(key)
    if size is None and key.startswith(_NAMESPACE) and len(key) == len(_NAMESPACE) + 1:
        size = NAMESPACE_SIZE
    if size is None and key.startswith(_COUNT) and len(key) == len(_COUNT) + NAMESPACE_SIZE:
        size = 8
    # A number of 8 bytes has to fit into a reply.
    return size is None or (len(value) == size and (size < 8 or value[0] < 0x80))


# -- keys


def meta_prefix(namespace: bytes) -> bytes:
    """Return what the meta keys of a namespace begin with; the user's key follows."""
    return META_PREFIX + namespace


def expiry_key(due: int, meta_key: bytes) -> bytes:
    """Return the key of an entry in the expiry index.

    Args:
        due: Unix time in ms.
        meta_key: of the key that expires.
    """
    return EXPIRY_PREFIX + u64(due) + meta_key[1:]


def split_expiry_key(key: bytes) -> tuple[int, bytes]:
    """Return when an entry is due (Unix time in ms), and its meta key."""
    return read_u64(key, 1), META_PREFIX + key[9:]


def due_key(key: bytes) -> tuple[int, bytes]:
    """Return the same as :func:`split_expiry_key`, but an invalid entry is due and for no key."""
    return split_expiry_key(key) if len(key) >= _EXPIRY_SIZE else (1, META_PREFIX)


_EXPIRY_SIZE = 1 + 8 + NAMESPACE_SIZE


def garbage_key(version: int) -> bytes:
    """Return the key that leaves the members of an incarnation to the sweeper."""
    return GARBAGE_PREFIX + u64(version)


def garbage_namespace_key(namespace: bytes) -> bytes:
    """Return the key that leaves the keys of a namespace to the sweeper."""
    return GARBAGE_NAMESPACE_PREFIX + namespace


def members_prefix(version: int) -> bytes:
    """Return what the keys of an incarnation's members begin with."""
    return MEMBER_PREFIX + u64(version)


_TAG = 9


def split_member_key(key: bytes) -> tuple[int, bytes, bytes]:
    """Return version, tag, and the rest of the key.

    Raises:
        ValueError: it is too short.
    """
    tag = key[_TAG : _TAG + 1]
    if not tag:
        raise ValueError('a key that is too short')
    return read_u64(key, 1), tag, key[_TAG + 1 :]


# -- meta records


def meta_record(type_code: int, expire: int, indexed: int, body: bytes) -> bytes:
    """Return a meta record.

    Args:
        type_code: one of the ``TYPE_`` constants.
        expire: Unix time in ms, 0 for never.
        indexed: Unix time in ms of its entry in the expiry index, 0 for none.
        body: the type's own data.
    """
    return _HEADER.pack(type_code, expire, indexed) + body


def meta_header(record: bytes) -> tuple[int, int, int]:
    """Return type, expire and indexed."""
    header: tuple[int, int, int] = _HEADER.unpack_from(record)
    return header


def meta_body(record: bytes) -> bytes:
    """Return the body of a meta record."""
    return record[_HEADER_SIZE:]


def counted_body(version: int, count: int) -> bytes:
    """Return the body of a large set or hash."""
    return _TWO.pack(version, count)


def read_counted_body(record: bytes) -> tuple[int, int]:
    """Return version and count of a large value of any type."""
    body: tuple[int, int] = _TWO.unpack_from(record, _HEADER_SIZE)
    return body


def check_large(record: bytes) -> None:
    """Check that the record of a large value is plausible, so that loops over its counts end.

    Raises:
        DamagedRecord: it is not.
    """
    type_code = record[0]
    size = _BODY_SIZES.get(type_code)
    if size is not None and len(record) != _HEADER_SIZE + size:
        raise DamagedRecord('its record is too short or too long')
    if type_code == TYPE_LIST:
        _, head, tail, count = read_list_body(record)
        if not count <= tail - head <= MAX_SPAN:
            raise DamagedRecord('it says that its elements are where they cannot be')
    else:
        count = read_counted_body(record)[1]
    if count > MAX_COUNT or (not count and type_code != TYPE_STREAM):
        raise DamagedRecord('it says that it has as many members as cannot be')


def meta_version(record: bytes) -> int:
    """Return the incarnation of the record's members, 0 if it has none."""
    if record[0] in _WITHOUT_MEMBERS:
        return 0
    return read_u64(record, _HEADER_SIZE)


def list_body(version: int, head: int, tail: int, count: int) -> bytes:
    """Return the body of a list.

    Args:
        version: the incarnation of its members.
        head: no element is before this position.
        tail: all elements are before this position.
        count: how many elements there are.
    """
    return _FOUR.pack(version, head, tail, count)


def read_list_body(record: bytes) -> tuple[int, int, int, int]:
    """Return version, head, tail and count from a list's meta record."""
    body: tuple[int, int, int, int] = _FOUR.unpack_from(record, _HEADER_SIZE)
    return body


def sorted_set_body(version: int, count: int, floor: bytes) -> bytes:
    """Return the body of a sorted set.

    Args:
        version: the incarnation of its members.
        count: how many members there are.
        floor: a score and a member, as in an entry; no entry is lower.
    """
    return _TWO.pack(version, count) + floor


def read_sorted_set_body(record: bytes) -> tuple[int, int, bytes]:
    """Return version, count and floor from a sorted set's meta record."""
    version, count = read_counted_body(record)
    return version, count, record[_HEADER_SIZE + _TWO.size :]


_STREAM = struct.Struct('>9Q')
_BODY_SIZES = {TYPE_LIST: _FOUR.size, TYPE_SET: _TWO.size, TYPE_LARGE_HASH: _TWO.size, TYPE_STREAM: _STREAM.size}
MAX_COUNT = (1 << 32) - 1
"""Most elements, members, fields or entries that a value can have, as in Redis."""
MAX_SPAN = 1 << 40
"""Positions from a list's first element to its last: no list reaches it, and walking its holes would take forever."""
MAX_NUMBER = (1 << 63) - 1
"""The greatest number that a reply can hold."""


def check_number(number: int) -> None:
    """Check a number from a record.

    Raises:
        DamagedRecord: it is too large for a reply.
    """
    if number > MAX_NUMBER:
        raise DamagedRecord('a number in one of its records is too large')


StreamId = tuple[int, int]
"""Milliseconds and sequence number."""


@dataclass(frozen=True, slots=True)
class StreamBody:
    """The contents of a stream's meta record.

    Args:
        last: the greatest id that was ever added, or set.
        added: how many entries were ever added.
        deleted: the greatest id that was deleted.
        floor: no entry has a smaller id.
    """

    version: int
    count: int
    last: StreamId
    added: int
    deleted: StreamId
    floor: StreamId


def stream_body(body: StreamBody) -> bytes:
    """Return the body of a stream, without the entries of a small one."""
    return _STREAM.pack(body.version, body.count, *body.last, body.added, *body.deleted, *body.floor)


def read_stream_body(record: bytes) -> StreamBody:
    """Return the contents of a stream's meta record, large or small."""
    numbers = _STREAM.unpack_from(record, _HEADER_SIZE)
    return StreamBody(
        numbers[0], numbers[1], (numbers[2], numbers[3]), numbers[4], (numbers[5], numbers[6]), (numbers[7], numbers[8])
    )


def stream_entries_body(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the entries of a small stream as bytes.

    Args:
        entries: ids (16 bytes) and the contents of the entries.
    """
    return strings_body([part for entry in entries for part in entry])


def read_stream_entries_body(record: bytes) -> list[tuple[bytes, bytes]]:
    """Return the entries in a small stream's meta record, as :func:`stream_entries_body` takes them."""
    parts = read_strings_body(record, _HEADER_SIZE + _STREAM.size)
    return list(zip(parts[::2], parts[1::2], strict=True))


def strings_body(items: Sequence[bytes]) -> bytes:
    """Return any number of byte strings packed into one: count, lengths, bytes."""
    count = len(items)
    return struct.pack(f'>{count + 1}I', count, *map(len, items)) + b''.join(items)


def read_strings_body(data: bytes, offset: int = 0) -> list[bytes]:
    """Return the byte strings that :func:`strings_body` packed.

    Args:
        data: a record.
        offset: where in it they begin; they end with it.

    Raises:
        DamagedRecord: their lengths do not fit the record.
        struct.error: the record is too short.
    """
    count = read_u32(data, offset)
    lengths = struct.unpack_from(f'>{count}I', data, offset + 4)
    start = offset + 4 + 4 * count
    items = []
    for length in lengths:
        end = start + length
        items.append(data[start:end])
        start = end
    if start != len(data):
        raise DamagedRecord('its length is wrong')
    return items


def check_strings(data: bytes, offset: int = 0) -> list[bytes]:
    """Return the same as :func:`read_strings_body`, from possibly invalid bytes.

    Raises:
        ValueError: they are not packed byte strings, or there are more bytes.
    """
    try:
        count = read_u32(data, offset)
        if len(data) < offset + 4 + 4 * count:
            raise ValueError('it is too short')
        return read_strings_body(data, offset)
    except struct.error as error:
        raise ValueError('it is too short') from error


def check_small(record: bytes) -> list[bytes]:
    """Return the byte strings in the meta record of a small hash, set or stream.

    Raises:
        ValueError: it holds none.
    """
    return check_strings(record, _HEADER_SIZE + (_STREAM.size if record[0] == TYPE_SMALL_STREAM else 0))


def read_small_hash(record: bytes) -> dict[bytes, bytes]:
    """Return fields and values from a small hash's meta record."""
    items = read_strings_body(record, _HEADER_SIZE)
    return dict(zip(items[::2], items[1::2], strict=True))


def small_hash_body(fields: dict[bytes, bytes]) -> bytes:
    """Return the body of a small hash."""
    items = [b''] * (2 * len(fields))
    items[::2] = fields
    items[1::2] = fields.values()
    return strings_body(items)


def read_small_set(record: bytes) -> dict[bytes, bytes]:
    """Return the members in a small set's meta record, in order, each with an empty value."""
    return dict.fromkeys(read_strings_body(record, _HEADER_SIZE), b'')


def small_set_body(members: dict[bytes, bytes]) -> bytes:
    """Return the body of a small set."""
    return strings_body(list(members))


# -- members


HASH_TAG, SET_TAG, SORTED_SET_TAG = b'f', b'm', b's'
"""What follows the version in the keys of members ordered by checksum."""


def scattered_member(version: int, tag: bytes, member: bytes) -> bytes:
    """Return the key of a member ordered by checksum."""
    return MEMBER_PREFIX + _U64_TAG_U32(version, tag, crc32(member)) + member


def scattered_members(version: int, tag: bytes) -> bytes:
    """Return what the keys of members ordered by checksum begin with; checksum and member follow."""
    return MEMBER_PREFIX + u64(version) + tag


CHECKSUM_SIZE = 4
CHECKSUM_END = 1 << 32
"""Every checksum is smaller."""


def list_position(version: int, position: int) -> bytes:
    """Return the key of a list's position."""
    return MEMBER_PREFIX + _U64_TAG_U64(version, b'p', position)


LIST_ELEMENT_OFFSET = 1
"""Where the element begins in the value of a list's position."""
LIST_ONCE = b'\x00'
LIST_OFTEN = b'\x01'
"""The flag before an element: whether its value record holds its one position, or counts its positions."""


def list_element_id(element: bytes) -> bytes:
    """Return bytes that identify an element unambiguously within a key."""
    if len(element) <= 64:
        return bytes((len(element),)) + element
    return b'\xff' + hashlib.blake2b(element, digest_size=24).digest()


def list_value(version: int, element_id: bytes) -> bytes:
    """Return the key of the record that holds an element's position in a list.

    Args:
        version: the list's incarnation.
        element_id: see :func:`list_element_id`.
    """
    return MEMBER_PREFIX + _U64_TAG(version, b'v') + element_id


def list_occurrences(version: int, element_id: bytes) -> bytes:
    """Return the prefix of the keys of an element's positions."""
    return MEMBER_PREFIX + _U64_TAG(version, b'w') + element_id


def occurrences_record(count: int, floor: int) -> bytes:
    """Return the value of an element that may occur more than once.

    Args:
        count: how often it occurs.
        floor: no smaller position holds the element.
    """
    return _TWO.pack(count, floor)


def read_occurrences_record(record: bytes) -> tuple[int, int] | None:
    """Return count and floor; None if the record holds the element's one position."""
    if len(record) == 8:
        return None
    count, floor = _TWO.unpack(record)
    if count > MAX_COUNT:
        raise DamagedRecord('it says that an element stands where it cannot')
    return count, floor


LIST_HOLES_FANOUT = 64
LIST_HOLES_LEVELS = 4
_HOLES = {2: struct.Struct('>64B'), 3: struct.Struct('>64H'), 4: struct.Struct('>64I')}


def list_holes(version: int, level: int, block: int) -> bytes:
    """Return the key of a block of holes.

    Args:
        version: the list's incarnation.
        level: 1 for blocks of 64 positions, 2 for blocks of 64 of those, and so on.
        block: the block's number: its first position divided by its size.
    """
    return MEMBER_PREFIX + _U64_TAG(version, b'h') + bytes((level,)) + u64(block)


def holes_record(level: int, counts: Sequence[int]) -> bytes:
    """Return the value of a block of holes.

    Args:
        level: 2 and above.
        counts: how many holes each of the block's 64 parts has; level 2 and above.
    """
    return _HOLES[level].pack(*counts)


def read_holes_record(level: int, record: bytes) -> list[int]:
    """Return how many holes each of a block's 64 parts has; level 2 and above."""
    return list(_HOLES[level].unpack(record))


ZERO_SCORE = 1 << 63


def score_bytes(score: float) -> bytes:
    """Return 8 bytes that sort as the number does; -0.0 equals 0.0."""
    bits: int = _U64.unpack(_DOUBLE.pack(score + 0.0))[0]
    return u64(bits ^ (MAX_U64 if bits & ZERO_SCORE else ZERO_SCORE))


def read_score(data: bytes, offset: int = 0) -> float:
    """Return the score that :func:`score_bytes` wrote."""
    bits: int = _U64.unpack_from(data, offset)[0]
    score: float = _DOUBLE.unpack(u64(bits ^ (ZERO_SCORE if bits & ZERO_SCORE else MAX_U64)))[0]
    return score


SCORE_SIZE = 8


def sorted_set_entries(version: int) -> bytes:
    """Return the prefix of the keys of entries; an entry is the bytes of its score and its member."""
    return MEMBER_PREFIX + u64(version) + b'z'


STREAM_ID_SIZE = 16
BEHIND_STREAM_IDS = b'\xff' * 17
"""The end of a key after all pending entries, so that no scan runs into the tombstones that follow."""
_GROUP = struct.Struct('>7Q')
_CONSUMER = struct.Struct('>QQQ')
_PENDING = struct.Struct('>QQ')
MAX_U64 = (1 << 64) - 1
NO_VERSION = MAX_U64
"""Of a value that no key holds: as it is greater than every other, nothing is looked up under it."""
_NOT_KNOWN = MAX_U64


def stream_entries(version: int) -> bytes:
    """Return what the keys of a stream's entries begin with; the id follows."""
    return MEMBER_PREFIX + u64(version) + b'x'


def stream_id(ms: int, seq: int) -> bytes:
    """Return an id as 16 bytes that sort like the ids."""
    return _TWO.pack(ms, seq)


def read_stream_id(data: bytes, offset: int = 0) -> StreamId:
    """Return the id that 16 bytes at an offset hold."""
    ms, seq = _TWO.unpack_from(data, offset)
    return ms, seq


def stream_groups(version: int) -> bytes:
    """Return what the keys of a stream's groups begin with; the group's name follows."""
    return MEMBER_PREFIX + u64(version) + b'g'


def group_record(number: int, last: StreamId, read: int | None, pending: int, floor: StreamId) -> bytes:
    """Return the value of a group.

    Args:
        number: identifies the group's consumers and pending entries.
        last: the id of the last delivered entry.
        read: how many entries it has read, None if unknown.
        pending: how many entries are pending.
        floor: no pending entry has a smaller id.
    """
    return _GROUP.pack(number, *last, _NOT_KNOWN if read is None else read, pending, *floor)


def read_group_record(record: bytes) -> tuple[int, StreamId, int | None, int, StreamId]:
    """Return number, last, read, pending and floor, as :func:`group_record` takes them.

    Raises:
        DamagedRecord: a number is too large for a reply.
    """
    number, ms, seq, read, pending, floor_ms, floor_seq = _GROUP.unpack(record)
    check_number(pending)
    if read != _NOT_KNOWN:
        check_number(read)
    return number, (ms, seq), None if read == _NOT_KNOWN else read, pending, (floor_ms, floor_seq)


def group_consumers(version: int, group: int) -> bytes:
    """Return what the keys of a group's consumers begin with; the consumer's name follows.

    Args:
        version: the stream's incarnation.
        group: the group's number.
    """
    return MEMBER_PREFIX + u64(version) + b'c' + u64(group)


def consumer_record(seen: int, active: int | None, pending: int) -> bytes:
    """Return the value of a consumer.

    Args:
        seen: Unix time in ms.
        active: likewise, None for never.
        pending: how many entries are pending.
    """
    return _CONSUMER.pack(seen, _NOT_KNOWN if active is None else active, pending)


def read_consumer_record(record: bytes) -> tuple[int, int | None, int]:
    """Return seen, active and pending, as :func:`consumer_record` takes them.

    Raises:
        DamagedRecord: a number is too large for a reply.
    """
    seen, active, pending = _CONSUMER.unpack(record)
    check_number(seen)
    check_number(pending)
    if active != _NOT_KNOWN:
        check_number(active)
    return seen, None if active == _NOT_KNOWN else active, pending


def group_pending(version: int, group: int) -> bytes:
    """Return what the keys of a group's pending entries begin with; the id follows.

    Args:
        version: the stream's incarnation.
        group: the group's number.
    """
    return MEMBER_PREFIX + u64(version) + b'p' + u64(group)


def pending_record(delivered: int, times: int, consumer: bytes) -> bytes:
    """Return the value of a pending entry.

    Args:
        delivered: Unix time in ms.
        times: how often it was delivered.
        consumer: name of the consumer that has it.
    """
    return _PENDING.pack(delivered, times) + consumer


def read_pending_record(record: bytes) -> tuple[int, int, bytes]:
    """Return delivered, times and consumer, as :func:`pending_record` takes them.

    Raises:
        DamagedRecord: a number is too large for a reply.
    """
    delivered, times = _PENDING.unpack_from(record)
    check_number(delivered)
    check_number(times)
    return delivered, times, record[_PENDING.size :]


def consumer_pending(version: int, group: int, consumer: bytes) -> bytes:
    """Return what the keys of a consumer's pending entries begin with; the id follows.

    Args:
        version: the stream's incarnation.
        group: the group's number.
        consumer: the consumer's name.
    """
    return MEMBER_PREFIX + u64(version) + b'q' + u64(group) + u32(len(consumer)) + consumer


def group_consumers_pending(version: int, group: int) -> bytes:
    """Return what :func:`consumer_pending` begins with, whoever the consumer is."""
    return MEMBER_PREFIX + u64(version) + b'q' + u64(group)

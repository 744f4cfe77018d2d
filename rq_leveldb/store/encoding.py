"""The byte layout of the database, and its version; pure. No other module knows bytes (docs/format.rst explains it).

::

    \\x00 format                    -> the format's version, decimal
    \\x00 version                   -> the first incarnation that no earlier run can have used, 8 bytes
    \\x00 namespace  db             -> the namespace that holds the keys of database `db`, 4 bytes
    \\x00 count  namespace          -> how many keys the namespace holds, 8 bytes
    M namespace key                -> the meta record of a key
    D version tag ...              -> a member of the value whose incarnation is `version`
    X due namespace key            -> the key has to be looked at when the clock (ms) passes `due`
    G version                      -> the members of `version` have no owner: to be swept
    N namespace                    -> the keys of `namespace` have no owner: to be swept

Numbers are big-endian, so that their order is LevelDB's. A meta record is ``type expire indexed body``: one byte,
then twice 8 bytes of Unix time in ms (0: never). `indexed` is the `due` of the key's one valid entry under X; it may lie
before `expire`, since putting an expiry off writes nothing but the meta record.

====  ==============================================================================
type  body
====  ==============================================================================
 1    string: its bytes
 2    list: version, head, tail, count (8 bytes each); head <= position < tail
 3    set: version, count
 4    sorted set: version, count, then a score-and-member below which there is none
 5    hash, small: count of fields and values (4 bytes), their lengths (4 bytes each), their bytes
 6    hash, large: version, count
 7    stream: version, count, last id, entries added, greatest deleted id
====  ==============================================================================

Members, under ``D version``:

==========  =====================================================  ====================
of          key                                                    value
==========  =====================================================  ====================
hash        ``f field``                                            the field's value
set         ``m member``                                           nothing
list        ``p position``                                         the element
list        ``v digest position``                                  nothing
list        ``h level block``                                      holes in the block, 8 bytes
sorted set  ``s member``                                           score, 8 bytes
sorted set  ``z score member``                                     nothing
stream      ``x ms seq``                                           fields and values, as a small hash
stream      ``g`` ...                                              consumer groups
==========  =====================================================  ====================
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

FORMAT_VERSION = 1

TYPE_STRING = 1
TYPE_LIST = 2
TYPE_SET = 3
TYPE_SORTED_SET = 4
TYPE_SMALL_HASH = 5
TYPE_LARGE_HASH = 6
TYPE_STREAM = 7

FORMAT_KEY = b'\x00format'
NEXT_VERSION_KEY = b'\x00version'

META_PREFIX = b'M'
MEMBER_PREFIX = b'D'
EXPIRY_PREFIX = b'X'
GARBAGE_PREFIX = b'G'
GARBAGE_NAMESPACE_PREFIX = b'N'

NAMESPACE_SIZE = 4
META_PREFIX_SIZE = 1 + NAMESPACE_SIZE
"""How many bytes stand before the user's key in a meta key."""

LIST_ORIGIN = 1 << 63
"""The position of the first element ever pushed to a list: the middle, so that both ends can grow."""

_U64 = struct.Struct('>Q')
_U32 = struct.Struct('>I')
_HEADER = struct.Struct('>BQQ')
_HEADER_SIZE = _HEADER.size
_TWO = struct.Struct('>QQ')
_FOUR = struct.Struct('>QQQQ')
_DOUBLE = struct.Struct('>d')

u64 = _U64.pack
u32 = _U32.pack


def read_u64(data: bytes, offset: int = 0) -> int:
    value: int = _U64.unpack_from(data, offset)[0]
    return value


def read_u32(data: bytes, offset: int = 0) -> int:
    value: int = _U32.unpack_from(data, offset)[0]
    return value


def after(prefix: bytes) -> bytes:
    """:returns: the first key behind every key that starts with `prefix` (which must not be all 0xff)"""
    stripped = prefix.rstrip(b'\xff')
    return stripped[:-1] + bytes((stripped[-1] + 1,))


# -- the store's own records


def namespace_key(db: int) -> bytes:
    return b'\x00namespace' + bytes((db,))


def count_key(namespace: bytes) -> bytes:
    return b'\x00count' + namespace


# -- keys


def meta_prefix(namespace: bytes) -> bytes:
    return META_PREFIX + namespace


def expiry_key(due: int, meta_key: bytes) -> bytes:
    """:param due: Unix time in ms"""
    return EXPIRY_PREFIX + u64(due) + meta_key[1:]


def split_expiry_key(key: bytes) -> tuple[int, bytes]:
    """:returns: due (Unix time in ms) and the meta key"""
    return read_u64(key, 1), META_PREFIX + key[9:]


def garbage_key(version: int) -> bytes:
    return GARBAGE_PREFIX + u64(version)


def garbage_namespace_key(namespace: bytes) -> bytes:
    return GARBAGE_NAMESPACE_PREFIX + namespace


def members_prefix(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version)


# -- meta records


def meta_record(type_code: int, expire: int, indexed: int, body: bytes) -> bytes:
    return _HEADER.pack(type_code, expire, indexed) + body


def meta_header(record: bytes) -> tuple[int, int, int]:
    """:returns: type, expire and indexed"""
    header: tuple[int, int, int] = _HEADER.unpack_from(record)
    return header


def meta_body(record: bytes) -> bytes:
    return record[_HEADER_SIZE:]


def counted_body(version: int, count: int) -> bytes:
    return _TWO.pack(version, count)


def read_counted_body(record: bytes) -> tuple[int, int]:
    body: tuple[int, int] = _TWO.unpack_from(record, _HEADER_SIZE)
    return body


def meta_version(record: bytes) -> int:
    """:returns: the incarnation that the record's members live under, 0 if it has none"""
    if record[0] in (TYPE_STRING, TYPE_SMALL_HASH):
        return 0
    return read_u64(record, _HEADER_SIZE)


def list_body(version: int, head: int, tail: int, count: int) -> bytes:
    return _FOUR.pack(version, head, tail, count)


def read_list_body(record: bytes) -> tuple[int, int, int, int]:
    body: tuple[int, int, int, int] = _FOUR.unpack_from(record, _HEADER_SIZE)
    return body


def sorted_set_body(version: int, count: int, floor: bytes) -> bytes:
    return _TWO.pack(version, count) + floor


def read_sorted_set_body(record: bytes) -> tuple[int, int, bytes]:
    version, count = _TWO.unpack_from(record, _HEADER_SIZE)
    return version, count, record[_HEADER_SIZE + 16 :]


_STREAM = struct.Struct('>QQQQQQQ')


def stream_body(version: int, count: int, last: tuple[int, int], added: int, deleted: tuple[int, int]) -> bytes:
    return _STREAM.pack(version, count, *last, added, *deleted)


def read_stream_body(record: bytes) -> tuple[int, int, tuple[int, int], int, tuple[int, int]]:
    version, count, last_ms, last_seq, added, deleted_ms, deleted_seq = _STREAM.unpack_from(record, _HEADER_SIZE)
    return version, count, (last_ms, last_seq), added, (deleted_ms, deleted_seq)


def strings_body(items: Sequence[bytes]) -> bytes:
    """:returns: any number of byte strings as one: count, lengths, bytes"""
    count = len(items)
    return struct.pack(f'>{count + 1}I', count, *map(len, items)) + b''.join(items)


def read_strings_body(data: bytes, offset: int = 0) -> list[bytes]:
    count = read_u32(data, offset)
    lengths = struct.unpack_from(f'>{count}I', data, offset + 4)
    start = offset + 4 + 4 * count
    items = []
    for length in lengths:
        end = start + length
        items.append(data[start:end])
        start = end
    return items


def read_small_hash(record: bytes) -> dict[bytes, bytes]:
    items = read_strings_body(record, _HEADER_SIZE)
    return dict(zip(items[::2], items[1::2], strict=True))


def small_hash_body(fields: dict[bytes, bytes]) -> bytes:
    count = 2 * len(fields)
    keys = list(fields)
    values = list(fields.values())
    items = [b''] * count
    items[::2] = keys
    items[1::2] = values
    return struct.pack(f'>{count + 1}I', count, *map(len, items)) + b''.join(items)


# -- members


def hash_field(version: int, field: bytes) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'f' + field


def hash_fields(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'f'


def set_member(version: int, member: bytes) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'm' + member


def set_members(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'm'


def list_positions(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'p'


def list_position(version: int, position: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'p' + u64(position)


def list_value(version: int, element: bytes) -> bytes:
    """:returns: the prefix under which the positions of `element` stand"""
    if len(element) <= 64:
        return MEMBER_PREFIX + u64(version) + b'v' + bytes((len(element),)) + element
    return MEMBER_PREFIX + u64(version) + b'v\xff' + hashlib.blake2b(element, digest_size=24).digest()


def list_holes(version: int, level: int, block: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'h' + bytes((level,)) + u64(block)


ZERO_SCORE = 1 << 63


def score_bytes(score: float) -> bytes:
    """:returns: 8 bytes that sort as the number does; -0.0 equals 0.0"""
    bits: int = _U64.unpack(_DOUBLE.pack(score + 0.0))[0]
    if bits & ZERO_SCORE:
        bits ^= 0xFFFFFFFFFFFFFFFF
    else:
        bits ^= ZERO_SCORE
    return u64(bits)


def read_score(data: bytes, offset: int = 0) -> float:
    bits = read_u64(data, offset)
    if bits & ZERO_SCORE:
        bits ^= ZERO_SCORE
    else:
        bits ^= 0xFFFFFFFFFFFFFFFF
    score: float = _DOUBLE.unpack(u64(bits))[0]
    return score


def sorted_set_member(version: int, member: bytes) -> bytes:
    return MEMBER_PREFIX + u64(version) + b's' + member


def sorted_set_members(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b's'


def sorted_set_entry(version: int, score: float, member: bytes) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'z' + score_bytes(score) + member


def sorted_set_entries(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'z'


def stream_entries(version: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'x'


def stream_entry(version: int, ms: int, seq: int) -> bytes:
    return MEMBER_PREFIX + u64(version) + b'x' + _TWO.pack(ms, seq)

"""Values of every kind, how to make them, and what they are serialized: by Redis, and by nobody who means well."""

from __future__ import annotations

import struct
from typing import Any

from rq_leveldb.store.rdb.crc64 import crc64
from rq_leveldb.store.rdb.listpack import Listpack

Command = tuple[Any, ...]
Contents = tuple[bytes, Any]
"""A key's type and all that it holds."""


def sealed(body: bytes, version: int = 11) -> bytes:
    data = body + struct.pack('<H', version)
    return data + struct.pack('<Q', crc64(data))


def text_of(number: int, size: int) -> bytes:
    return (b'%d,' % number * (size // 2))[:size]


VALUES: dict[str, list[Command]] = {
    'text': [('SET', 'k', 'hello')],
    'empty string': [('SET', 'k', '')],
    'bytes': [('SET', 'k', bytes(range(256)) * 300)],
    'integers': [
        ('RPUSH', 'k', *(sign * (1 << power) - less for power in range(63) for sign in (1, -1) for less in (0, 1)))
    ],
    'almost integers': [('RPUSH', 'k', '01', '+1', '-0', '1 ', '9223372036854775808', '-9223372036854775808', '-')],
    'number': [('SET', 'k', -(1 << 31))],
    'large number': [('SET', 'k', 1 << 31)],
    'elements of many sizes': [
        ('RPUSH', 'k', *(text_of(size, size) for size in (0, 1, 63, 64, 4095, 4096, 8192, 8193, 16383, 16384, 70000)))
    ],
    'long list': [('RPUSH', 'k', *range(3000))],
    'list with holes': [('RPUSH', 'k', *range(100)), ('LREM', 'k', 0, 50), ('LREM', 'k', 0, 51), ('LPOP', 'k')],
    'set': [('SADD', 'k', 'a', 1, '')],
    'large set': [('SADD', 'k', *range(3000))],
    'hash': [('HSET', 'k', 'a', 1, '', '', 'b', 'x' * 100)],
    'large hash': [('HSET', 'k', *range(6000))],
    'sorted set': [('ZADD', 'k', '-inf', 'a', 'inf', 'b', '0.1', 'c', '-0', 'd', '1e-300', '')],
    'large sorted set': [('ZADD', 'k', *range(6000))],
    'stream': [
        ('XADD', 'k', '1-1', 'a', 1, 'b', ''),
        ('XADD', 'k', '1-2', 'a', 1, 'b', 2),
        ('XADD', 'k', '2-0', 'c', 3),
    ],
    'emptied stream': [('XADD', 'k', '7-7', 'a', 1), ('XDEL', 'k', '7-7')],
    'long stream': [
        *(('XADD', 'k', f'{number}-{1000 - number}', 'f', number, 'g', 'x' * number) for number in range(1, 300)),
        ('XDEL', 'k', '5-995', '200-800'),
        ('XTRIM', 'k', 'MAXLEN', 250),
    ],
    'stream with the last ids': [
        ('XADD', 'k', '0-1', 'a', 1),
        ('XADD', 'k', '18446744073709551615-18446744073709551615', 'a', 1),
    ],
    'groups': [
        *(('XADD', 'k', f'{number}-1', 'f', number) for number in range(1, 10)),
        ('XGROUP', 'CREATE', 'k', 'first', '0'),
        ('XGROUP', 'CREATE', 'k', 'second', '$'),
        ('XGROUP', 'CREATE', 'k', 'third', '2-1', 'ENTRIESREAD', 2),
        ('XGROUP', 'CREATECONSUMER', 'k', 'second', 'idle'),
        ('XREADGROUP', 'GROUP', 'first', 'one', 'COUNT', 3, 'STREAMS', 'k', '>'),
        ('XREADGROUP', 'GROUP', 'first', 'two', 'COUNT', 2, 'STREAMS', 'k', '>'),
        ('XCLAIM', 'k', 'first', 'two', 0, '1-1', 'RETRYCOUNT', 7, 'TIME', 1000),
        ('XACK', 'k', 'first', '2-1'),
        ('XDEL', 'k', '4-1'),
    ],
}


HASH = (b'hash', {b'a': b'1', b'b': b'two'})
LIST = (b'list', [b'a', b'1', b'-4000', b'300000'])
SCORES = (b'zset', [b'a', b'1', b'b', b'2.5'])
BOTH = (b'set', {b'a', b'5'})

# What Redis 7.0 and 8.2 wrote, and below that the encodings of older ones.
PAYLOADS: dict[str, tuple[str, Contents]] = {
    'string': ('000568656c6c6f0c00a804ebb69f1ebe43', (b'string', b'hello')),
    'integer': ('00c2c063ffff0a00ab5d46751b1daa83', (b'string', b'-40000')),
    'compressed': ('00c30b405a0361626361e04b020162630c00e8f6023918fa59c9', (b'string', b'abc' * 30)),
    'quicklist': ('120102141400000004008161020101d06002f2e0930404ff0a00110188a1ebe8c21b', LIST),
    'nodes': ('1202020c0c00000002008161020101ff020f0f0000000200d06002f2e0930404ff0c003b6aabcbb8445634', LIST),
    'set': ('04020161c00101620374776f0a0052482eb7e6572327', HASH),
    'intset': ('0b1404000000030000000100000002000000701101000c004ea3f5c6a1374e1c', (b'set', {b'1', b'2', b'70000'})),
    'listpack of a set': ('140c0c00000002008161020501ff0c003a9df2ee7e38dc5c', BOTH),
    'hashtable of a set': ('0202c00501610c0003664c7db80cf32b', BOTH),
    'listpack of a hash': ('101414000000040081610201018162028374776f04ff0c00cf5e81e51bc8f55b', HASH),
    'hashtable of a hash': ('040201620374776f0161c0010c00fa2fa6c9ab965207', HASH),
    'fields that no longer expire': (
        '1982ec2e2ca2010000181800000006008162028374776f04000181610201010001ff0c00638137e48ac60ac4',
        HASH,
    ),
    'listpack of a sorted set': (
        '111d1d0000000600816302842d696e6605816102010181620283322e3504ff0c00f2e4075b1b35ac74',
        (b'zset', [b'c', b'-inf', *SCORES[1]]),
    ),
    'skiplist': ('0502016200000000000004400161000000000000f03f0a00f46eb73919767291', SCORES),
}

NODE = (
    '10000000000000000100000000000000013b3b000000180002010101010181610200010201000100010101040101010101000102018161020201'
    '816202816302080102010201000103010401ff'
)
"""One node of a stream: the entries 1-1, 2-1 (deleted, with a field more) and 3-1."""
ONE_ID = f'{"0" * 15}1{"0" * 15}1'
TIME = 'c3652d2ca2010000'

# The example of Redis's ziplist.c ("2", "5"), lists of every integer's width, and of strings of both short lengths.
TWO_AND_FIVE = '0f0f0000000c000000020000f302f6ff'
WIDTHS = '2900000026000000060000fe8003c0008004f000008005d00000008006e000000000000000800a00ff'
OLD: dict[str, tuple[str, Contents]] = {
    'linked list': (f'010401{b"a".hex()}c001c160f0c2e0930400', LIST),
    'ziplist': (f'0a{TWO_AND_FIVE}', (b'list', [b'2', b'5'])),
    'ziplist of a hash': (f'0d{TWO_AND_FIVE}', (b'hash', {b'2': b'5'})),
    'ziplist of a sorted set': (f'0c{TWO_AND_FIVE}', (b'zset', [b'2', b'5'])),
    'quicklist of ziplists': (f'0e02{TWO_AND_FIVE}{TWO_AND_FIVE}', (b'list', [b'2', b'5', b'2', b'5'])),
    'integers of a ziplist': (
        f'0a{len(bytes.fromhex(WIDTHS)):02x}{WIDTHS}',
        (b'list', [b'-128', b'-32768', b'-8388608', b'-2147483648', b'-9223372036854775808', b'']),
    ),
    'scores as text': (f'030201610131016203{b"2.5".hex()}', SCORES),
    'infinite scores as text': ('03020161ff0162fe', (b'zset', [b'a', b'-inf', b'b', b'inf'])),
}


BILLIONS = b'\x81' + b'\xff' * 8
LISTPACK = bytes.fromhex('0c0c00000002008161020101ff')
BOMB = (b'\x1f' + b'a' * 32 + b'\xff\xff\x00' * 100_000)[: 1 << 20]
"""LZF that becomes 264 bytes for each three."""


def packed(body: bytes, count: int) -> bytes:
    """Return a listpack as a string, its header right."""
    data = struct.pack('<IH', len(body) + 7, count) + body + b'\xff'
    return b'\x80' + struct.pack('>I', len(data)) + data


def long_text(size: int) -> bytes:
    """Return an element of a listpack that begins like a number."""
    entry = b'\xf0' + struct.pack('<I', size) + b'1' * (size - 1) + b'x'
    return entry + bytes((len(entry) >> 14, len(entry) >> 7 & 127 | 128, len(entry) & 127 | 128))


def spread(zeros: int) -> bytes:
    """Return zeros compressed with LZF, as a string."""
    data = b'\x00\x00' + b'\xe0\xff\x00' * (zeros // 264)
    return b'\xc3\x80' + struct.pack('>I', len(data)) + b'\x81' + struct.pack('>Q', 1 + zeros // 264 * 264) + data


def swelling_stream() -> bytes:
    """Return a stream of one node: a field of a megabyte, and 20,000 entries that have it."""
    node = Listpack()
    for number in (20_000, 0, 1):
        node.add_integer(number)
    node.add(b'f' * (1 << 20))
    node.add_integer(0)
    for number in range(20_000):
        for part in (2, 0, number, 1, 4):
            node.add_integer(part)
    data = node.packed()
    return b'\x15\x01\x10' + bytes(16) + b'\x80' + struct.pack('>I', len(data)) + data


BROKEN: dict[str, bytes] = {
    'nothing': b'',
    'unknown type': b'\x63\x00',
    'module': b'\x07\x00',
    'string beyond the end': b'\x00\x04abc',
    'string of exabytes': b'\x00' + BILLIONS,
    'length without bytes': b'\x00\x81\x00',
    'unknown kind of length': b'\x00\x82',
    'unknown kind of string': b'\x00\xc4',
    'integer without bytes': b'\x00\xc2\x00',
    'LZF of exabytes': b'\x00\xc3\x01' + BILLIONS + b'\x00',
    'LZF that refers to nothing': b'\x00\xc3\x02\x03\x20\x00',
    'LZF that ends early': b'\x00\xc3\x02\x03\x05a',
    'LZF that is shorter': b'\x00\xc3\x02\x05\x00a',
    'LZF that is longer than it says': b'\x00\xc3\x80' + struct.pack('>I', len(BOMB)) + b'\x40\x40' + BOMB,
    **{f'type {kind} of billions': bytes((kind,)) + BILLIONS for kind in range(1, 26)},
    **{f'type {kind} of none': bytes((kind, 0)) for kind in (*range(1, 15), *range(16, 19), 20, 22, 23, 25)},
    'the same member twice': b'\x02\x02\x01a\x01a',
    'the same field twice': b'\x04\x02\x01a\x01a\x01a\x01a',
    'the same scored member twice': b'\x05\x02' + (b'\x01a' + struct.pack('<d', 1)) * 2,
    'no number': b'\x05\x01\x01a' + struct.pack('<d', float('nan')),
    'no number as text': b'\x03\x01\x01a\xfd',
    'text that is no score': b'\x03\x01\x01a\x01x',
    'text of a megabyte that is no score': b'\x11' + packed(b'\x81a\x02' + long_text(1 << 20), 2),
    'odd listpack of a hash': b'\x10' + packed(b'\x81a\x02', 1),
    'odd listpack with times': b'\x17' + packed(b'\x81a\x02' * 2, 2),
    'listpack with another size': b'\x14\x0c' + b'\x0d' + LISTPACK[2:],
    'listpack without an end': b'\x14\x0c' + LISTPACK[1:-1] + b'\x00',
    'listpack with another count': b'\x14' + packed(b'\x01\x01', 3),
    'listpack whose entry has another size': b'\x14' + packed(b'\x81a\x03', 1),
    'listpack whose string goes beyond it': b'\x14' + packed(b'\xf0\xff\xff\xff\xffa\x02', 1),
    'listpack with an unknown entry': b'\x14' + packed(b'\xf5\x01', 1),
    'node of an unknown kind': b'\x12\x01\x03\x01a',
    'plain node without bytes': b'\x12\x01\x01\x00',
    'ziplist with another size before': b'\x0a' + bytes.fromhex(TWO_AND_FIVE).replace(b'\x02\xf6', b'\x03\xf6'),
    'ziplist with another tail': b'\x0a' + bytes.fromhex(TWO_AND_FIVE).replace(b'\x0c', b'\x0b'),
    'intset of another width': b'\x0b\x0b' + struct.pack('<II3s', 3, 1, b'abc'),
    'intset with too few': b'\x0b\x0a' + struct.pack('<IIh', 2, 2, 1),
    'intset out of order': b'\x0b\x0c' + struct.pack('<IIhh', 2, 2, 2, 1),
    'intset without members': b'\x0b\x08' + struct.pack('<II', 2, 0),
    'zeros that become millions of elements': b'\x12\x01\x02' + spread(900 << 20),
    'stream whose fields become terabytes': swelling_stream(),
    'stream that ends before its last entry': bytes.fromhex(f'1501{NODE}02' '0101' '0101' '0201' '0300'),
    'stream of another length': bytes.fromhex(f'1501{NODE}03' '0301' '0101' '0201' '0300'),
    'pending entry that nobody has': bytes.fromhex(
        f'1501{NODE}02' '0301' '0101' '0201' '03' '01' '0167' '0101' f'0101{ONE_ID}{TIME}01' '00'
    ),
    'entry of a consumer that is not pending': bytes.fromhex(
        f'1501{NODE}02' '0301' '0101' '0201' '03' '01' '0167' '0101' '0100' f'010163{TIME}{TIME}01{ONE_ID}'
    ),
}  # fmt: skip

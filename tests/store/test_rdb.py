"""The parts of Redis's serialization: its checksum, its compact lists, and its compression."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rq_leveldb.store.rdb import listpack, lzf
from rq_leveldb.store.rdb.crc64 import crc64
from rq_leveldb.store.rdb.fault import BadPayload

_POLYNOMIAL = 0xAD93D23594C935A9


def _reversed(number: int, bits: int) -> int:
    return int(f'{number:0{bits}b}'[::-1], 2)


def _crc_bit_by_bit(data: bytes) -> int:
    """Return the checksum by long division of polynomials."""
    remainder = 0
    for byte in data:
        remainder ^= _reversed(byte, 8) << 56
        for _ in range(8):
            remainder = remainder << 1 ^ (_POLYNOMIAL | 1 << 64 if remainder >> 63 else 0)
    return _reversed(remainder, 64)


def test_the_checksum_of_redis() -> None:
    assert crc64(b'123456789') == 0xE9C6D914C4B8D9CA
    assert crc64(b'') == 0


@pytest.mark.parametrize('size', [1, 7, 8, 9, 4095, 4096, 4097, 11_528, (1 << 18) + 5000])
def test_the_checksum_of_any_size(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert crc64(data) == _crc_bit_by_bit(data)


_INTEGERS = st.integers(-(1 << 63), (1 << 63) - 1)
_SIZES = st.sampled_from((0, 1, 63, 64, 124, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 2_097_144, 2_097_150))


@given(st.lists(st.one_of(st.binary(max_size=70), _INTEGERS.map(lambda number: b'%d' % number), _SIZES.map(bytes))))
@example([b'%d' % (sign * (1 << power) - less) for power in range(63) for sign in (1, -1) for less in (0, 1)])
def test_a_listpack_gives_back_what_it_holds(elements: list[bytes]) -> None:
    packed = listpack.Listpack()
    for element in elements:
        packed.add(element)
    assert listpack.elements(packed.packed(), len(elements)) == elements


def test_a_listpack_with_more_elements_than_may_be_is_refused() -> None:
    packed = listpack.Listpack()
    for _ in range(3):
        packed.add_integer(1)
    with pytest.raises(BadPayload):
        listpack.elements(packed.packed(), 2)


@pytest.mark.parametrize(
    ('data', 'text'),
    [
        (b'', b''),
        (b'\x02abc', b'abc'),
        (b'\x00a\xe0\x17\x00', b'a' * 33),  # over and over
        (b'\x05abcdef\x20\x05', b'abcdefabc'),  # without an overlap
        (b'\x01ab\x60\x01', b'abababa'),
    ],
)
def test_lzf(data: bytes, text: bytes) -> None:
    assert lzf.decompress(data, len(text)) == text
    for size in (len(text) - 1, len(text) + 1):
        with pytest.raises(BadPayload):
            lzf.decompress(data, size)

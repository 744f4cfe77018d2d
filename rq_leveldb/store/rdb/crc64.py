"""The checksum of a serialized value: CRC-64 with the polynomial of Jones, as Redis computes it.

A loop over the bytes of 10 MB would take a second. So most of the data is folded first, as a polynomial over GF(2) in
one large integer: its first part is replaced by sums further on that leave the same remainder.
"""

from __future__ import annotations

_POLYNOMIAL = 0x95AC9329AC4BC9B5
"""Without its highest term; the lowest bit is the coefficient of x**63."""

_POWER = 11528
_TERMS = (3148, 1052, 42, 36, 35, 26, 16, 15, 5, 4, 1)
"""x**_POWER leaves the same remainder as the sum of x to these powers. Squaring doubles all of them, so the same is
true of the doubles. Found by search: with few terms there are few shifts."""

_CHUNK = 1 << 18
"""Bytes that are folded at once; they fit into a processor's cache."""
_SMALLEST = 4096
"""Bytes below which folding does not pay."""


def _table() -> tuple[int, ...]:
    found = []
    for remainder in range(256):
        for _ in range(8):
            remainder = remainder >> 1 ^ (_POLYNOMIAL if remainder & 1 else 0)
        found.append(remainder)
    return tuple(found)


_TABLE = _table()


def crc64(data: bytes | bytearray | memoryview) -> int:
    """Return the checksum of some bytes."""
    crc = 0
    view = memoryview(data)
    for start in range(0, len(view), _CHUNK):
        chunk = view[start : start + _CHUNK]
        if len(chunk) >= _SMALLEST:
            crc = _plain(_folded(int.from_bytes(chunk, 'little') ^ crc, 8 * len(chunk)), 0)
        else:
            crc = _plain(bytes(chunk), crc)
    return crc


def _plain(data: bytes, crc: int) -> int:
    table = _TABLE
    for byte in data:
        crc = table[crc & 0xFF ^ byte] ^ crc >> 8
    return crc


def _folded(number: int, bits: int) -> bytes:
    """Return fewer bytes with the same checksum.

    Args:
        number: the bytes; the lowest bit is the coefficient of the highest power.
        bits: how many bits they are.
    """
    scale = 0
    while bits > 4 * _POWER << scale:
        scale += 1
    while scale >= 0:
        power = _POWER << scale
        most = power - (_TERMS[0] << scale)
        while bits >= power + most:
            # `top` times x**(bits - most) becomes the sum of `top` times x**(bits - most - power + term).
            count = most // 8 * 8
            top = number & (1 << count) - 1
            number >>= count
            bits -= count
            folded = 0
            for term in _TERMS:
                folded ^= top << power - (term << scale) - count
            number ^= folded
        scale -= 1
    return number.to_bytes(bits // 8, 'little')

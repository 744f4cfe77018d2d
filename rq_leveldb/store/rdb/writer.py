"""Writing lengths and strings of a serialized value, up to a limit."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from rq_leveldb.store.arguments import is_integer

_LONGEST_INTEGER = len(b'%d' % -(1 << 31))
_WIDTHS = ((0xC0, 1), (0xC1, 2), (0xC2, 4))
"""The byte before an integer in place of a string, and how many bytes follow."""
_TIME = struct.Struct('<q')
_DOUBLE = struct.Struct('<d')
_RESERVED = struct.Struct('>BI')


class TooLarge(Exception):
    """A value does not fit into one argument of RESTORE."""


@dataclass(eq=False, slots=True)
class Writer:
    """A serialized value that grows.

    Args:
        limit: how many bytes it may have.

    Attributes:
        data: what was written.
    """

    _limit: int
    data: bytearray = field(default_factory=bytearray)

    def put(self, piece: bytes) -> None:
        """Write some bytes as they are.

        Raises:
            TooLarge: they are too many.
        """
        if len(self.data) + len(piece) > self._limit:
            raise TooLarge
        self.data += piece

    def length(self, number: int) -> None:
        """Write a length, count or other number of at most 64 bits."""
        self.put(_length(number))

    def string(self, text: bytes) -> None:
        """Write a string; one that is a small integer's text is written as the integer."""
        if len(text) <= _LONGEST_INTEGER and is_integer(text):
            number = int(text)
            for code, width in _WIDTHS:
                if -1 << 8 * width - 1 <= number < 1 << 8 * width - 1:
                    self.put(bytes((code,)) + number.to_bytes(width, 'little', signed=True))
                    return
        self.blob(text)

    def blob(self, data: bytes) -> None:
        """Write bytes that are no text as a string."""
        self.put(_length(len(data)))
        self.put(data)

    def reserve(self) -> int:
        """Leave room for a count that is known later; return where."""
        place = len(self.data)
        self.put(_RESERVED.pack(0x80, 0))
        return place

    def fill(self, place: int, count: int) -> None:
        """Write a count, of at most 32 bits, where room was left for it."""
        _RESERVED.pack_into(self.data, place, 0x80, count)

    def time(self, ms: int) -> None:
        """Write a time in ms, -1 for never."""
        self.put(_TIME.pack(ms))

    def double(self, number: float) -> None:
        """Write a floating-point number."""
        self.put(_DOUBLE.pack(number))


def _length(number: int) -> bytes:
    if number < 0x40:
        return bytes((number,))
    if number < 0x4000:
        return (0x4000 | number).to_bytes(2, 'big')
    if number < 1 << 32:
        return b'\x80' + number.to_bytes(4, 'big')
    return b'\x81' + number.to_bytes(8, 'big')

"""Reading lengths and strings of a serialized value, never more than there is, nor more than fits into memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.rdb import lzf
from rq_leveldb.store.rdb.fault import BadPayload

ELEMENT = 256
"""Bytes of memory that a value needs for each element, beside the element's own, until it is committed."""
PART = 64
"""Bytes of memory that a byte string needs beside its own."""

_INTEGERS = {0: 1, 1: 2, 2: 4}
"""Bytes of an integer in place of a string, by its code."""
_LZF = 3
_TIME = struct.Struct('<q')
_DOUBLE = struct.Struct('<d')


@dataclass(eq=False, slots=True)
class Reader:
    """A cursor over a serialized value.

    Args:
        data: the bytes.
        room: bytes of memory that all of what is read may need.
    """

    _data: bytes
    _room: int
    _at: int = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            BadPayload: there are fewer.
        """
        start = self._at
        self._at = end = start + count
        if end > len(self._data):
            raise BadPayload
        return self._data[start:end]

    def spend(self, size: int) -> None:
        """Count memory that what was read will need.

        Raises:
            BadPayload: it is more than there is room for.
        """
        self._room -= size
        if self._room < 0:
            raise BadPayload

    def length(self) -> int:
        """Return a length, count or other number that is not negative."""
        first = self.take(1)[0]
        if first < 0x40:
            return first
        if first < 0x80:
            return (first & 0x3F) << 8 | self.take(1)[0]
        if first == 0x80:
            return int.from_bytes(self.take(4), 'big')
        if first == 0x81:
            return int.from_bytes(self.take(8), 'big')
        raise BadPayload

    def string(self) -> bytes:
        """Return a string that is an element of its own."""
        self.spend(ELEMENT)
        return self.blob()

    def blob(self) -> bytes:
        """Return a string, however it is encoded."""
        data, at = self._data, self._at
        if at >= len(data):
            raise BadPayload
        first = data[at]
        if first < 0x40:
            # Most are short.
            self._at = end = at + 1 + first
            if end > len(data):
                raise BadPayload
            return data[at + 1 : end]
        if first < 0xC0:
            size = self.length()
            self.spend(size)
            return self.take(size)
        self._at = at + 1
        code = first & 0x3F
        if code in _INTEGERS:
            return b'%d' % int.from_bytes(self.take(_INTEGERS[code]), 'little', signed=True)
        if code != _LZF:
            raise BadPayload
        packed, size = self.length(), self.length()
        self.spend(size)
        return lzf.decompress(self.take(packed), size)

    def elements(self, read: Callable[[bytes, int], list[bytes]], cost: int = ELEMENT) -> list[bytes]:
        """Return the elements of a compact list.

        Args:
            read: returns the elements in some bytes, of which there may be so many.
            cost: bytes of memory that each needs beside its own.
        """
        found = read(self.blob(), self._room // cost)
        self.spend(cost * len(found))
        return found

    def time(self) -> int:
        """Return a time in ms, -1 for never."""
        number: int = _TIME.unpack(self.take(_TIME.size))[0]
        if number < -1:
            raise BadPayload
        return number

    def double(self) -> float:
        """Return a floating-point number."""
        return float(_DOUBLE.unpack(self.take(_DOUBLE.size))[0])

    def stream_id(self) -> tuple[int, int]:
        """Return a stream's id of two lengths."""
        return self.length(), self.length()

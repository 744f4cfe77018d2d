"""Listpacks, the compact lists of Redis: each element is followed by its own size, so that it can be read backwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from rq_leveldb.store.arguments import MAX_INTEGER, MIN_INTEGER, is_integer
from rq_leveldb.store.rdb.fault import BadPayload

_HEADER = 6
_END = 0xFF
_UNKNOWN = 0xFFFF
_WIDTHS = {0xF1: 2, 0xF2: 3, 0xF3: 4, 0xF4: 8}
"""Bytes of an integer, by the byte before it."""
_LONGEST_INTEGER = len(b'%d' % MIN_INTEGER)


def elements(data: bytes, most: int) -> list[bytes]:
    """Return the elements, integers as text.

    Args:
        data: the listpack.
        most: how many there may be.

    Raises:
        BadPayload: it is none, or there are more.
    """
    size = len(data)
    if size <= _HEADER or int.from_bytes(data[:4], 'little') != size or data[-1] != _END:
        raise BadPayload
    last = size - 1
    at = _HEADER
    found: list[bytes] = []
    try:
        while at < last:
            first = data[at]
            if first < 0x80:
                used = 1
                found.append(b'%d' % first)
            elif first < 0xC0:
                used = 1 + (first & 0x3F)
                found.append(data[at + 1 : at + used])
            elif first < 0xE0:
                used = 2
                number = (first & 0x1F) << 8 | data[at + 1]
                found.append(b'%d' % (number - (1 << 13) if number >> 12 else number))
            elif first < 0xF0:
                used = 2 + ((first & 0x0F) << 8 | data[at + 1])
                found.append(data[at + 2 : at + used])
            elif first == 0xF0:
                used = 5 + int.from_bytes(data[at + 1 : at + 5], 'little')
                found.append(data[at + 5 : at + used])
            elif first in _WIDTHS:
                used = 1 + _WIDTHS[first]
                found.append(b'%d' % int.from_bytes(data[at + 1 : at + used], 'little', signed=True))
            else:
                raise BadPayload
            at += used
            if used < 128:
                if data[at] != used:
                    raise BadPayload
                at += 1
            else:
                size_again = _backwards(used)
                if data[at : at + len(size_again)] != size_again:
                    raise BadPayload
                at += len(size_again)
            if len(found) > most:
                raise BadPayload
    except IndexError:
        raise BadPayload from None
    if at != last or int.from_bytes(data[4:6], 'little') not in (len(found), _UNKNOWN):
        raise BadPayload
    return found


@dataclass(eq=False, slots=True)
class Listpack:
    """A listpack that is being written.

    Attributes:
        count: how many elements it has.
        body: the elements.
    """

    count: int = 0
    body: bytearray = field(default_factory=bytearray)

    def add(self, element: bytes) -> None:
        """Add an element; one that is an integer's text is written as the integer."""
        size = len(element)
        if size <= _LONGEST_INTEGER and is_integer(element):
            self.add_integer(int(element))
        elif size < 0x40:
            self._put(bytes((0x80 | size,)) + element)
        elif size < 0x1000:
            self._put(bytes((0xE0 | size >> 8, size & 0xFF)) + element)
        else:
            self._put(b'\xf0' + size.to_bytes(4, 'little') + element)

    def add_integer(self, number: int) -> None:
        """Add an integer of 64 bits; one outside is wrapped around, as in C."""
        if 0 <= number < 0x80:
            self._put(bytes((number,)))
        elif -(1 << 12) <= number < 1 << 12:
            self._put((0xC000 | number & 0x1FFF).to_bytes(2, 'big'))
        else:
            if not MIN_INTEGER <= number <= MAX_INTEGER:
                number = (number - MIN_INTEGER) % (1 << 64) + MIN_INTEGER
            for code, width in _WIDTHS.items():
                if number.bit_length() < 8 * width or number == -1 << 8 * width - 1:
                    self._put(bytes((code,)) + number.to_bytes(width, 'little', signed=True))
                    break

    def _put(self, entry: bytes) -> None:
        self.body += entry
        self.body += _backwards(len(entry))
        self.count += 1

    def extend(self, other: Listpack) -> None:
        """Add all elements of another listpack."""
        self.body += other.body
        self.count += other.count

    def packed(self) -> bytes:
        """Return the bytes."""
        size = _HEADER + len(self.body) + 1
        count = min(self.count, _UNKNOWN)
        return b''.join((size.to_bytes(4, 'little'), count.to_bytes(2, 'little'), self.body, b'\xff'))


def _backwards(size: int) -> bytes:
    """Return an entry's size as it stands behind it: seven bits a byte, the first byte without the eighth."""
    if size < 128:
        return bytes((size,))
    found = [size & 0x7F | 0x80]
    # One less than seven bits a byte could hold: so does Redis.
    most = 16383
    while size >= most:
        found.append(size >> 7 * len(found) & 0x7F | 0x80)
        most = (most + 1 << 7) - 1
    found.append(size >> 7 * len(found))
    return bytes(reversed(found))

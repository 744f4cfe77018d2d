"""Ziplists, the compact lists of Redis before 7.0: read only."""

from __future__ import annotations

from rq_leveldb.store.rdb.fault import BadPayload

_HEADER = 10
_END = 0xFF
_BIG = 0xFE
_UNKNOWN = 0xFFFF
_WIDTHS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}
"""Bytes of an integer, by the byte before it."""


def elements(data: bytes, most: int) -> list[bytes]:
    """Return the elements, integers as text.

    Args:
        data: the ziplist.
        most: how many there may be.

    Raises:
        BadPayload: it is none, or there are more.
    """
    size = len(data)
    if size <= _HEADER or int.from_bytes(data[:4], 'little') != size or data[-1] != _END:
        raise BadPayload
    last = size - 1
    at = _HEADER
    before = start = 0
    found: list[bytes] = []
    try:
        while at < last:
            start = at
            length = data[at]
            at += 1
            if length == _BIG:
                length = int.from_bytes(data[at : at + 4], 'little')
                at += 4
            if length != before:
                raise BadPayload
            first = data[at]
            width = _WIDTHS.get(first)
            at += 1
            if width is not None:
                found.append(b'%d' % int.from_bytes(data[at : at + width], 'little', signed=True))
                at += width
            elif first > 0xF0:
                # 0xF1 to 0xFD: the integers from 0 to 12. 0xFF would be the end.
                found.append(b'%d' % (first - 0xF1))
            else:
                if first < 0x40:
                    length = first
                elif first < 0x80:
                    length = (first & 0x3F) << 8 | data[at]
                    at += 1
                elif first == 0x80:
                    length = int.from_bytes(data[at : at + 4], 'big')
                    at += 4
                else:
                    raise BadPayload
                found.append(data[at : at + length])
                at += length
            before = at - start
            if at > last or len(found) > most:
                raise BadPayload
    except IndexError:
        raise BadPayload from None
    count = int.from_bytes(data[8:10], 'little')
    if count not in (len(found), _UNKNOWN) or int.from_bytes(data[4:8], 'little') != (start or _HEADER):
        raise BadPayload
    return found

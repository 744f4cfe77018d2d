"""Intsets: small sets of integers, sorted, each of the same width."""

from __future__ import annotations

import struct
from itertools import pairwise

from rq_leveldb.store.rdb.fault import BadPayload

_HEADER = struct.Struct('<II')
_FORMATS = {2: 'h', 4: 'i', 8: 'q'}


def members(data: bytes, most: int) -> list[bytes]:
    """Return the members of an intset as text.

    Args:
        data: the intset.
        most: how many there may be.

    Raises:
        BadPayload: it is none, it is empty or not in order, or there are more.
    """
    if len(data) < _HEADER.size:
        raise BadPayload
    width, count = _HEADER.unpack_from(data)
    if width not in _FORMATS or not 0 < count <= most or len(data) != _HEADER.size + count * width:
        raise BadPayload
    numbers = struct.unpack_from(f'<{count}{_FORMATS[width]}', data, _HEADER.size)
    if any(left >= right for left, right in pairwise(numbers)):
        raise BadPayload
    return [b'%d' % number for number in numbers]

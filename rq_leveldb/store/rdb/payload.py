"""What DUMP returns and RESTORE takes: a serialized value, the version of the serialization, and a checksum."""

from __future__ import annotations

import struct

from rq_leveldb.store.rdb.crc64 import crc64
from rq_leveldb.store.rdb.fault import BadPayload

VERSION = 11
"""What is written: that of Redis 7.2."""
NEWEST = 12
"""What is read, with everything older: that of Redis 7.4 to 8.2."""

_VERSION = struct.Struct('<H')
_CHECKSUM = struct.Struct('<Q')


def seal(data: bytearray) -> bytes:
    """Return a serialized value with its version and checksum."""
    data += _VERSION.pack(VERSION)
    data += _CHECKSUM.pack(crc64(data))
    return bytes(data)


def unseal(payload: bytes) -> bytes:
    """Return the serialized value of a payload.

    Raises:
        BadPayload: it is too short, its version is too new, or its checksum is wrong.
    """
    size = len(payload) - _VERSION.size - _CHECKSUM.size
    if size < 0 or _VERSION.unpack_from(payload, size)[0] > NEWEST:
        raise BadPayload
    if _CHECKSUM.unpack_from(payload, size + _VERSION.size)[0] != crc64(memoryview(payload)[: size + _VERSION.size]):
        raise BadPayload
    return payload[:size]

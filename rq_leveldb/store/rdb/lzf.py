"""LZF, in which Redis compresses long strings. It is only read here: compressing in Python would hold everybody up."""

from __future__ import annotations

from rq_leveldb.store.rdb.fault import BadPayload

_LITERALS = 1 << 5
"""Control bytes below this are followed by so many literal bytes and one; others refer to bytes that came before."""


def decompress(data: bytes, size: int) -> bytes:
    """Return what was compressed.

    Args:
        data: the compressed bytes.
        size: how many bytes they become; never are more made.

    Raises:
        BadPayload: they become fewer or more, or are not LZF.
    """
    found = bytearray()
    at = 0
    end = len(data)
    try:
        while at < end:
            control = data[at]
            at += 1
            if control < _LITERALS:
                stop = at + control + 1
                if stop > end:
                    raise BadPayload
                found += data[at:stop]
                at = stop
            else:
                count = control >> 5
                if count == 7:
                    count += data[at]
                    at += 1
                count += 2
                distance = ((control & 31) << 8 | data[at]) + 1
                at += 1
                start = len(found) - distance
                if start < 0:
                    raise BadPayload
                if distance >= count:
                    found += found[start : start + count]
                else:
                    # It overlaps what it makes: a pattern that repeats.
                    found += (found[start:] * (count // distance + 1))[:count]
            if len(found) > size:
                raise BadPayload
    except IndexError:
        raise BadPayload from None
    if len(found) != size:
        raise BadPayload
    return bytes(found)

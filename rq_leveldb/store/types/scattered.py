"""Members ordered by checksum: those of a large set, and the fields of a large hash.

The order is independent of the members' contents, so a random place in it can be drawn. Removing random members never
leaves a long run of tombstones that LevelDB would have to walk over.
"""

from __future__ import annotations

import random
from itertools import islice

from rq_leveldb.store import encoding
from rq_leveldb.store.overlay import Overlay

_DISTURBANCE = 16


def page(overlay: Overlay, prefix: bytes, position: int, count: int) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Return one step of HSCAN or SSCAN.

    Args:
        overlay: where the records are.
        prefix: of the keys, up to the checksum.
        position: where the previous step ended, 0 for the first.
        count: about how many members.

    Returns:
        Where this step ended, 0 at the end; members and their values.
    """
    found: list[tuple[bytes, bytes]] = []
    last = -1
    if position >= encoding.CHECKSUM_END:
        return 0, found
    size = len(prefix)
    for key, value in overlay.scan(prefix + encoding.u32(position), encoding.after(prefix)):
        checksum = encoding.read_u32(key, size)
        # Members with the same checksum stay together, since the next step begins at a checksum.
        if len(found) >= count and checksum != last:
            return checksum, found
        last = checksum
        found.append((key[size + encoding.CHECKSUM_SIZE :], value))
    return 0, found


def draw(overlay: Overlay, prefix: bytes, count: int) -> list[tuple[bytes, bytes]]:
    """Return different members with their values: neighbours from a random place on.

    Args:
        overlay: where the records are.
        prefix: of the keys, up to the checksum.
        count: how many; all if there are no more.
    """
    size = len(prefix) + encoding.CHECKSUM_SIZE
    start = prefix + random.randbytes(encoding.CHECKSUM_SIZE)
    ranges = ((start, encoding.after(prefix)), (prefix, start))
    members = ((key[size:], value) for first, stop in ranges for key, value in overlay.scan(first, stop))
    # Without this, a member after a wide gap would be drawn more often than others.
    skipped = list(islice(members, random.randrange(_DISTURBANCE)))
    found = list(islice(members, count))
    return found + skipped[: count - len(found)]

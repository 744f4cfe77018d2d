"""Cursors of SCAN and ZSCAN: numbers to the clients, while what is scanned here is ordered by bytes.

A cursor is a digest of the last element seen, and a table leads from it back to the element. The table has a bound, and
is empty after a restart: whoever comes with a cursor that is not known any more starts over, and sees elements twice
but misses none, which is what SCAN promises.

A cursor stays below 2^53: clients written in JavaScript keep it in a double.
"""

from __future__ import annotations

import hashlib

MAX_CURSORS = 4096
MAX_BYTES = 4 << 20
_BITS = 53


class Cursors:
    """The cursors that were handed out and may come back."""

    def __init__(self) -> None:
        self._elements: dict[int, bytes] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._elements)

    def issue(self, element: bytes) -> int:
        """Return the cursor, never 0.

        Args:
            element: the last one that the client has seen.
        """
        digest = hashlib.blake2b(element, digest_size=8).digest()
        cursor = int.from_bytes(digest, 'big') >> (64 - _BITS) or 1
        known = self._elements.pop(cursor, None)
        if known is None:
            self._bytes += len(element)
        self._elements[cursor] = element
        while len(self._elements) > MAX_CURSORS or (self._bytes > MAX_BYTES and len(self._elements) > 1):
            oldest = next(iter(self._elements))
            self._bytes -= len(self._elements.pop(oldest))
        return cursor

    def resolve(self, cursor: int) -> bytes | None:
        """Return the element that the scan goes on behind, None to start over."""
        return self._elements.get(cursor)

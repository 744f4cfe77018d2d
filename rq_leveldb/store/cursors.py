"""Cursors of SCAN and ZSCAN: clients get numbers, while scans here are ordered by bytes.

A cursor is a digest of the last element seen, and a table maps it back to the element. The table's size is limited, and
it is empty after a restart. A client with an unknown cursor starts over: it sees elements twice but misses none, as
SCAN promises.

A cursor stays below 2^53, since JavaScript clients keep it in a double.
"""

from __future__ import annotations

import hashlib

MAX_CURSORS = 4096
MAX_BYTES = 4 << 20
_BITS = 53


class Cursors:
    """The issued cursors that may come back."""

    def __init__(self) -> None:
        self._elements: dict[int, bytes] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._elements)

    def issue(self, element: bytes) -> int:
        """Return the cursor for an element, never 0.

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
        """Return the element after which the scan continues, or None to start over."""
        return self._elements.get(cursor)

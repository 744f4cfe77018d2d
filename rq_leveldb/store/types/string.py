"""Strings, whose bytes are stored in the meta record."""

from __future__ import annotations

from rq_leveldb.store import encoding
from rq_leveldb.store.arguments import is_integer
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.value import Value


class String(Value):
    """A string.

    Args:
        overlay: as for every value.
        version: not used by strings.
        data: the bytes.
    """

    __slots__ = ('data',)
    type_name = 'string'

    def __init__(self, overlay: Overlay, version: int = 0, data: bytes = b'') -> None:
        super().__init__(overlay, 0)
        self.data = data

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> String:
        """Return the string in a meta record."""
        return cls(overlay, 0, encoding.meta_body(record))

    def is_empty(self) -> bool:
        """Return False: the empty string is a value too."""
        return False

    def has_members(self) -> bool:
        """Return False: all of a string is in its meta record."""
        return False

    def record(self) -> bytes:
        """Return the meta record."""
        return encoding.meta_record(encoding.TYPE_STRING, self.expire, self.indexed, self.data)

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``int``, ``embstr`` or ``raw``."""
        if is_integer(self.data):
            return b'int'
        return b'embstr' if len(self.data) <= 44 else b'raw'

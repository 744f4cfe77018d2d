"""The base of all types: the value of a key, as an object that is written back when it changed.

A value is loaded from its meta record, changed in memory, marked as changed by the caller
(:meth:`rq_leveldb.store.keyspace.Keyspace.changed`), and encoded once when the transaction commits, however often it
changed. Members outside the meta record are written to the overlay at once.
"""

from __future__ import annotations

from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay


class Value:
    """The value of a key.

    Args:
        overlay: where members are read and written.
        version: the incarnation that the members are stored under; 0 for a value without members.
    """

    __slots__ = ('expire', 'indexed', 'meta_key', 'overlay', 'version')

    type_name: str = 'none'
    """The type's name, as TYPE answers."""

    def __init__(self, overlay: Overlay, version: int) -> None:
        self.overlay = overlay
        self.version = version
        self.meta_key = b''
        self.expire = 0  # Unix time in ms, 0: never
        self.indexed = 0  # Unix time in ms of the entry in the expiry index, 0: none

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> Value:
        """Return the value that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        raise NotImplementedError

    def is_empty(self) -> bool:
        """Return whether the value is empty; its key is then removed when it is marked as changed."""
        raise NotImplementedError

    def has_members(self) -> bool:
        """Return whether records exist under the value's version, for the sweeper to remove with the key."""
        return self.version != 0 and not self.is_empty()

    def record(self) -> bytes:
        """Return the meta record."""
        raise NotImplementedError

    def encoding_name(self, layout: Layout) -> bytes:
        """Return the answer of OBJECT ENCODING: that of a Redis with these settings for such a value."""
        raise NotImplementedError

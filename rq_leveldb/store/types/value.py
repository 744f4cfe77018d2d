"""What every type has in common: the value of a key, as an object that is written back when it changed.

A value is loaded from its meta record, changed in memory, marked as changed by whoever changed it
(:meth:`rq_leveldb.store.keyspace.Keyspace.changed`), and encoded once when the transaction commits, however often it
changed in between. Members that do not live in the meta record go through the overlay at once.
"""

from __future__ import annotations

from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay


class Value:
    """The value of a key.

    Args:
        overlay: where members are read from and written to.
        version: the incarnation that the members live under; 0 for a value without members.
    """

    __slots__ = ('expire', 'indexed', 'meta_key', 'overlay', 'version')

    type_name: str = 'none'
    """As TYPE answers."""

    def __init__(self, overlay: Overlay, version: int) -> None:
        self.overlay = overlay
        self.version = version
        self.meta_key = b''
        self.expire = 0  # Unix time in ms, 0: never
        self.indexed = 0  # Unix time in ms of the entry in the expiry index, 0: none

    def is_empty(self) -> bool:
        """An empty value is no value: its key goes away when it is marked as changed."""
        raise NotImplementedError

    def has_members(self) -> bool:
        """Whether records are left under the value's version, which a sweeper has to remove when the key goes."""
        return self.version != 0 and not self.is_empty()

    def record(self) -> bytes:
        """Return the meta record."""
        raise NotImplementedError

    def encoding_name(self, layout: Layout) -> bytes:
        """As OBJECT ENCODING answers: what a Redis with these settings would give a value made as it is."""
        raise NotImplementedError

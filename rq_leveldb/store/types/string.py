"""Strings: the bytes stand in the meta record."""

from __future__ import annotations

from rq_leveldb.store import encoding
from rq_leveldb.store.arguments import is_integer
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.value import Value


class String(Value):
    __slots__ = ('data',)
    type_name = 'string'

    def __init__(self, overlay: Overlay, version: int = 0, data: bytes = b'') -> None:
        super().__init__(overlay, 0)
        self.data = data

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> String:
        return cls(overlay, 0, encoding.meta_body(record))

    def is_empty(self) -> bool:
        return False

    def has_members(self) -> bool:
        return False

    def record(self) -> bytes:
        return encoding.meta_record(encoding.TYPE_STRING, self.expire, self.indexed, self.data)

    def encoding_name(self, layout: Layout) -> bytes:
        if is_integer(self.data):
            return b'int'
        return b'embstr' if len(self.data) <= 44 else b'raw'

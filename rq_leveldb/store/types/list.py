"""Placeholder: being written."""

from __future__ import annotations

from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.value import Value


class List(Value):
    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> List:
        raise NotImplementedError

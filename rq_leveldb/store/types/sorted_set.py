"""Placeholder: being written."""

from __future__ import annotations

from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.value import Value


class SortedSet(Value):
    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> SortedSet:
        raise NotImplementedError

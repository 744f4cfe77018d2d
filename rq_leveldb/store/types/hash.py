"""Hashes: fields, each with a value."""

from __future__ import annotations

from collections.abc import Sequence

from rq_leveldb.store import encoding
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.types.collection import MAX_SMALL_BYTES, MAX_SMALL_MEMBERS, Collection


class Hash(Collection):
    """A hash, small or large."""

    __slots__ = ()
    type_name = 'hash'
    small_type = encoding.TYPE_SMALL_HASH
    large_type = encoding.TYPE_LARGE_HASH
    tag = encoding.HASH_TAG
    _pack = staticmethod(encoding.small_hash_body)
    _unpack = staticmethod(encoding.read_small_hash)

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``listpack`` or ``hashtable``."""
        if len(self) > layout.hash_max_listpack_entries:
            return b'hashtable'
        most = layout.hash_max_listpack_value
        large = any(len(field) > most or len(value) > most for field, value in self.items())
        return b'hashtable' if large else b'listpack'

    def set(self, field: bytes, value: bytes) -> bool:
        """Set a field; return whether it is new."""
        if self._small is not None:
            old = self._small.get(field)
            self._small[field] = value
            self._bytes += len(value) + (len(field) if old is None else -len(old))
            if self._bytes > MAX_SMALL_BYTES or len(self._small) > MAX_SMALL_MEMBERS:
                self._enlarge()
            return old is None
        key = encoding.scattered_member(self.version, self.tag, field)
        new = self.overlay.get(key) is None
        self.overlay.put(key, value)
        self._count += new
        return new

    def set_many(self, fields: Sequence[bytes], values: Sequence[bytes]) -> int:
        """Set fields; return how many are new."""
        small = self._small
        if small is None:
            return sum(map(self.set, fields, values))
        before = len(small)
        small.update(zip(fields, values, strict=True))
        new = len(small) - before
        self._bytes = sum(map(len, small)) + sum(map(len, small.values()))
        if self._bytes > MAX_SMALL_BYTES or len(small) > MAX_SMALL_MEMBERS:
            self._enlarge()
        return new

    def as_dict(self) -> dict[bytes, bytes]:
        """Return fields and values as they are now; only for a hash that fits into memory."""
        return dict(self._small) if self._small is not None else dict(self.items())

"""Sets: members without values."""

from __future__ import annotations

from collections.abc import Iterator

from rq_leveldb.store import encoding
from rq_leveldb.store.arguments import is_integer
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.types.collection import MAX_SMALL_BYTES, MAX_SMALL_MEMBERS, Collection


class Set(Collection):
    """A set, small or large."""

    __slots__ = ()
    type_name = 'set'
    small_type = encoding.TYPE_SMALL_SET
    large_type = encoding.TYPE_SET
    tag = encoding.SET_TAG
    _pack = staticmethod(encoding.small_set_body)
    _unpack = staticmethod(encoding.read_small_set)

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``intset``, ``listpack`` or ``hashtable``."""
        if len(self) <= layout.set_max_intset_entries and all(map(is_integer, self)):
            return b'intset'
        if len(self) > layout.set_max_listpack_entries:
            return b'hashtable'
        return b'listpack' if all(len(member) <= layout.set_max_listpack_value for member in self) else b'hashtable'

    def __contains__(self, member: bytes) -> bool:
        return member in self._small if self._small is not None else self.get(member) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Return the members as they are now."""
        return iter(list(self._small)) if self._small is not None else (member for member, _ in self.items())

    def add(self, member: bytes) -> bool:
        """Add a member; return whether it is new."""
        members = self._small
        if members is not None:
            if member in members:
                return False
            members[member] = b''
            self._bytes += len(member)
            if self._bytes > MAX_SMALL_BYTES or len(members) > MAX_SMALL_MEMBERS:
                self._enlarge()
            return True
        key = encoding.scattered_member(self.version, self.tag, member)
        if self.overlay.get(key) is not None:
            return False
        self.overlay.put(key, b'')
        self._count += 1
        return True

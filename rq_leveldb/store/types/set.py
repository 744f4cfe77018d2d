"""Sets. A small one is stored in its meta record; a large one has a record per member, ordered by checksum.

Like a hash, a set becomes large when it exceeds the limits, and never becomes small again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from rq_leveldb.store import encoding
from rq_leveldb.store.arguments import is_integer
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types import scattered
from rq_leveldb.store.types.value import Value

MAX_SMALL_MEMBERS = 128
MAX_SMALL_BYTES = 4096


class Set(Value):
    """A set, small or large."""

    __slots__ = ('_bytes', '_count', '_members')
    type_name = 'set'

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self._members: dict[bytes, None] | None = {}
        self._count = 0  # of a large set
        self._bytes = 0  # of a small set

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> Set:
        """Return the set that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        if record[0] == encoding.TYPE_SMALL_SET:
            self = cls(overlay, 0)
            self._members = encoding.read_small_set(record)
            self._bytes = len(record)
        else:
            encoding.check_large(record)
            version, count = encoding.read_counted_body(record)
            self = cls(overlay, version)
            self._members = None
            self._count = count
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        if self._members is not None:
            body = encoding.strings_body(list(self._members))
            return encoding.meta_record(encoding.TYPE_SMALL_SET, self.expire, self.indexed, body)
        body = encoding.counted_body(self.version, self._count)
        return encoding.meta_record(encoding.TYPE_SET, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return whether the set has no members."""
        return not self._members if self._members is not None else self._count == 0

    def has_members(self) -> bool:
        """Return whether there are members outside the meta record."""
        return self._members is None and self._count > 0

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``intset``, ``listpack`` or ``hashtable``."""
        if len(self) <= layout.set_max_intset_entries and all(map(is_integer, self)):
            return b'intset'
        if len(self) > layout.set_max_listpack_entries:
            return b'hashtable'
        return b'listpack' if all(len(member) <= layout.set_max_listpack_value for member in self) else b'hashtable'

    def __len__(self) -> int:
        return len(self._members) if self._members is not None else self._count

    def __contains__(self, member: bytes) -> bool:
        if self._members is not None:
            return member in self._members
        return self.overlay.get(encoding.set_member(self.version, member)) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Return the members as they are now."""
        if self._members is not None:
            return iter(list(self._members))
        # Counted, since tombstones of another value may follow the last member.
        members = scattered.scan(self.overlay, encoding.set_members(self.version))
        return (member for member, _ in islice(members, self._count))

    def add(self, member: bytes) -> bool:
        """Add a member; return whether it is new."""
        members = self._members
        if members is not None:
            if member in members:
                return False
            members[member] = None
            self._bytes += len(member)
            if self._bytes > MAX_SMALL_BYTES or len(members) > MAX_SMALL_MEMBERS:
                self._enlarge()
            return True
        key = encoding.set_member(self.version, member)
        if self.overlay.get(key) is not None:
            return False
        self.overlay.put(key, b'')
        self._count += 1
        return True

    def remove(self, member: bytes) -> bool:
        """Remove a member; return whether it existed."""
        members = self._members
        if members is not None:
            if member not in members:
                return False
            del members[member]
            self._bytes -= len(member)
            return True
        key = encoding.set_member(self.version, member)
        if self.overlay.get(key) is None:
            return False
        self.overlay.delete(key)
        self._count -= 1
        return True

    def page(self, position: int, count: int) -> tuple[int, list[bytes]]:
        """Return one step of an iteration, which may go on whatever changes between steps.

        Args:
            position: where the previous step ended, 0 for the first.
            count: about how many members.

        Returns:
            Where this step ended, 0 at the end; members.
        """
        if self._members is not None:
            return 0, list(self._members)
        end, found = scattered.page(self.overlay, encoding.set_members(self.version), position, count)
        return end, [member for member, _ in found]

    def draw(self, count: int) -> list[bytes]:
        """Return different random members.

        Args:
            count: how many; all if there are no more.
        """
        if self._members is not None:
            members = list(self._members)
            return members if count >= len(members) else random.sample(members, count)
        if count >= self._count:
            found = list(iter(self))
        else:
            found = [member for member, _ in scattered.draw(self.overlay, encoding.set_members(self.version), count)]
        if not found:
            raise encoding.DamagedRecord('its members are missing')
        return found

    def _enlarge(self) -> None:
        members = self._members or {}
        self._members = None
        self._count = len(members)
        self.version = self.overlay.new_version()
        for member in members:
            self.overlay.put(encoding.set_member(self.version, member), b'')

"""What hashes and sets have in common: members, each with a value, which is empty in a set.

A small collection, such as every RQ job, is stored in its meta record. A large one has a record per member, ordered by
checksum. A small one is rewritten whole when a member changes. Up to some size this is cheaper than a record per
member, and the many HSETs of one transaction become one put. A collection becomes large when it exceeds the limits
below, and never becomes small again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, TypeVar

from rq_leveldb.store import encoding
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types import scattered
from rq_leveldb.store.types.value import Value

MAX_SMALL_MEMBERS = 128
MAX_SMALL_BYTES = 4096

C = TypeVar('C', bound='Collection')


class Collection(Value):
    """A collection, small or large; `_small` has the members of a small one."""

    __slots__ = ('_bytes', '_count', '_small')
    small_type: ClassVar[int]
    large_type: ClassVar[int]
    tag: ClassVar[bytes]
    """That of the members' keys."""

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self._small: dict[bytes, bytes] | None = {}
        self._count = 0  # of a large one
        self._bytes = 0  # of a small one: members and values together

    @staticmethod
    def _pack(members: dict[bytes, bytes], /) -> bytes:
        raise NotImplementedError

    @staticmethod
    def _unpack(record: bytes, /) -> dict[bytes, bytes]:
        raise NotImplementedError

    @classmethod
    def load(cls: type[C], overlay: Overlay, record: bytes) -> C:
        """Return the collection that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        if record[0] == cls.small_type:
            self = cls(overlay, 0)
            self._small = cls._unpack(record)
            self._bytes = len(record)
        else:
            encoding.check_large(record)
            version, count = encoding.read_counted_body(record)
            self = cls(overlay, version)
            self._small = None
            self._count = count
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        if self._small is not None:
            return encoding.meta_record(self.small_type, self.expire, self.indexed, self._pack(self._small))
        body = encoding.counted_body(self.version, self._count)
        return encoding.meta_record(self.large_type, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return whether there are no members."""
        return not self._small if self._small is not None else self._count == 0

    def has_members(self) -> bool:
        """Return whether there are members outside the meta record."""
        return self._small is None and self._count > 0

    def __len__(self) -> int:
        return len(self._small) if self._small is not None else self._count

    def get(self, member: bytes) -> bytes | None:
        """Return a member's value, or None if there is no such member."""
        if self._small is not None:
            return self._small.get(member)
        return self.overlay.get(encoding.scattered_member(self.version, self.tag, member))

    def delete(self, member: bytes) -> bool:
        """Remove a member; return whether it existed."""
        if self._small is not None:
            old = self._small.pop(member, None)
            if old is None:
                return False
            self._bytes -= len(member) + len(old)
            return True
        key = encoding.scattered_member(self.version, self.tag, member)
        if self.overlay.get(key) is None:
            return False
        self.overlay.delete(key)
        self._count -= 1
        return True

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Return members and values as they are now."""
        if self._small is not None:
            return iter(list(self._small.items()))
        # Counted, since tombstones of another value may follow the last member.
        prefix = self._prefix()
        start = len(prefix) + encoding.CHECKSUM_SIZE
        return islice(((key[start:], value) for key, value in self.overlay.scan_prefix(prefix)), self._count)

    def page(self, position: int, count: int) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return one step of an iteration, which may go on whatever changes between steps.

        Args:
            position: where the previous step ended, 0 for the first.
            count: about how many members.

        Returns:
            Where this step ended, 0 at the end; members and values.
        """
        if self._small is not None:
            return 0, list(self._small.items())
        return scattered.page(self.overlay, self._prefix(), position, count)

    def draw(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return different random members with their values.

        Args:
            count: how many; all if there are no more.
        """
        if self._small is not None:
            items = list(self._small.items())
            return items if count >= len(items) else random.sample(items, count)
        found = list(self.items()) if count >= self._count else scattered.draw(self.overlay, self._prefix(), count)
        if not found:
            raise encoding.DamagedRecord('its members are missing')
        return found

    def _prefix(self) -> bytes:
        return encoding.scattered_members(self.version, self.tag)

    def _enlarge(self) -> None:
        members = self._small or {}
        self._small = None
        self._count = len(members)
        self.version = self.overlay.new_version()
        for member, value in members.items():
            self.overlay.put(encoding.scattered_member(self.version, self.tag, member), value)

"""Hashes. A small one, such as every RQ job, is stored in its meta record.

A large one has a record per field, ordered by checksum. A small hash is rewritten whole when a field changes. Up to
some size this is cheaper than a record per field, and the many HSETs of one transaction become one put. A hash becomes
large when it exceeds the limits below, and never becomes small again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import islice

from rq_leveldb.store import encoding
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types import scattered
from rq_leveldb.store.types.value import Value

MAX_SMALL_FIELDS = 128
MAX_SMALL_BYTES = 4096


class Hash(Value):
    """A hash, small or large."""

    __slots__ = ('_bytes', '_count', '_fields')
    type_name = 'hash'

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self._fields: dict[bytes, bytes] | None = {}
        self._count = 0  # of a large hash
        self._bytes = 0  # of a small hash: fields and values together

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> Hash:
        """Return the hash that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        if record[0] == encoding.TYPE_SMALL_HASH:
            self = cls(overlay, 0)
            self._fields = encoding.read_small_hash(record)
            self._bytes = len(record)
        else:
            encoding.check_large(record)
            version, count = encoding.read_counted_body(record)
            self = cls(overlay, version)
            self._fields = None
            self._count = count
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        if self._fields is not None:
            body = encoding.small_hash_body(self._fields)
            return encoding.meta_record(encoding.TYPE_SMALL_HASH, self.expire, self.indexed, body)
        body = encoding.counted_body(self.version, self._count)
        return encoding.meta_record(encoding.TYPE_LARGE_HASH, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return whether the hash has no fields."""
        return not self._fields if self._fields is not None else self._count == 0

    def has_members(self) -> bool:
        """Return whether there are fields outside the meta record."""
        return self._fields is None and self._count > 0

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``listpack`` or ``hashtable``."""
        if len(self) > layout.hash_max_listpack_entries:
            return b'hashtable'
        most = layout.hash_max_listpack_value
        large = any(len(field) > most or len(value) > most for field, value in self.items())
        return b'hashtable' if large else b'listpack'

    def __len__(self) -> int:
        return len(self._fields) if self._fields is not None else self._count

    def get(self, field: bytes) -> bytes | None:
        """Return a field's value, or None if there is no such field."""
        if self._fields is not None:
            return self._fields.get(field)
        return self.overlay.get(encoding.hash_field(self.version, field))

    def set(self, field: bytes, value: bytes) -> bool:
        """Set a field; return whether it is new."""
        if self._fields is not None:
            old = self._fields.get(field)
            self._fields[field] = value
            self._bytes += len(value) + (len(field) if old is None else -len(old))
            if self._bytes > MAX_SMALL_BYTES or len(self._fields) > MAX_SMALL_FIELDS:
                self._enlarge()
            return old is None
        key = encoding.hash_field(self.version, field)
        new = self.overlay.get(key) is None
        self.overlay.put(key, value)
        self._count += new
        return new

    def set_many(self, fields: Sequence[bytes], values: Sequence[bytes]) -> int:
        """Set fields; return how many are new."""
        small = self._fields
        if small is None:
            return sum(map(self.set, fields, values))
        before = len(small)
        small.update(zip(fields, values, strict=True))
        new = len(small) - before
        self._bytes = sum(map(len, small)) + sum(map(len, small.values()))
        if self._bytes > MAX_SMALL_BYTES or len(small) > MAX_SMALL_FIELDS:
            self._enlarge()
        return new

    def delete(self, field: bytes) -> bool:
        """Remove a field; return whether it existed."""
        if self._fields is not None:
            old = self._fields.pop(field, None)
            if old is None:
                return False
            self._bytes -= len(field) + len(old)
            return True
        key = encoding.hash_field(self.version, field)
        if self.overlay.get(key) is None:
            return False
        self.overlay.delete(key)
        self._count -= 1
        return True

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Return fields and values as they are now."""
        if self._fields is not None:
            return iter(list(self._fields.items()))
        # Counted, since tombstones of another value may follow the last field.
        return islice(scattered.scan(self.overlay, encoding.hash_fields(self.version)), self._count)

    def as_dict(self) -> dict[bytes, bytes]:
        """Return fields and values as they are now; only for a hash that fits into memory."""
        return dict(self._fields) if self._fields is not None else dict(self.items())

    def page(self, position: int, count: int) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return one step of an iteration, which may go on whatever changes between steps.

        Args:
            position: where the previous step ended, 0 for the first.
            count: about how many fields.

        Returns:
            Where this step ended, 0 at the end; fields and values.
        """
        if self._fields is not None:
            return 0, list(self._fields.items())
        return scattered.page(self.overlay, encoding.hash_fields(self.version), position, count)

    def draw(self, count: int) -> list[tuple[bytes, bytes]]:
        """Return different random fields with their values.

        Args:
            count: how many; all if there are no more.
        """
        if self._fields is not None:
            items = list(self._fields.items())
            return items if count >= len(items) else random.sample(items, count)
        if count >= self._count:
            found = list(self.items())
        else:
            found = scattered.draw(self.overlay, encoding.hash_fields(self.version), count)
        if not found:
            raise encoding.DamagedRecord('its fields are missing')
        return found

    def _enlarge(self) -> None:
        fields = self._fields or {}
        self._fields = None
        self._count = len(fields)
        self.version = self.overlay.new_version()
        for field, value in fields.items():
            self.overlay.put(encoding.hash_field(self.version, field), value)

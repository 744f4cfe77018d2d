"""Removing what can no longer be seen: expired keys, and members and keys without an owner.

The work is done in slices, each in its own transaction, so that clients get their turn. Each slice starts where the
last one ended. From the front, LevelDB would have to walk over the tombstones of everything removed there.
"""

from __future__ import annotations

import contextlib
from collections import deque

from rq_leveldb.store import encoding
from rq_leveldb.store.keyspace import Keyspace

_REMEMBERED = 10_000


class Sweeper:
    """The sweeper, which removes in slices what can no longer be seen.

    Args:
        keyspace: its open transaction takes the changes; the caller commits.

    Attributes:
        swept: values whose records were removed, since the start or the last :meth:`forget_statistics`.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._versions: deque[int] = deque()
        self._namespaces: deque[bytes] = deque()
        # Where the sweep of the first entry of each queue continues.
        self._member_position = b''
        self._key_position = b''
        self._rollbacks = -1
        self.swept = 0

    def counts(self) -> tuple[int, int]:
        """Return how many values and databases without an owner still have records, and how many have none left."""
        return len(self._versions) + len(self._namespaces) + len(self._keyspace.overlay.abandoned), self.swept

    def forget_statistics(self) -> None:
        """Reset the count of swept values."""
        self.swept = 0

    def take_due(self, limit: int) -> int:
        """Remove expired keys.

        Args:
            limit: how many entries of the expiry index to look at.

        Returns:
            How many were looked at.
        """
        keyspace = self._keyspace
        keyspace.write_changes()
        overlay = keyspace.overlay
        start = encoding.EXPIRY_PREFIX + encoding.u64(keyspace.next_due)
        keyspace.next_due = next_due = seen = 0
        for key, _ in overlay.scan(start, encoding.after(encoding.EXPIRY_PREFIX)):
            due, meta_key = encoding.due_key(key)
            if due > keyspace.now or seen >= limit:
                next_due = due
                break
            seen += 1
            overlay.delete(key)
            if keyspace.place(meta_key) is not None:
                # A damaged key stays, and whoever reads it gets an error; the others still expire.
                with contextlib.suppress(encoding.DamagedRecord):
                    keyspace.came_due(meta_key, due)
        keyspace.write_changes()
        if next_due and (not keyspace.next_due or next_due < keyspace.next_due):
            keyspace.next_due = next_due
        return seen

    def has_work(self) -> bool:
        """Return whether anything without an owner may be left."""
        return bool(
            self._versions
            or self._namespaces
            or self._keyspace.overlay.abandoned
            or self._rollbacks != self._keyspace.rollbacks
        )

    def sweep(self, limit: int) -> int:
        """Remove records without an owner.

        Args:
            limit: how many to remove at most.

        Returns:
            How many were removed.
        """
        self._learn()
        overlay = self._keyspace.overlay
        removed = 0
        while removed < limit:
            # Members first: sweeping keys leaves more of them behind.
            if self._versions:
                removed += self._sweep_members(limit - removed)
            elif self._namespaces:
                removed += self._sweep_keys(limit - removed)
                self._versions.extend(version for version in overlay.abandoned if isinstance(version, int))
                overlay.abandoned.clear()
            else:
                break
        return removed

    def _sweep_members(self, limit: int) -> int:
        overlay = self._keyspace.overlay
        owner = encoding.garbage_key(self._versions[0])
        removed = 0
        # The transaction that abandoned it may have been rolled back.
        if overlay.get(owner) is not None:
            prefix = encoding.members_prefix(self._versions[0])
            for key, _ in overlay.scan(self._member_position or prefix, encoding.after(prefix)):
                if removed >= limit:
                    return removed
                overlay.delete(key)
                self._member_position = key
                removed += 1
            overlay.delete(owner)
        self._versions.popleft()
        self.swept += 1
        self._member_position = b''
        return removed

    def _sweep_keys(self, limit: int) -> int:
        overlay = self._keyspace.overlay
        owner = encoding.garbage_namespace_key(self._namespaces[0])
        removed = 0
        if overlay.get(owner) is not None:
            prefix = encoding.meta_prefix(self._namespaces[0])
            for key, record in overlay.scan(self._key_position or prefix, encoding.after(prefix)):
                if removed >= limit:
                    return removed
                try:
                    _, _, indexed = encoding.meta_header(record)
                    version = encoding.meta_version(record)
                except encoding.UNREADABLE:
                    indexed = version = 0  # the check finds its other records
                if indexed:
                    overlay.delete(encoding.expiry_key(indexed, key))
                if version:
                    overlay.abandon(version)  # counted once its members are removed
                else:
                    self.swept += 1
                overlay.delete(key)
                self._key_position = key
                removed += 1
            overlay.delete(owner)
        self._namespaces.popleft()
        self._key_position = b''
        return removed

    def _learn(self) -> None:
        keyspace = self._keyspace
        overlay = keyspace.overlay
        if self._rollbacks != keyspace.rollbacks:
            self._rollbacks = keyspace.rollbacks
            self._member_position = self._key_position = b''
            self._versions.clear()
            self._namespaces.clear()
            self._read_back()
        for abandoned in overlay.abandoned:
            if isinstance(abandoned, bytes):
                self._namespaces.append(abandoned)
            else:
                self._versions.append(abandoned)
        overlay.abandoned.clear()

    def _read_back(self) -> None:
        engine = self._keyspace.engine
        prefix = encoding.GARBAGE_PREFIX
        for key, _ in engine.scan(prefix, encoding.after(prefix)):
            if len(key) == len(prefix) + 8:
                self._versions.append(encoding.read_u64(key, 1))
            if len(self._versions) >= _REMEMBERED:
                self._rollbacks = -1  # read more when these are done
                break
        prefix = encoding.GARBAGE_NAMESPACE_PREFIX
        # A shorter one would be a prefix of others.
        size = len(prefix) + encoding.NAMESPACE_SIZE
        self._namespaces.extend(key[1:] for key, _ in engine.scan(prefix, encoding.after(prefix)) if len(key) == size)

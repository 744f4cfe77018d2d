"""Removing what can no longer be seen: expired keys, and members and keys without an owner.

The work is done in slices, each in its own transaction, so that clients get their turn. Each slice starts where the
last one ended. From the front, LevelDB would have to walk over the tombstones of everything removed there.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

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
        self._positions: dict[bytes, bytes] = {}  # by the key of the owner's record, where its sweep continues
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
        version = self._versions[0]
        delete = self._keyspace.overlay.delete
        owner, prefix = encoding.garbage_key(version), encoding.members_prefix(version)
        removed, done = self._sweep(owner, prefix, limit, lambda key, record: delete(key))
        if done:
            self._versions.popleft()
            self.swept += 1
        return removed

    def _sweep_keys(self, limit: int) -> int:
        namespace = self._namespaces[0]
        owner, prefix = encoding.garbage_namespace_key(namespace), encoding.meta_prefix(namespace)
        removed, done = self._sweep(owner, prefix, limit, self._remove_key)
        if done:
            self._namespaces.popleft()
        return removed

    def _sweep(
        self, owner: bytes, prefix: bytes, limit: int, remove: Callable[[bytes, bytes], None]
    ) -> tuple[int, bool]:
        """Remove records that begin with a prefix; return how many, and whether none is left."""
        overlay = self._keyspace.overlay
        removed = 0
        # The transaction that abandoned them may have been rolled back.
        if overlay.get(owner) is not None:
            for key, record in overlay.scan(self._positions.get(owner, prefix), encoding.after(prefix)):
                if removed >= limit:
                    return removed, False
                remove(key, record)
                self._positions[owner] = key
                removed += 1
            overlay.delete(owner)
        self._positions.pop(owner, None)
        return removed, True

    def _remove_key(self, key: bytes, record: bytes) -> None:
        overlay = self._keyspace.overlay
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

    def _learn(self) -> None:
        keyspace = self._keyspace
        overlay = keyspace.overlay
        if self._rollbacks != keyspace.rollbacks:
            self._rollbacks = keyspace.rollbacks
            self._positions.clear()
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

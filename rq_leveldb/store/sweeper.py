"""Removing what nobody can see any more: keys whose time has come, and members and keys without an owner.

In slices, each a transaction of its own, so that others get their turn; and from where the last slice ended, never
from the front, since LevelDB would walk the remains of everything that was removed there.
"""

from __future__ import annotations

import contextlib
from collections import deque

from rq_leveldb.store import encoding
from rq_leveldb.store.keyspace import Keyspace

_REMEMBERED = 10_000


class Sweeper:
    """Removes in slices what nobody can see any more.

    Args:
        keyspace: whose open transaction takes the changes; the caller commits.

    Attributes:
        swept: values whose records have gone, since the start or the last :meth:`forget_statistics`.
    """

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace
        self._versions: deque[int] = deque()
        self._namespaces: deque[bytes] = deque()
        # Where the sweep of the first of each goes on.
        self._member_position = b''
        self._key_position = b''
        self._rollbacks = -1
        self.swept = 0

    def counts(self) -> tuple[int, int]:
        """Return how many values and databases without an owner still have records, and how many have none left."""
        return len(self._versions) + len(self._namespaces) + len(self._keyspace.overlay.abandoned), self.swept

    def forget_statistics(self) -> None:
        """Start to count anew what is swept."""
        self.swept = 0

    def take_due(self, limit: int) -> int:
        """Remove keys whose time has come.

        Args:
            limit: how many entries of the index to look at.

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
                # A damaged key stays, and is told to whoever reads it; the others expire all the same.
                with contextlib.suppress(encoding.DamagedRecord):
                    keyspace.came_due(meta_key, due)
        keyspace.write_changes()
        if next_due and (not keyspace.next_due or next_due < keyspace.next_due):
            keyspace.next_due = next_due
        return seen

    def has_work(self) -> bool:
        """Whether anything without an owner may be left."""
        return bool(
            self._versions
            or self._namespaces
            or self._keyspace.overlay.abandoned
            or self._rollbacks != self._keyspace.rollbacks
        )

    def sweep(self, limit: int) -> int:
        """Remove records that have no owner.

        Args:
            limit: how many to remove.

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
                    indexed = version = 0  # what else belonged to it, the check finds
                if indexed:
                    overlay.delete(encoding.expiry_key(indexed, key))
                if version:
                    overlay.abandon(version)  # counted when its members have gone
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
                self._rollbacks = -1  # look again when these are done
                break
        prefix = encoding.GARBAGE_NAMESPACE_PREFIX
        # A shorter one would be the beginning of others.
        size = len(prefix) + encoding.NAMESPACE_SIZE
        self._namespaces.extend(key[1:] for key, _ in engine.scan(prefix, encoding.after(prefix)) if len(key) == size)

"""Sorted sets: the score of each member, and the entries in order.

An entry is a score and a member, as bytes that sort as in Redis. LevelDB walks over the tombstones of removed entries,
and popping from the low end (scheduled jobs, registries by expiry) leaves only tombstones there. So every scan starts
no lower than `floor`, which is stored in the meta record and rises when the lowest entry is removed. A scan that would
end before the lowest entry never starts. The high end has the same bound, in memory only.

A rank is found by walking from the nearer end: O(n), where Redis needs O(log n).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, dropwhile, islice, takewhile
from operator import gt, lt

from rq_leveldb.store import encoding
from rq_leveldb.store.encoding import SCORE_SIZE, SORTED_SET_TAG, read_score, score_bytes
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types import scattered
from rq_leveldb.store.types.value import Value

Bounds = tuple[bytes, 'bytes | None']
"""Entries from the first (inclusive) to the second (exclusive, None for no end)."""

EVERYTHING: Bounds = (b'', None)

MemberBound = tuple[bytes, bool]
"""A member, and whether it is itself excluded."""

_MAX_IN_MEMORY = 1000
"""Number of entries that may be held in memory, to reverse a scan from the nearer end or to draw at random."""


def score_bounds(low: float, low_exclusive: bool, high: float, high_exclusive: bool) -> Bounds:
    """Return the bounds of the entries whose score lies in a range."""
    start = score_bytes(low)
    stop = score_bytes(high)
    return encoding.after(start) if low_exclusive else start, stop if high_exclusive else encoding.after(stop)


class SortedSet(Value):
    """A sorted set."""

    __slots__ = ('_ceiling', '_ceiling_is_entry', '_count', '_floor', '_floor_is_entry')
    type_name = 'zset'

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self._count = 0
        self._floor = b''  # no entry is lower
        self._floor_is_entry = False
        self._ceiling: bytes | None = None  # no entry is higher; None: not known
        self._ceiling_is_entry = False

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> SortedSet:
        """Return the sorted set that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        encoding.check_large(record)
        version, count, floor = encoding.read_sorted_set_body(record)
        self = cls(overlay, version)
        self._count, self._floor = count, floor
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        body = encoding.sorted_set_body(self.version, self._count, self._floor)
        return encoding.meta_record(encoding.TYPE_SORTED_SET, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return whether the set has no members."""
        return self._count == 0

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``listpack`` or ``skiplist``."""
        if self._count > layout.zset_max_listpack_entries:
            return b'skiplist'
        most = layout.zset_max_listpack_value
        return b'skiplist' if any(len(split(entry)[0]) > most for entry in self.entries()) else b'listpack'

    def __len__(self) -> int:
        return self._count

    # -- by member

    def score(self, member: bytes) -> float | None:
        """Return a member's score, or None if there is no such member."""
        stored = self.overlay.get(encoding.scattered_member(self.version, SORTED_SET_TAG, member))
        return None if stored is None else read_score(stored)

    def __contains__(self, member: bytes) -> bool:
        return self.overlay.get(encoding.scattered_member(self.version, SORTED_SET_TAG, member)) is not None

    def set(self, member: bytes, score: float) -> bool | None:
        """Set a member's score; return whether the member is new, or None if nothing changed."""
        version, overlay = self.version, self.overlay
        member_key = encoding.scattered_member(version, SORTED_SET_TAG, member)
        new = score_bytes(score)
        old = overlay.get(member_key)
        if old == new:
            return None
        entry = new + member
        entries = encoding.sorted_set_entries(version)
        overlay.put(member_key, new)
        overlay.put(entries + entry, b'')
        if old is None:
            self._count += 1
        else:
            overlay.delete(entries + old + member)
        if self._count == 1:
            self._floor = self._ceiling = entry
            self._floor_is_entry = self._ceiling_is_entry = True
            return old is None
        if entry < self._floor:
            self._floor = entry
            self._floor_is_entry = True
        if self._ceiling is not None and entry > self._ceiling:
            self._ceiling = entry
            self._ceiling_is_entry = True
        if old is not None:
            self._narrow(old + member)
        return old is None

    def delete(self, member: bytes) -> bool:
        """Remove a member; return whether it existed."""
        version = self.version
        key = encoding.scattered_member(version, SORTED_SET_TAG, member)
        score = self.overlay.get(key)
        if score is None:
            return False
        self.overlay.delete(key)
        entry = score + member
        self.overlay.delete(encoding.sorted_set_entries(version) + entry)
        self._count -= 1
        self._narrow(entry)
        return True

    def _narrow(self, removed: bytes) -> None:
        if removed == self._floor:
            self._floor = removed + b'\x00'
            self._floor_is_entry = False
        if removed == self._ceiling:
            self._ceiling_is_entry = False

    def clear(self) -> None:
        """Remove all members at once, whatever their number; the sweeper removes the records."""
        if self._count:
            self.overlay.abandon(self.version)
            self.version = self.overlay.new_version()
            self._count = 0
            self._floor, self._ceiling = b'', None
            self._floor_is_entry = self._ceiling_is_entry = False

    # -- by order

    def entries(self, bounds: Bounds = EVERYTHING, reverse: bool = False) -> Iterator[bytes]:
        """Return the entries within the bounds as they are now, in order; see :func:`split`."""
        if not self._count:
            return iter(())
        start, stop = bounds
        from_lowest = start <= self._floor
        if from_lowest:
            if stop is not None and stop <= self._lowest():
                return iter(())
            start = self._floor
        to_highest = stop is None or (self._ceiling is not None and stop > self._ceiling)
        if to_highest:
            stop = None if self._ceiling is None else self._ceiling + b'\x00'
        if stop is not None and stop <= start:
            return iter(())
        prefix = encoding.sorted_set_entries(self.version)
        size = len(prefix)
        records = self.overlay.scan(prefix + start, encoding.after(prefix) if stop is None else prefix + stop, reverse)
        # Counted, so that no step goes past the last one, where tombstones of others may lie.
        found = (key[size:] for key, _ in islice(records, self._count))
        if to_highest if reverse else from_lowest:
            return self._remember_end(found, reverse)
        return found

    def behind(self, score: float, member: bytes, reverse: bool = False) -> Iterator[bytes]:
        """Return the entries that follow the place of this one, whether or not it exists, in order."""
        entry = score_bytes(score) + member
        return self.entries((b'', entry) if reverse else (entry + b'\x00', None), reverse)

    def items(self) -> Iterator[tuple[bytes, float]]:
        """Return members and scores as they are now, in order."""
        return map(split, self.entries())

    def _remember_end(self, found: Iterator[bytes], reverse: bool) -> Iterator[bytes]:
        """Remember where a scan found its first entry, so that the next scan need not walk there again."""
        if self._ceiling_is_entry if reverse else self._floor_is_entry:
            return found
        first = next(found, None)
        if first is None:
            return found
        if reverse:
            self._ceiling = first
            self._ceiling_is_entry = True
        else:
            self._floor = first
            self._floor_is_entry = True
        return chain((first,), found)

    def _lowest(self) -> bytes:
        return self._floor if self._floor_is_entry else self._first(False)

    def _highest(self) -> bytes:
        if self._ceiling is None or not self._ceiling_is_entry:
            return self._first(True)
        return self._ceiling

    def _first(self, reverse: bool) -> bytes:
        entry = next(self.entries(reverse=reverse), None)
        if entry is None:
            raise encoding.DamagedRecord('its entries are missing')
        return entry

    def _holds_all(self, bounds: Bounds) -> bool:
        start, stop = bounds
        return start <= self._lowest() and (stop is None or stop > self._highest())

    def pop(self, highest: bool, count: int = 1) -> list[bytes]:
        """Remove and return entries from one end, the outermost first."""
        found = list(islice(self.entries(reverse=highest), count))
        if found:
            self.remove(found)
            if highest:
                self._ceiling = found[-1]
            else:
                self._floor = found[-1] + b'\x00'
        return found

    def remove(self, entries: list[bytes]) -> None:
        """Remove entries.

        Args:
            entries: entries that exist.
        """
        version, overlay = self.version, self.overlay
        prefix = encoding.sorted_set_entries(version)
        for entry in entries:
            overlay.delete(prefix + entry)
            overlay.delete(encoding.scattered_member(version, SORTED_SET_TAG, entry[SCORE_SIZE:]))
        if entries:
            self._count -= len(entries)
            if min(entries) <= self._floor:
                self._floor_is_entry = False
            if self._ceiling is not None and max(entries) >= self._ceiling:
                self._ceiling_is_entry = False

    def remove_range(self, bounds: Bounds) -> int:
        """Remove the entries within the bounds; return how many there were."""
        if not self._count:
            return 0
        if self._count > 1 and self._holds_all(bounds):
            count = self._count
            self.clear()
            return count
        lowest = self._lowest()
        found = list(self.entries(bounds))
        self.remove(found)
        if found and found[0] == lowest:
            self._floor = found[-1] + b'\x00'
        return len(found)

    def by_rank(self, start: int, stop: int, reverse: bool = False) -> Iterator[bytes]:
        """Return the entries of these ranks as they are now, with 0 <= start <= stop <= length.

        Args:
            start: rank of the first.
            stop: rank after the last.
            reverse: whether ranks are counted from the high end.
        """
        if start >= stop:
            return iter(())
        if stop <= self._count - start or stop - start > _MAX_IN_MEMORY:
            return islice(self.entries(reverse=reverse), start, stop)
        # The other end is nearer, so the order has to be reversed.
        found = list(islice(self.entries(reverse=not reverse), self._count - stop, self._count - start))
        found.reverse()
        return iter(found)

    def rank(self, member: bytes, reverse: bool = False) -> int | None:
        """Return how many entries precede the member's, or None if it does not exist."""
        score = self.overlay.get(encoding.scattered_member(self.version, SORTED_SET_TAG, member))
        if score is None:
            return None
        entry = score + member
        # From both ends at once, so that the nearer one determines the cost.
        for rank, (low, high) in enumerate(zip(self.entries(), self.entries(reverse=True), strict=False)):
            if low == entry:
                return self._count - 1 - rank if reverse else rank
            if high == entry:
                return rank if reverse else self._count - 1 - rank
        raise encoding.DamagedRecord('one of its entries is missing')

    def count(self, bounds: Bounds) -> int:
        """Return how many entries lie within the bounds; costs O(those within) or O(the others), whichever is less."""
        if not self._count:
            return 0
        if self._holds_all(bounds):
            return self._count
        start, stop = bounds
        # Known from here on, so that no scan looks for it among tombstones.
        self._highest()
        within = self.entries(bounds)
        others = chain(self.entries((b'', start)), () if stop is None else self.entries((stop, None)))
        for number in range(self._count + 1):
            if next(within, None) is None:
                return number
            if next(others, None) is None:
                return self._count - number
        raise encoding.DamagedRecord('it has more entries than members')

    def lexical(self, low: MemberBound | None, high: MemberBound | None, reverse: bool = False) -> Iterator[bytes]:
        """Return entries by member, which is meaningful only if all scores are equal.

        If they are not, return those from the first entry that is not below to the first that is above.

        Args:
            low: None for no bound.
            high: likewise.
            reverse: from the high end.
        """
        if not self._count:
            return iter(())
        score = self._lowest()[:SCORE_SIZE]
        start = score if low is None else score + low[0] + (b'\x00' if low[1] else b'')
        stop = encoding.after(score) if high is None else score + high[0] + (b'' if high[1] else b'\x00')
        highest = self._highest()
        if highest[:SCORE_SIZE] == score:
            return self.entries((start, stop), reverse)
        # As in Redis, so that even a meaningless result is the same.
        after_low, before_high = _within(low, gt), _within(high, lt)
        if not after_low(highest) or not before_high(self._lowest()) or stop <= start:
            return iter(())
        if reverse:
            return takewhile(after_low, dropwhile(lambda entry: not before_high(entry), self.entries(reverse=True)))
        return takewhile(before_high, dropwhile(lambda entry: not after_low(entry), self.entries()))

    # -- without order

    def page(self, position: int, count: int) -> tuple[int, list[tuple[bytes, float]]]:
        """Return one step of an iteration, which may go on whatever changes between steps.

        Args:
            position: where the previous step ended, 0 for the first.
            count: about how many members.

        Returns:
            Where this step ended, 0 at the end; members and scores.
        """
        end, found = scattered.page(
            self.overlay, encoding.scattered_members(self.version, SORTED_SET_TAG), position, count
        )
        return end, [(member, read_score(score)) for member, score in found]

    def draw(self, count: int) -> list[tuple[bytes, float]]:
        """Return different random members with their scores.

        Args:
            count: how many; all if there are no more.
        """
        if self._count <= _MAX_IN_MEMORY:
            entries = list(self.entries())
            if not entries:
                raise encoding.DamagedRecord('its entries are missing')
            return [split(entry) for entry in random.sample(entries, min(count, len(entries)))]
        found = scattered.draw(self.overlay, encoding.scattered_members(self.version, SORTED_SET_TAG), count)
        return [(member, read_score(score)) for member, score in found]


def members_of(entries: Iterable[bytes]) -> list[bytes]:
    """Return the members of entries."""
    return [entry[SCORE_SIZE:] for entry in entries]


def split(entry: bytes) -> tuple[bytes, float]:
    """Return an entry's member and score."""
    return entry[SCORE_SIZE:], read_score(entry)


def _within(bound: MemberBound | None, inside: Callable[[bytes, bytes], bool]) -> Callable[[bytes], bool]:
    """Return whether an entry's member lies on the side of a bound that a comparison means."""
    if bound is None:
        return lambda entry: True
    member, exclusive = bound
    return lambda entry: inside(entry[SCORE_SIZE:], member) or (not exclusive and entry[SCORE_SIZE:] == member)

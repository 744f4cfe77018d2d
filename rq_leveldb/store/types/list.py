"""Lists: elements at 64-bit positions between a head and a tail, and an index from elements to positions.

Both ends are found by number, never by a scan, since LevelDB would walk over the tombstones that a queue leaves.
Removing from the middle leaves a hole (:mod:`rq_leveldb.store.types.holes`). The positions at the two ends may be holes
too, until the next pop skips them. A list without holes pays nothing for them.

An element that occurs once has its position in its value record, so that finding it, or that it is absent, takes one
lookup. Removing it takes none, since a flag beside the element says that it occurs once. When an element occurs a
second time, its positions get their own records, counted in its value record, until the last one is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rq_leveldb.store import encoding
from rq_leveldb.store.encoding import LIST_ONCE, LIST_ORIGIN
from rq_leveldb.store.layout import Layout
from rq_leveldb.store.overlay import Overlay
from rq_leveldb.store.types.holes import Holes
from rq_leveldb.store.types.value import Value

_ELEMENT = encoding.LIST_ELEMENT_OFFSET
_FEW = 8
"""Up to this number, elements are removed one by one."""
_MANY_HOLES = 4
"""Holes per element above which elements are looked up one by one instead of scanned."""


class List(Value):
    """A list."""

    __slots__ = ('_count', '_head', '_tail')
    type_name = 'list'

    def __init__(self, overlay: Overlay, version: int) -> None:
        super().__init__(overlay, version)
        self._head = self._tail = LIST_ORIGIN
        self._count = 0

    @classmethod
    def load(cls, overlay: Overlay, record: bytes) -> List:
        """Return the list that a meta record describes.

        Raises:
            DamagedRecord: the record is invalid.
        """
        encoding.check_large(record)
        version, head, tail, count = encoding.read_list_body(record)
        self = cls(overlay, version)
        self._head, self._tail, self._count = head, tail, count
        return self

    def record(self) -> bytes:
        """Return the meta record."""
        body = encoding.list_body(self.version, self._head, self._tail, self._count)
        return encoding.meta_record(encoding.TYPE_LIST, self.expire, self.indexed, body)

    def is_empty(self) -> bool:
        """Return whether the list has no elements."""
        return self._count == 0

    def encoding_name(self, layout: Layout) -> bytes:
        """Return what OBJECT ENCODING answers: ``listpack`` or ``quicklist``."""
        most, bytes_ = layout.list_limits()
        if self._count > min(most, bytes_ // 2):
            return b'quicklist'
        size = sum(len(element) + 2 for element in self.range(0, self._count))
        return b'listpack' if size <= bytes_ - 10 else b'quicklist'

    def __len__(self) -> int:
        return self._count

    # -- the ends

    def push(self, element: bytes, left: bool = False) -> None:
        """Add an element at one of the ends."""
        if left:
            self._head = position = self._head - 1
        else:
            position = self._tail
            self._tail = position + 1
        self._put(position, element)
        self._count += 1

    def pop(self, left: bool) -> bytes | None:
        """Remove and return the element at one of the ends, or None if the list is empty."""
        if not self._count:
            return None
        position = self._head if left else self._tail - 1
        key = encoding.list_position(self.version, position)
        stored = self.overlay.get(key)
        if stored is None:
            position = self._skip_holes(left)
            key = encoding.list_position(self.version, position)
            stored = self._stored(key)
        self._forget(position, key, stored)
        if left:
            self._head = position + 1
        else:
            self._tail = position
        self._count -= 1
        if not self._count:
            self._clear_holes()
        return stored[_ELEMENT:]

    # -- by index

    def get(self, index: int) -> bytes | None:
        """Return the element at an index, or None if there is none.

        Args:
            index: from the end if negative.
        """
        position = self._existing(index)
        return None if position is None else self._stored(encoding.list_position(self.version, position))[_ELEMENT:]

    def set(self, index: int, element: bytes) -> bool:
        """Replace the element at an index.

        Args:
            index: from the end if negative.
            element: the new one.

        Returns:
            Whether the index exists.
        """
        position = self._existing(index)
        if position is None:
            return False
        key = encoding.list_position(self.version, position)
        self._forget(position, key, self._stored(key))
        self._put(position, element)
        return True

    def range(self, start: int, stop: int) -> list[bytes]:
        """Return the elements of a range, with 0 <= start <= stop <= length.

        Args:
            start: index of the first.
            stop: index after the last.
        """
        count = stop - start
        if count <= 0:
            return []
        first, last = self._position(start), self._position(stop - 1)
        version = self.version
        if count <= 2 or last - first > _MANY_HOLES * count + 64:
            return [
                self._stored(encoding.list_position(version, self._position(index)))[_ELEMENT:]
                for index in range(start, stop)
            ]
        records = self.overlay.scan(encoding.list_position(version, first), encoding.list_position(version, last + 1))
        # Never one step too far: tombstones of popped elements may follow the last one.
        found = [stored[_ELEMENT:] for _, stored in islice(records, count)]
        if len(found) < count:
            raise encoding.DamagedRecord('some of its elements are missing')
        return found

    def iterate(self, start: int, stop: int, reverse: bool = False) -> Iterator[bytes]:
        """Yield the elements of a range as they were at the call, in constant memory; see :meth:`range`."""
        first, last = self._position(start), self._position(stop - 1)
        version = self.version
        records = self.overlay.scan(
            encoding.list_position(version, first), encoding.list_position(version, last + 1), reverse
        )
        return (stored[_ELEMENT:] for _, stored in islice(records, stop - start))

    def trim(self, start: int, stop: int) -> None:
        """Keep only the elements with start <= index < stop; costs O(removed) or O(kept), whichever is less."""
        if start >= stop:
            self.clear()
            return
        kept = stop - start
        if kept < self._count - kept:
            elements = self.iterate(start, stop)
            self.clear()
            for element in elements:
                self.push(element)
            return
        self._drop(self._count - stop, False)
        self._drop(start, True)

    def pop_many(self, left: bool, count: int) -> list[bytes]:
        """Remove and return elements from one end, the outermost first.

        Args:
            left: whether from the beginning; else from the end.
            count: at most the length.
        """
        if count <= _FEW:
            return [element for _ in range(count) if (element := self.pop(left)) is not None]
        found = self.range(0, count) if left else self.range(self._count - count, self._count)[::-1]
        if count == self._count:
            self.clear()
        else:
            self._drop(count, left)
        return found

    def _drop(self, count: int, left: bool) -> None:
        """Remove a number of elements from one end, but not all."""
        if count <= _FEW:
            for _ in range(count):
                self.pop(left)
            return
        version = self.version
        start = 0 if left else self._count - count
        first, last = self._position(start), self._position(start + count - 1)
        records = self.overlay.scan(encoding.list_position(version, first), encoding.list_position(version, last + 1))
        for key, stored in islice(records, count):
            self._forget(encoding.read_u64(key, len(key) - 8), key, stored)
        if self._has_holes():
            if left:
                self._holes().fill(self._head, last + 1, False)
            else:
                self._holes().fill(first, self._tail, False)
        if left:
            self._head = last + 1
        else:
            self._tail = first
        self._count -= count

    def clear(self) -> None:
        """Remove all elements at once, whatever their number; the sweeper removes the records."""
        if self._count:
            self.overlay.abandon(self.version)
            self.version = self.overlay.new_version()
            self._head = self._tail = LIST_ORIGIN
            self._count = 0

    # -- by element

    def indices(self, element: bytes, reverse: bool = False, limit: int = 0) -> Iterator[int]:
        """Yield the indices of an element, counted from the beginning; valid until the list changes.

        Args:
            element: the element to find.
            reverse: whether to start from the end.
            limit: how many elements to look at, 0 for all.
        """
        first, last = self._head, self._tail
        if 0 < limit < self._count:
            if reverse:
                first = self._position(self._count - limit)
            else:
                last = self._position(limit)
        for position in self._positions(element, reverse):
            if position < first or position >= last:
                return
            yield self._index(position)

    def remove(self, element: bytes, count: int) -> int:
        """Remove occurrences of an element.

        Args:
            element: the element to remove.
            count: how many at most, from the end if negative, 0 for all.

        Returns:
            How many were removed.
        """
        positions = list(islice(self._positions(element, count < 0), min(abs(count), self._count) or None))
        if len(positions) > _FEW:
            self._remove_occurrences(element, sorted(positions), count < 0)
        else:
            for position in positions:
                self._remove(position)
        return len(positions)

    def insert(self, pivot: bytes, element: bytes, after: bool) -> bool:
        """Insert beside the pivot's first occurrence; return whether it exists. O(n): the shorter side moves."""
        position = next(self._positions(pivot, False), None)
        if position is None:
            return False
        index = self._index(position) + after
        if index in (0, self._count):
            self.push(element, index == 0)
            return True
        left = index <= self._count - index
        place = position + after - left
        self._make_room(place, left)
        self._put(place, element)
        self._count += 1
        return True

    # -- positions

    def _holes(self) -> Holes:
        return Holes(self.overlay, self.version)

    def _has_holes(self) -> bool:
        return self._tail - self._head != self._count

    def _existing(self, index: int) -> int | None:
        if index < 0:
            index += self._count
        return self._position(index) if 0 <= index < self._count else None

    def _position(self, index: int) -> int:
        if self._has_holes():
            return self._holes().select(self._head, index)
        return self._head + index

    def _index(self, position: int) -> int:
        index = position - self._head
        if self._has_holes():
            index -= self._holes().before(self._head, position)
        return index

    def _skip_holes(self, left: bool) -> int:
        """Move one of the ends to the first element from there, and return its position."""
        if left:
            position = self._position(0)
            self._holes().fill(self._head, position, False)
            self._head = position
        else:
            position = self._position(self._count - 1)
            self._holes().fill(position + 1, self._tail, False)
            self._tail = position + 1
        return position

    def _clear_holes(self) -> None:
        if self._head != self._tail:
            self._holes().fill(self._head, self._tail, False)
            self._head = self._tail

    def _stored(self, key: bytes) -> bytes:
        stored = self.overlay.get(key)
        if stored is None:
            raise encoding.DamagedRecord('one of its elements is missing')
        return stored

    def _remove(self, position: int) -> None:
        key = encoding.list_position(self.version, position)
        self._forget(position, key, self._stored(key))
        self._count -= 1
        if position == self._head:
            self._head += 1
        elif position == self._tail - 1:
            self._tail -= 1
        else:
            self._holes().fill(position, position + 1, True)
        if not self._count:
            self._clear_holes()

    def _remove_occurrences(self, element: bytes, positions: list[int], last: bool) -> None:
        """Remove some occurrences of an element that occurs more than once.

        Args:
            element: the element.
            positions: its first or last occurrences, in order.
            last: whether they are the last ones.
        """
        version, overlay = self.version, self.overlay
        identity = encoding.list_element_id(element)
        prefix = encoding.list_occurrences(version, identity)
        for position in positions:
            overlay.delete(encoding.list_position(version, position))
            overlay.delete(prefix + encoding.u64(position))
        value_key = encoding.list_value(version, identity)
        count, floor = self._counted(value_key)
        if count == len(positions):
            overlay.delete(value_key)
        else:
            floor = floor if last else positions[-1] + 1
            overlay.put(value_key, encoding.occurrences_record(count - len(positions), floor))
        self._holes().mark(positions)
        self._count -= len(positions)
        if not self._count:
            self._clear_holes()

    def _make_room(self, position: int, left: bool) -> None:
        """Free `position` by moving elements towards one of the ends, as far as the next hole."""
        step = -1 if left else 1
        moved = []
        free = position
        while self._head <= free < self._tail:
            key = encoding.list_position(self.version, free)
            stored = self.overlay.get(key)
            if stored is None:
                break
            moved.append(stored)
            self._forget(free, key, stored)
            free += step
        if free < self._head:
            self._head = free
        elif free >= self._tail:
            self._tail = free + 1
        else:
            self._holes().fill(free, free + 1, False)
        for stored in reversed(moved):
            self._put(free, stored[_ELEMENT:])
            free -= step

    # -- records of elements

    def _put(self, position: int, element: bytes) -> None:
        version, overlay = self.version, self.overlay
        identity = encoding.list_element_id(element)
        value_key = encoding.list_value(version, identity)
        found = overlay.get(value_key)
        if found is None:
            overlay.put(value_key, encoding.u64(position))
            overlay.put(encoding.list_position(version, position), LIST_ONCE + element)
            return
        occurrences = encoding.read_occurrences_record(found)
        prefix = encoding.list_occurrences(version, identity)
        if occurrences is None:
            count, floor = 1, encoding.read_u64(found)
            overlay.put(prefix + found, b'')
            overlay.put(encoding.list_position(version, floor), encoding.LIST_OFTEN + element)
        else:
            count, floor = occurrences
        overlay.put(prefix + encoding.u64(position), b'')
        overlay.put(encoding.list_position(version, position), encoding.LIST_OFTEN + element)
        overlay.put(value_key, encoding.occurrences_record(count + 1, min(floor, position)))

    def _forget(self, position: int, key: bytes, stored: bytes) -> None:
        version, overlay = self.version, self.overlay
        overlay.delete(key)
        identity = encoding.list_element_id(stored[_ELEMENT:])
        value_key = encoding.list_value(version, identity)
        if stored[:_ELEMENT] == LIST_ONCE:
            overlay.delete(value_key)
            return
        count, floor = self._counted(value_key)
        overlay.delete(encoding.list_occurrences(version, identity) + encoding.u64(position))
        if count == 1:
            overlay.delete(value_key)
        else:
            floor = position + 1 if position == floor else floor
            overlay.put(value_key, encoding.occurrences_record(count - 1, floor))

    def _counted(self, value_key: bytes) -> tuple[int, int]:
        """Return how often an element occurs, and a position below which it does not."""
        found = self.overlay.get(value_key)
        occurrences = None if found is None else encoding.read_occurrences_record(found)
        if occurrences is None:
            raise encoding.DamagedRecord('the positions of one of its elements are not counted')
        return occurrences

    def _positions(self, element: bytes, reverse: bool) -> Iterator[int]:
        """Yield the element's positions, in order."""
        version, overlay = self.version, self.overlay
        identity = encoding.list_element_id(element)
        value_key = encoding.list_value(version, identity)
        found = overlay.get(value_key)
        if found is None:
            return
        occurrences = encoding.read_occurrences_record(found)
        if occurrences is None:
            position = encoding.read_u64(found)
            if not self._head <= position < self._tail:
                raise encoding.DamagedRecord('one of its elements is said to be where it cannot be')
            yield position
            return
        count, floor = occurrences
        prefix = encoding.list_occurrences(version, identity)
        size = len(prefix)
        records = overlay.scan(
            prefix + encoding.u64(max(floor, self._head)), prefix + encoding.u64(self._tail), reverse
        )
        # Counted, so that no step goes past the last one, where tombstones of other elements may lie.
        for key, _ in islice(records, count):
            yield encoding.read_u64(key, size)

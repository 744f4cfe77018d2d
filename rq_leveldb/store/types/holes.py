"""The holes of a list: positions whose elements were removed from the middle.

They form a radix tree of records. A block of the lowest level is a bitmap of its 64 positions. A higher block counts
the holes in each of its 64 parts. A part with only holes, or with none, has no record, so that skipping or removing a
run of a million holes touches only a few records. Blocks of the highest level form a plain sequence.

The list guarantees that no position outside its head and tail is ever a hole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from rq_leveldb.store import encoding
from rq_leveldb.store.overlay import Overlay

FANOUT = encoding.LIST_HOLES_FANOUT
TOP = encoding.LIST_HOLES_LEVELS
SHIFTS = tuple(6 * level for level in range(TOP + 1))
SIZES = tuple(1 << shift for shift in SHIFTS)
"""How many positions a block of each level has."""
ALL_BITS = (1 << FANOUT) - 1


@dataclass(eq=False, slots=True)
class Holes:
    """The holes of one list.

    Args:
        overlay: where the list's records are.
        version: the list's incarnation.
    """

    overlay: Overlay
    version: int

    def fill(self, start: int, stop: int, holes: bool) -> None:
        """Make all positions with start <= position < stop holes, or none of them."""
        for block in range(start >> SHIFTS[TOP], ((stop - 1) >> SHIFTS[TOP]) + 1):
            key = encoding.list_holes(self.version, TOP, block)
            record = self.overlay.get(key)
            if record is None:
                if not holes:
                    continue
                counts = [0] * FANOUT
            else:
                counts = encoding.read_holes_record(TOP, record)
            self._fill_parts(TOP, block, counts, start, stop, holes)
            if any(counts):
                self.overlay.put(key, encoding.holes_record(TOP, counts))
            elif record is not None:
                self.overlay.delete(key)

    def _fill_parts(self, level: int, block: int, counts: list[int], start: int, stop: int, holes: bool) -> None:
        part_size = SIZES[level - 1]
        shift = SHIFTS[level - 1]
        base = block << SHIFTS[level]
        start = max(start, base)
        stop = min(stop, base + SIZES[level])
        for slot in range((start - base) >> shift, ((stop - 1 - base) >> shift) + 1):
            count = counts[slot]
            if count == (part_size if holes else 0):
                continue
            part_start = base + (slot << shift)
            if start <= part_start and part_start + part_size <= stop and count in (0, part_size):
                counts[slot] = part_size if holes else 0
            else:
                counts[slot] = self._fill(level - 1, (block << 6) + slot, count, start, stop, holes)

    def _fill(self, level: int, block: int, count: int, start: int, stop: int, holes: bool) -> int:
        """Make all positions of one block with start <= position < stop holes, or none of them.

        Args:
            level: the block's level.
            block: its number.
            count: how many holes it has.
            start: may lie before the block.
            stop: may lie after it.
            holes: whether they become holes.

        Returns:
            How many holes the block now has.
        """
        size = SIZES[level]
        key = encoding.list_holes(self.version, level, block)
        if level == 1:
            bits = 0 if count == 0 else ALL_BITS if count == size else self._read_bits(key)
            base = block << SHIFTS[1]
            first = max(start - base, 0)
            mask = (1 << min(stop - base, size)) - (1 << first)
            bits = bits | mask if holes else bits & ~mask
            new = bits.bit_count()
            data = encoding.u64(bits)
        else:
            part_size = SIZES[level - 1]
            counts = [0] * FANOUT if count == 0 else [part_size] * FANOUT if count == size else self._read(level, key)
            self._fill_parts(level, block, counts, start, stop, holes)
            new = sum(counts)
            data = encoding.holes_record(level, counts)
        if 0 < new < size:
            self.overlay.put(key, data)
        elif 0 < count < size:
            self.overlay.delete(key)
        return new

    def mark(self, positions: list[int]) -> None:
        """Make many positions holes, much cheaper than one by one.

        Args:
            positions: in order; none is a hole yet.
        """
        shift = SHIFTS[TOP]
        for start, end in _groups(positions, shift, 0, len(positions)):
            block = positions[start] >> shift
            counts = self._top(block)
            self._mark_parts(TOP, counts, positions, start, end)
            self.overlay.put(encoding.list_holes(self.version, TOP, block), encoding.holes_record(TOP, counts))

    def _mark_parts(self, level: int, counts: list[int], positions: list[int], start: int, end: int) -> None:
        shift = SHIFTS[level - 1]
        for first, stop in _groups(positions, shift, start, end):
            part = positions[first] >> shift
            slot = part & (FANOUT - 1)
            counts[slot] = self._mark(level - 1, part, counts[slot], positions, first, stop)

    def _mark(self, level: int, block: int, count: int, positions: list[int], start: int, end: int) -> int:
        """Make positions of one block holes, which they are not yet.

        Args:
            level: the block's level.
            block: its number.
            count: how many holes it has.
            positions: in order; positions[start:end] lie in the block.
            start: index of the first that does.
            end: index after the last.

        Returns:
            How many holes the block now has.
        """
        key = encoding.list_holes(self.version, level, block)
        new = count + end - start
        if new == SIZES[level]:
            # The whole block is holes now, so the records of its parts go.
            base = block << SHIFTS[level]
            return self._fill(level, block, count, base, base + SIZES[level], True)
        if level == 1:
            bits = 0 if count == 0 else self._read_bits(key)
            for index in range(start, end):
                bits |= 1 << (positions[index] & (FANOUT - 1))
            self.overlay.put(key, encoding.u64(bits))
        else:
            counts = [0] * FANOUT if count == 0 else self._read(level, key)
            self._mark_parts(level, counts, positions, start, end)
            self.overlay.put(key, encoding.holes_record(level, counts))
        return new

    def before(self, head: int, position: int) -> int:
        """Return how many holes lie before `position`, in O(log n)."""
        total = 0
        top = position >> SHIFTS[TOP]
        for block in range(head >> SHIFTS[TOP], top):
            total += sum(self._top(block))
        block = top
        counts = self._top(block)
        for level in range(TOP - 1, 0, -1):
            slot = (position >> SHIFTS[level]) & (FANOUT - 1)
            total += sum(counts[:slot])
            count = counts[slot]
            if count == 0:
                return total
            if count == SIZES[level]:
                return total + (position & (SIZES[level] - 1))
            block = (block << 6) + slot
            key = encoding.list_holes(self.version, level, block)
            if level == 1:
                bits = self._read_bits(key)
                return total + (bits & ((1 << (position & (FANOUT - 1))) - 1)).bit_count()
            counts = self._read(level, key)
        raise AssertionError('level 1 ends the loop')

    def select(self, head: int, index: int) -> int:
        """Return the position of the element at an index, in O(log n).

        Args:
            head: no element is before this position.
            index: of an element that exists, from 0.
        """
        block = head >> SHIFTS[TOP]
        # Positions before the head are not holes, so they count as elements.
        rest = index + (head & (SIZES[TOP] - 1))
        while True:
            counts = self._top(block)
            elements = SIZES[TOP] - sum(counts)
            if rest < elements:
                break
            rest -= elements
            block += 1
        for level in range(TOP - 1, 0, -1):
            size = SIZES[level]
            slot = 0
            for count in counts:
                elements = size - count
                if rest < elements:
                    break
                rest -= elements
                slot += 1
            if slot == FANOUT:
                raise encoding.DamagedRecord('its records of holes do not fit together')
            block = (block << 6) + slot
            if count == 0:
                return (block << SHIFTS[level]) + rest
            key = encoding.list_holes(self.version, level, block)
            if level == 1:
                return (block << SHIFTS[1]) + _zero_bit(self._read_bits(key), rest)
            counts = self._read(level, key)
        raise AssertionError('level 1 ends the loop')

    def _top(self, block: int) -> list[int]:
        record = self.overlay.get(encoding.list_holes(self.version, TOP, block))
        return [0] * FANOUT if record is None else encoding.read_holes_record(TOP, record)

    def _read(self, level: int, key: bytes) -> list[int]:
        return encoding.read_holes_record(level, self._record(key))

    def _read_bits(self, key: bytes) -> int:
        return encoding.read_u64(self._record(key))

    def _record(self, key: bytes) -> bytes:
        record = self.overlay.get(key)
        if record is None:
            raise encoding.DamagedRecord('a record of its holes is missing')
        return record


def _groups(positions: list[int], shift: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split positions[start:end] into index ranges that each lie in one block of 2**shift positions."""
    while start < end:
        stop = bisect_left(positions, ((positions[start] >> shift) + 1) << shift, start, end)
        yield start, stop
        start = stop


def _zero_bit(bits: int, index: int) -> int:
    """Return the number of the zero bit that follows `index` others."""
    for number in range(FANOUT):
        if not bits >> number & 1:
            if index == 0:
                return number
            index -= 1
    raise encoding.DamagedRecord('its records of holes do not fit together')

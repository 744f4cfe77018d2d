"""The holes of a list: positions whose elements were removed from the middle.

They form a radix tree of records. A block of the lowest level is a bitmap of its 64 positions. A higher block counts
the holes in each of its 64 parts. A part with only holes, or with none, has no record, so that skipping or removing a
run of a million holes touches only a few records. Blocks of the highest level form a plain sequence.

The list guarantees that no position outside its head and tail is ever a hole.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from rq_leveldb.store import encoding
from rq_leveldb.store.overlay import Overlay

FANOUT = encoding.LIST_HOLES_FANOUT
TOP = encoding.LIST_HOLES_LEVELS
SHIFTS = tuple(6 * level for level in range(TOP + 1))
SIZES = tuple(1 << shift for shift in SHIFTS)
"""How many positions a block of each level has."""
ALL_BITS = (1 << FANOUT) - 1


def fill(overlay: Overlay, version: int, start: int, stop: int, holes: bool) -> None:
    """Make all positions with start <= position < stop holes, or none of them."""
    for block in range(start >> SHIFTS[TOP], ((stop - 1) >> SHIFTS[TOP]) + 1):
        key = encoding.list_holes(version, TOP, block)
        record = overlay.get(key)
        if record is None:
            if not holes:
                continue
            counts = [0] * FANOUT
        else:
            counts = encoding.read_holes_record(TOP, record)
        _fill_parts(overlay, version, TOP, block, counts, start, stop, holes)
        if any(counts):
            overlay.put(key, encoding.holes_record(TOP, counts))
        elif record is not None:
            overlay.delete(key)


def _fill_parts(
    overlay: Overlay, version: int, level: int, block: int, counts: list[int], start: int, stop: int, holes: bool
) -> None:
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
            counts[slot] = _fill(overlay, version, level - 1, (block << 6) + slot, count, start, stop, holes)


def _fill(
    overlay: Overlay, version: int, level: int, block: int, count: int, start: int, stop: int, holes: bool
) -> int:
    """Make all positions of one block with start <= position < stop holes, or none of them.

    Args:
        overlay: where the block's record is.
        version: the list's incarnation.
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
    key = encoding.list_holes(version, level, block)
    if level == 1:
        bits = 0 if count == 0 else ALL_BITS if count == size else _read_bits(overlay, key)
        base = block << SHIFTS[1]
        first = max(start - base, 0)
        mask = (1 << min(stop - base, size)) - (1 << first)
        bits = bits | mask if holes else bits & ~mask
        new = bits.bit_count()
        data = encoding.u64(bits)
    else:
        part_size = SIZES[level - 1]
        counts = [0] * FANOUT if count == 0 else [part_size] * FANOUT if count == size else _read(overlay, level, key)
        _fill_parts(overlay, version, level, block, counts, start, stop, holes)
        new = sum(counts)
        data = encoding.holes_record(level, counts)
    if 0 < new < size:
        overlay.put(key, data)
    elif 0 < count < size:
        overlay.delete(key)
    return new


def mark(overlay: Overlay, version: int, positions: list[int]) -> None:
    """Make many positions holes, much cheaper than one by one.

    Args:
        overlay: where the list's records are.
        version: the list's incarnation.
        positions: in order; none is a hole yet.
    """
    shift = SHIFTS[TOP]
    for start, end in _groups(positions, shift, 0, len(positions)):
        block = positions[start] >> shift
        counts = _top(overlay, version, block)
        _mark_parts(overlay, version, TOP, counts, positions, start, end)
        overlay.put(encoding.list_holes(version, TOP, block), encoding.holes_record(TOP, counts))


def _groups(positions: list[int], shift: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Split positions[start:end] into index ranges that each lie in one block of 2**shift positions."""
    while start < end:
        stop = bisect_left(positions, ((positions[start] >> shift) + 1) << shift, start, end)
        yield start, stop
        start = stop


def _mark_parts(
    overlay: Overlay, version: int, level: int, counts: list[int], positions: list[int], start: int, end: int
) -> None:
    shift = SHIFTS[level - 1]
    for first, stop in _groups(positions, shift, start, end):
        part = positions[first] >> shift
        slot = part & (FANOUT - 1)
        counts[slot] = _mark(overlay, version, level - 1, part, counts[slot], positions, first, stop)


def _mark(
    overlay: Overlay, version: int, level: int, block: int, count: int, positions: list[int], start: int, end: int
) -> int:
    """Make positions of one block holes, which they are not yet.

    Args:
        overlay: where the block's record is.
        version: the list's incarnation.
        level: the block's level.
        block: its number.
        count: how many holes it has.
        positions: in order; positions[start:end] lie in the block.
        start: index of the first that does.
        end: index after the last.

    Returns:
        How many holes the block now has.
    """
    key = encoding.list_holes(version, level, block)
    new = count + end - start
    if new == SIZES[level]:
        # The whole block is holes now, so the records of its parts go.
        base = block << SHIFTS[level]
        return _fill(overlay, version, level, block, count, base, base + SIZES[level], True)
    if level == 1:
        bits = 0 if count == 0 else _read_bits(overlay, key)
        for index in range(start, end):
            bits |= 1 << (positions[index] & (FANOUT - 1))
        overlay.put(key, encoding.u64(bits))
    else:
        counts = [0] * FANOUT if count == 0 else _read(overlay, level, key)
        _mark_parts(overlay, version, level, counts, positions, start, end)
        overlay.put(key, encoding.holes_record(level, counts))
    return new


def before(overlay: Overlay, version: int, head: int, position: int) -> int:
    """Return how many holes lie before `position`, in O(log n)."""
    total = 0
    top = position >> SHIFTS[TOP]
    for block in range(head >> SHIFTS[TOP], top):
        total += sum(_top(overlay, version, block))
    block = top
    counts = _top(overlay, version, block)
    for level in range(TOP - 1, 0, -1):
        slot = (position >> SHIFTS[level]) & (FANOUT - 1)
        total += sum(counts[:slot])
        count = counts[slot]
        if count == 0:
            return total
        if count == SIZES[level]:
            return total + (position & (SIZES[level] - 1))
        block = (block << 6) + slot
        key = encoding.list_holes(version, level, block)
        if level == 1:
            bits = _read_bits(overlay, key)
            return total + (bits & ((1 << (position & (FANOUT - 1))) - 1)).bit_count()
        counts = _read(overlay, level, key)
    raise AssertionError('level 1 ends the loop')


def select(overlay: Overlay, version: int, head: int, index: int) -> int:
    """Return the position of the element at an index, in O(log n).

    Args:
        overlay: where the list's records are.
        version: the list's incarnation.
        head: no element is before this position.
        index: of an element that exists, from 0.
    """
    block = head >> SHIFTS[TOP]
    # Positions before the head are not holes, so they count as elements.
    rest = index + (head & (SIZES[TOP] - 1))
    while True:
        counts = _top(overlay, version, block)
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
        key = encoding.list_holes(version, level, block)
        if level == 1:
            return (block << SHIFTS[1]) + _zero_bit(_read_bits(overlay, key), rest)
        counts = _read(overlay, level, key)
    raise AssertionError('level 1 ends the loop')


def _zero_bit(bits: int, index: int) -> int:
    """Return the number of the zero bit that follows `index` others."""
    for number in range(FANOUT):
        if not bits >> number & 1:
            if index == 0:
                return number
            index -= 1
    raise encoding.DamagedRecord('its records of holes do not fit together')


def _top(overlay: Overlay, version: int, block: int) -> list[int]:
    record = overlay.get(encoding.list_holes(version, TOP, block))
    return [0] * FANOUT if record is None else encoding.read_holes_record(TOP, record)


def _read(overlay: Overlay, level: int, key: bytes) -> list[int]:
    return encoding.read_holes_record(level, _record(overlay, key))


def _read_bits(overlay: Overlay, key: bytes) -> int:
    return encoding.read_u64(_record(overlay, key))


def _record(overlay: Overlay, key: bytes) -> bytes:
    record = overlay.get(key)
    if record is None:
        raise encoding.DamagedRecord('a record of its holes is missing')
    return record

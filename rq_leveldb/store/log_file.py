"""LevelDB's log files, and its MANIFEST, which has the same format: their records, and where they stop being valid.

LevelDB silently skips some damage: a block of zeros in the middle of a log, and a record whose end is missing, whatever
follows it. Here the first fault is reported with its position.

The format is described in LevelDB's `doc/log_format.md`: blocks of 32 KiB hold fragments, each with a checksum, a
length and a type. A record is one fragment, or a first one, any number of middle ones, and a last one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import google_crc32c

BLOCK = 32768
_HEADER = struct.Struct('<IHB')
_WHOLE, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_BATCH = struct.Struct('<QI')
_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True)
class Record:
    """One record of a log.

    Args:
        start: where it begins in the file.
        end: where it ends.
        payload: its bytes; only the first ones, if no more was asked for.
    """

    start: int
    end: int
    payload: bytes


class Fault(Exception):
    """The point where a file stops being valid.

    Args:
        end: where the last good record ends.
        reason: what is wrong after it.
    """

    def __init__(self, end: int, reason: str) -> None:
        super().__init__(reason)
        self.end = end
        self.reason = reason


class Torn(Fault):
    """The file merely ends too early, as when its writer was killed."""


def records(data: bytes, *, checksums: bool, least: int | None = None) -> Iterator[Record]:
    """Return the records in order.

    Args:
        data: a file's contents, or a mapping of them.
        checksums: whether to compute them.
        least: how many bytes of each payload are needed; None for all.

    Raises:
        Fault: after the last good record, unless the file ends there.
    """
    position = end = start = 0
    size = len(data)
    pieces: list[bytes] = []
    have = 0
    while position < size:
        left = BLOCK - position % BLOCK
        if left < _HEADER.size:
            # Too short for a header: the writer fills it with zeros.
            if any(data[position : position + left]):
                raise Fault(end, f'garbage at the end of a block, at byte {position}')
            position += left
            continue
        if size - position < _HEADER.size:
            raise Torn(end, f'the file ends within a record, at byte {position}')
        checksum, length, kind = _HEADER.unpack_from(data, position)
        begin = position + _HEADER.size
        if not _WHOLE <= kind <= _LAST or length > left - _HEADER.size:
            what = 'zeros' if not (kind or length or checksum) else 'garbage'
            raise Fault(end, f'{what} instead of a record, at byte {position}')
        if begin + length > size:
            raise Torn(end, f'the file ends within a record, at byte {position}')
        if checksums and masked_crc32c(data[begin - 1 : begin + length]) != checksum:
            raise Fault(end, f'a wrong checksum, at byte {position}')
        if (kind in (_WHOLE, _FIRST)) == bool(pieces):
            raise Fault(end, f'a record without its {"end" if pieces else "beginning"}, at byte {position}')
        if not pieces:
            start = position
        if least is None or not pieces or have < least:
            pieces.append(data[begin : begin + length])
            have += length
        position = begin + length
        if kind in (_WHOLE, _LAST):
            yield Record(start, position, b''.join(pieces) if len(pieces) > 1 else pieces[0])
            end = position
            pieces = []
            have = 0
    if pieces:
        raise Torn(end, f'the file ends within a record, at byte {start}')


def framed(payload: bytes) -> bytes:
    """Return a file that holds one record."""
    found = bytearray()
    rest = payload
    kind = _FIRST
    while True:
        room = BLOCK - _HEADER.size
        piece, rest = rest[:room], rest[room:]
        if not rest:
            kind = _LAST if found else _WHOLE
        body = bytes((kind,)) + piece
        found += _HEADER.pack(masked_crc32c(body), len(piece), kind) + piece
        if not rest:
            return bytes(found)
        kind = _MIDDLE


def masked_crc32c(data: bytes) -> int:
    """Return the checksum as LevelDB stores it."""
    return mask(google_crc32c.value(data))


def mask(checksum: int) -> int:
    """Return a checksum as LevelDB stores it: masked, since a CRC of data that contains CRCs is weak."""
    return ((checksum >> 15 | checksum << 17) + _MASK_DELTA) & 0xFFFFFFFF


def check_batches(data: bytes, due: range, *, checksums: bool) -> range:
    """Check a log of write batches, each of which states the number of its first change.

    A torn batch at the end of the log is ignored, as in LevelDB: it was never acknowledged.

    Args:
        data: the log.
        due: the numbers that the first batch may have.
        checksums: whether to compute them, and to check the contents of the batches.

    Returns:
        The numbers that the next log's first batch may have.

    Raises:
        Fault: the first one.
    """
    end = 0
    try:
        for record in records(data, checksums=checksums, least=None if checksums else _BATCH.size):
            if len(record.payload) < _BATCH.size:
                raise Fault(end, f'a batch of {len(record.payload)} bytes, at byte {record.start}')
            number, count = _BATCH.unpack_from(record.payload)
            if number not in due:
                raise Fault(end, f'change {number} where {due[-1]} is due, at byte {record.start}')
            if checksums and not _is_batch(record.payload, count):
                raise Fault(end, f'a batch of parts that do not belong together, at byte {record.start}')
            due = range(number + count, number + count + 1)
            end = record.end
    except Torn:
        pass
    return due


def _is_batch(payload: bytes, count: int) -> bool:
    """Return whether a batch has as many changes as it says, and nothing after them."""
    try:
        return sum(1 for _ in changed_keys(payload)) == count
    except IndexError:
        return False


def changed_keys(payload: bytes) -> Iterator[bytes]:
    """Return the keys that a batch puts or deletes.

    Raises:
        IndexError: it cannot be read.
    """
    fields = Fields(payload, _BATCH.size)
    while fields:
        is_put = fields.number()
        yield fields.text()
        if is_put:
            fields.text()


def readable_records(data: bytes, start: int) -> Iterator[Record]:
    """Return the records that can be read after a fault, from the next block that begins with one.

    Args:
        data: the whole file.
        start: where in the file the fault is.
    """
    block = start - start % BLOCK
    while block < len(data):
        reached = block + BLOCK
        try:
            for record in records(data[block:], checksums=True):
                if block + record.start >= start:
                    yield Record(block + record.start, block + record.end, record.payload)
            return
        except Fault as fault:
            reached = max(reached, block + fault.end - fault.end % BLOCK + BLOCK)
        block = reached


def number_bytes(number: int) -> bytes:
    """Return a number as :class:`Fields` reads it."""
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def text_bytes(text: bytes) -> bytes:
    """Return a text as :class:`Fields` reads it."""
    return number_bytes(len(text)) + text


class Fields:
    """A reader of the fields of LevelDB's batches and version edits.

    Args:
        data: the bytes to read.
        at: offset of the first byte.

    Raises:
        IndexError: the data ends too early.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def number(self) -> int:
        """Read a number of LevelDB's variable length: 7 bits a byte, the lowest first.

        Raises:
            IndexError: the data ends before it does.
        """
        value = shift = 0
        while True:
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def text(self) -> bytes:
        """Read bytes that are preceded by their length.

        Raises:
            IndexError: the data ends before they do.
        """
        return self.take(self.number())

    def take(self, length: int) -> bytes:
        """Read so many bytes.

        Raises:
            IndexError: there are fewer.
        """
        end = self._at + length
        if end > len(self._data):
            raise IndexError
        found = self._data[self._at : end]
        self._at = end
        return found

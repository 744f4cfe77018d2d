"""LevelDB's table files: which of their blocks can be read, and a table made of those (its `doc/table_format.md`).

LevelDB reports that a block is damaged, but not which, nor in which file. Here each block's checksum is verified.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import google_crc32c

from rq_leveldb.store.log_file import Fault, Fields, mask, masked_crc32c, number_bytes

_FOOTER = 48
_MAGIC = struct.Struct('<Q')
_MAGIC_NUMBER = 0xDB4775248B80FB57
_TRAILER = struct.Struct('<BI')
_U32 = struct.Struct('<I')
_PLAIN, _SNAPPY = 0, 1
SUFFIX = 8
"""Number of bytes that LevelDB appends to a key: a change's number and kind."""

_FILTER_END = b'\x0b'
"""How a block of filters ends: each of them is for 2**11 bytes. A block of records ends with a small number."""


@dataclass(frozen=True)
class Block:
    """One block of records in a table.

    Args:
        start: where it begins in the file.
        size: bytes, without its checksum.
        separator: no key in the block is greater; with LevelDB's bytes appended.
        reason: what is wrong with it; '' if nothing is.
    """

    start: int
    size: int
    separator: bytes
    reason: str = ''

    @property
    def last(self) -> bytes:
        """Return the separator without LevelDB's bytes; no key in the block is greater."""
        return self.separator[:-SUFFIX]


def blocks(data: bytes) -> Iterator[Block]:
    """Return its blocks of records, in order.

    Args:
        data: a table's contents.

    Raises:
        Fault: the table cannot be read at all: its end or its index is damaged.
    """
    try:
        _, index = _handles(data)
        for key, handle in _entries(_contents(data, *index)):
            if len(key) < SUFFIX:
                raise IndexError
            yield _looked_at(data, *_handle(Fields(handle)), key)
    except (IndexError, struct.error) as error:
        raise Fault(0, 'its index cannot be read') from error


def other_blocks(data: bytes) -> Iterator[Block]:
    """Return the blocks of a table that hold no records, as far as they can be found.

    One is the filter, which LevelDB can do without if it is damaged.
    """
    try:
        meta, _ = _handles(data)
        block = _looked_at(data, *meta, b'')
        yield block
        if not block.reason:
            for _, handle in _entries(_contents(data, *meta)):
                yield _looked_at(data, *_handle(Fields(handle)), b'')
    except (IndexError, struct.error, Fault):
        return


def search(data: bytes) -> Iterator[Block]:
    """Find blocks of records without an index, by their checksums alone, from the beginning on.

    Args:
        data: what is left of a table.

    Returns:
        The blocks before the first damaged or missing one.
    """
    start = 0
    while (end := _end_of_block(data, start)) is not None:
        try:
            contents = _contents(data, start, end - start)
            if contents.endswith(_FILTER_END):
                return
            keys = [key for key, _ in _entries(contents)]
        except (IndexError, struct.error, Fault):
            return
        if not keys or any(len(key) < SUFFIX for key in keys) or keys[0].startswith(b'filter.'):
            return
        yield Block(start, end - start, keys[-1])
        start = end + _TRAILER.size


def _end_of_block(data: bytes, start: int) -> int | None:
    checksum = google_crc32c.value(b'')
    extend, unpack = google_crc32c.extend, _TRAILER.unpack_from
    done = start
    for end in range(start, len(data) - _TRAILER.size + 1):
        if data[end] <= _SNAPPY:
            stored = unpack(data, end)[1]
            checksum = extend(checksum, data[done : end + 1])
            done = end + 1
            if mask(checksum) == stored:
                return end
    return None


def entries(data: bytes, block: Block) -> Iterator[tuple[bytes, bytes]]:
    """Return the keys (with LevelDB's bytes appended) and values of a good block.

    Raises:
        Fault: its contents are invalid in spite of a good checksum.
    """
    try:
        yield from _entries(_contents(data, block.start, block.size))
    except (IndexError, struct.error) as error:
        raise Fault(block.start, f'the block at byte {block.start} makes no sense') from error


def change_number(key: bytes) -> int:
    """Return the number of the change that wrote a record.

    Args:
        key: with LevelDB's bytes appended.
    """
    return int(_MAGIC.unpack(key[-SUFFIX:])[0]) >> 8


def join(data: bytes, good: Sequence[Block]) -> bytes:
    """Return a table made of some blocks of another one.

    Args:
        data: the contents of a table.
        good: some of its blocks.
    """
    found = bytearray()
    index = bytearray()
    starts = []
    for block in good:
        starts.append(len(index))
        handle = number_bytes(len(found)) + number_bytes(block.size)
        index += b'\x00' + number_bytes(len(block.separator)) + number_bytes(len(handle)) + block.separator + handle
        found += data[block.start : block.start + block.size + _TRAILER.size]
    footer = b''
    for contents, restarts in ((b'', [0]), (bytes(index), starts)):
        body = contents + b''.join(map(_U32.pack, restarts)) + _U32.pack(len(restarts))
        footer += number_bytes(len(found)) + number_bytes(len(body))
        found += body + _TRAILER.pack(_PLAIN, masked_crc32c(body + bytes((_PLAIN,))))
    return bytes(found) + footer.ljust(_FOOTER - _MAGIC.size, b'\x00') + _MAGIC.pack(_MAGIC_NUMBER)


def _handles(data: bytes) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return offset and size of the index of non-record blocks, and those of the index of record blocks."""
    size = len(data)
    if size < _FOOTER or _MAGIC.unpack_from(data, size - _MAGIC.size)[0] != _MAGIC_NUMBER:
        raise Fault(0, 'it does not end as a table does')
    footer = Fields(data[size - _FOOTER :])
    return _handle(footer), _handle(footer)


def _handle(fields: Fields) -> tuple[int, int]:
    return fields.number(), fields.number()


def _looked_at(data: bytes, start: int, size: int, separator: bytes) -> Block:
    try:
        _check(data, start, size)
    except Fault as fault:
        return Block(start, size, separator, fault.reason)
    return Block(start, size, separator)


def _check(data: bytes, start: int, size: int) -> int:
    """Return how a block is compressed.

    Raises:
        Fault: its checksum is wrong.
    """
    end = start + size
    if end + _TRAILER.size > len(data):
        raise Fault(start, f'the block at byte {start} is cut off')
    kind, checksum = _TRAILER.unpack_from(data, end)
    if masked_crc32c(data[start : end + 1]) != checksum:
        raise Fault(start, f'the block at byte {start} has a wrong checksum')
    return int(kind)


def _contents(data: bytes, start: int, size: int) -> bytes:
    kind = _check(data, start, size)
    raw = data[start : start + size]
    if kind == _PLAIN:
        return raw
    if kind == _SNAPPY:
        return _uncompress(raw)
    raise Fault(start, f'the block at byte {start} is compressed in an unknown way')


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Return the keys and values of a block, where each key stores only its difference from the previous one."""
    (restarts,) = _U32.unpack_from(block, len(block) - _U32.size)
    end = len(block) - _U32.size * (restarts + 1)
    if end < 0:
        raise IndexError
    fields = Fields(block[:end])
    key = b''
    while fields:
        shared, own, length = fields.number(), fields.number(), fields.number()
        key = key[:shared] + fields.take(own)
        yield key, fields.take(length)


def _uncompress(data: bytes) -> bytes:
    """Return what Snappy's raw format holds (its `format_description.txt`)."""
    fields = Fields(data)
    size = fields.number()
    found = bytearray()
    while fields:
        tag = fields.take(1)[0]
        kind = tag & 3
        if kind == 0:
            length = (tag >> 2) + 1
            if length > 60:
                length = int.from_bytes(fields.take(length - 60), 'little') + 1
            found += fields.take(length)
            continue
        if kind == 1:
            length = (tag >> 2 & 7) + 4
            offset = tag >> 5 << 8 | fields.take(1)[0]
        else:
            length = (tag >> 2) + 1
            offset = int.from_bytes(fields.take(2 if kind == 2 else 4), 'little')
        if not 0 < offset <= len(found):
            raise IndexError
        # The copy may reach into what it itself appends.
        copied = bytes(found[len(found) - offset : len(found) - offset + length])
        found += (copied * (length // offset + 1))[:length]
    if len(found) != size:
        raise IndexError
    return bytes(found)

"""The file of a dump: a line that names it, then numbered blocks, each with its length and two checksums.

Nothing of a block is used before its checksums were compared, and the last one has the digest of the whole file. So a
file that was cut, changed or put together from two is always noticed.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, BinaryIO, NamedTuple

import google_crc32c

from rq_leveldb.errors import StoreError

__all__ = ['END', 'HEADER', 'BadDump', 'Block', 'BlockWriter', 'read_blocks']

MAGIC = b'rq-leveldb dump 1\n'

HEADER, END = b'H', b'E'
"""The first block and the last one; the kinds between are those of `contents`."""

_PLAIN, _DEFLATED = b'-', b'z'
_HEAD = struct.Struct('>ccIII')
_CHECKSUM = struct.Struct('>I')
# The fastest: what RQ keeps shrinks to a quarter even so.
_LEVEL = 1


class BadDump(StoreError):
    """A file is no dump, or not all of one, or not what was written."""

    default_title = 'The dump is damaged'
    default_advice = 'Only what was written before this place is right: take another dump.'


class Block(NamedTuple):
    """A block.

    Args:
        kind: one byte.
        payload: what it holds.
        offset: where it begins in the file.
    """

    kind: bytes
    payload: bytes
    offset: int


def _checksum(data: bytes) -> bytes:
    return _CHECKSUM.pack(google_crc32c.value(data))


class BlockWriter:
    """Writes blocks.

    Args:
        out: where to; nothing is closed.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._number = 0
        self._digest = blake2b(digest_size=16)
        self.size = 0
        self._put(MAGIC)

    def write(self, kind: bytes, payload: bytes) -> None:
        """Write a block.

        Args:
            kind: one byte.
            payload: what it holds, less than 4 GiB.
        """
        stored, packing = zlib.compress(payload, _LEVEL), _DEFLATED
        if len(stored) >= len(payload):
            stored, packing = payload, _PLAIN
        head = _HEAD.pack(kind, packing, self._number, len(stored), len(payload))
        self._number += 1
        self._put(b''.join((head, _checksum(head), stored, _checksum(stored))))

    def end(self, about: dict[str, Any]) -> None:
        """Write the last block.

        Args:
            about: what it says, beside the digest of all that comes before it.
        """
        self.write(END, json.dumps({**about, 'digest': self._digest.hexdigest()}).encode())

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._out.write(data)
        self.size += len(data)


class _Input:
    """Bytes of a file, which may be a pipe.

    Args:
        file: where they come from.
        name: of the file, for errors.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self.offset = 0
        self.digest = blake2b(digest_size=16)

    def take(self, size: int, begun: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise StoreError(
                self._name, title=f'The dump cannot be read ({error.strerror or error})', advice='Mend that first.'
            ) from error
        self.offset += len(data)
        if len(data) < size:
            raise self.fault(f'ends at byte {self.offset}, in the middle', begun)
        return data

    def fault(self, problem: str, offset: int) -> BadDump:
        return BadDump(f'{self._name}, the block at byte {offset}', title=f'The dump {problem}')


def read_blocks(file: BinaryIO, name: str) -> Iterator[Block]:
    """Return the blocks of a file in their order, to the last one.

    Args:
        file: where they are; it may be a pipe.
        name: its name, for errors.

    Raises:
        BadDump: as soon as something is not as it was written.
        StoreError: it cannot be read.
    """
    source = _Input(file, name)
    begin = file.read(len(MAGIC))
    source.offset = len(begin)
    if begin != MAGIC:
        if not begin.startswith(MAGIC[:-2]):
            raise BadDump(name, title='This is not a dump of rq-leveldb', advice='Name a file that it has written.')
        raise BadDump(
            name,
            title='The dump has a version that is not known here',
            advice='Restore it with the version of rq-leveldb that has written it, or a newer one.',
        )
    source.digest.update(begin)
    number = 0
    kind = b''
    while kind != END:
        offset = source.offset
        head = source.take(_HEAD.size, offset)
        if source.take(_CHECKSUM.size, offset) != _checksum(head):
            raise source.fault('is damaged', offset)
        kind, packing, found, size, length = _HEAD.unpack(head)
        if found != number:
            raise source.fault(f'has the block {found} in place of the block {number}', offset)
        number += 1
        stored = source.take(size, offset)
        if source.take(_CHECKSUM.size, offset) != _checksum(stored):
            raise source.fault('is damaged', offset)
        payload = stored if packing == _PLAIN else _inflated(source, stored, length, offset)
        if kind == END:
            if json.loads(payload).get('digest') != source.digest.hexdigest():
                raise source.fault('is not as a whole what was written', offset)
            if file.read(1):
                raise source.fault('goes on after its end', source.offset)
        else:
            for part in (head, _checksum(head), stored, _checksum(stored)):
                source.digest.update(part)
        yield Block(kind, payload, offset)


def _inflated(source: _Input, stored: bytes, length: int, offset: int) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        payload = unpacking.decompress(stored, length)
    except zlib.error:
        payload = b''
    if len(payload) != length or not unpacking.eof:
        raise source.fault('cannot be unpacked', offset)
    return payload

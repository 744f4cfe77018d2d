"""Keys in the blocks of a dump.

A block holds arrays of bulk strings, as Redis' protocol writes them. Short keys are many in a block; a long one has as
many blocks as it takes. Every key begins with ``key``, its name, its type and its time of expiry, and its slices
follow, as `migrate.value` makes them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, BinaryIO, NamedTuple

import hiredis

from rq_leveldb.migrate.value import KINDS, Slice, Value
from rq_leveldb.migrate.wire import pack
from rq_leveldb.snapshot.blocks import END, HEADER, BadDump, Block, BlockWriter, read_blocks

__all__ = ['Chunk', 'Dump', 'Header', 'KeyWriter']

KEYS = b'K'
"""Whole keys."""
PART, LAST = b'P', b'L'
"""A part of one long key, after which there are others, or none."""
VOID = b'V'
"""The parts of the long key before it do not count: it was changed while it was read."""

_BLOCK_BYTES = 1 << 18
_KEY = b'key'
# What is written as it is.
_FLAT = {b'string', b'piece', b'hash', b'list', b'set', b'zset', b'empty', b'state', b'consumers', b'gone'}


@dataclass(frozen=True)
class Header:
    """What a dump says of itself.

    Args:
        id: of this dump alone, hexadecimal digits.
        made: when it was begun, in ms since the epoch.
        by: name and version of the program.
        place: URL, without a password.
        server: name and version of the server.
        is_one_moment: whether all keys are of the same moment.
        everything: whether it has all keys of the database, and not only RQ's and ours.
        keys: how many keys the database had, those of others included.
    """

    id: str
    made: int
    by: str
    place: str
    server: str
    is_one_moment: bool
    everything: bool
    keys: int


class Chunk(NamedTuple):
    """What one block holds.

    Args:
        kind: `KEYS`, `PART`, `LAST` or `VOID`.
        values: whole keys; or one, with its next slices; or none.
    """

    kind: bytes
    values: list[Value]


class KeyWriter:
    """Writes keys into blocks.

    Args:
        out: a file or a pipe.
        header: what the dump says of itself.

    Attributes:
        kinds: keys of each type that were written.
    """

    def __init__(self, out: BinaryIO, header: Header) -> None:
        self._blocks = BlockWriter(out)
        self._blocks.write(HEADER, json.dumps(asdict(header)).encode())
        self._buffer: list[bytes] = []
        self._size = 0
        self.kinds: Counter[str] = Counter()

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._blocks.size

    def add(self, value: Value) -> None:
        """Write a short key.

        Args:
            value: all of it.
        """
        self._put(_packed(value))
        self.kinds[value.kind.decode()] += 1
        if self._size >= _BLOCK_BYTES:
            self._flush(KEYS)

    def add_long(self, value: Value, parts: Iterable[Slice], is_whole: Callable[[], bool]) -> bool:
        """Write a key of any length.

        Args:
            value: without its slices.
            parts: those.
            is_whole: called in the end; returns whether the key was not changed meanwhile.

        Returns:
            Whether it counts.
        """
        self._flush(KEYS)
        begun = False
        for part in parts:
            if self._size >= _BLOCK_BYTES:
                self._flush(PART)
            if not self._buffer:
                self._put(_packed(value))
            self._put(_array(part))
            begun = True
        if not begun:
            return True
        if not is_whole():
            self._buffer, self._size = [], 0
            self._blocks.write(VOID, b'')
            return False
        self._flush(LAST)
        self.kinds[value.kind.decode()] += 1
        return True

    def end(self) -> None:
        """Write what is left, and the end."""
        self._flush(KEYS)
        self._blocks.end({'keys': self.kinds.total(), 'types': self.kinds})

    def _put(self, data: bytes) -> None:
        self._buffer.append(data)
        self._size += len(data)

    def _flush(self, kind: bytes) -> None:
        if self._buffer:
            self._blocks.write(kind, b''.join(self._buffer))
            self._buffer, self._size = [], 0


def _packed(value: Value) -> bytes:
    head = pack((_KEY, value.name, value.kind, value.expires))
    return b''.join((head, *map(_array, value.parts)))


def _array(part: Slice) -> bytes:
    kind, items = part
    flat: Iterable[Any] = items
    if kind == b'entries':
        flat = chain.from_iterable(
            (entry, -1) if fields is None else (entry, len(fields), *fields) for entry, fields in items
        )
    elif kind == b'group':
        flat = [item for item in items if item is not None]
    elif kind == b'pending':
        flat = chain(items[:1], *items[1:])
    return pack((kind, *flat))


def _slice(array: list[bytes]) -> Slice:
    kind, *items = array
    if kind in _FLAT:
        return Slice(kind, items)
    if kind == b'entries':
        return Slice(kind, list(_entries(items)))
    if kind == b'group':
        name, last, *read = items
        return Slice(kind, [name, last, read[0] if read else None])
    if kind == b'pending':
        group, *flat = items
        return Slice(kind, [group, *zip(flat[::4], flat[1::4], flat[2::4], flat[3::4], strict=True)])
    raise ValueError(kind)


def _entries(items: list[bytes]) -> Iterator[list[Any]]:
    at = 0
    while at < len(items):
        entry, count = items[at], int(items[at + 1])
        at += 2
        if count < 0:
            yield [entry, None]
            continue
        yield [entry, items[at : at + count]]
        at += count


class Dump:
    """A dump that is read from a file or a pipe.

    Args:
        file: from its beginning.
        name: its name, for errors.

    Attributes:
        header: what it says of itself.
        kinds: keys of each type that were read.

    Raises:
        BadDump: here and while it is read, as soon as something is not as it was written.
        StoreError: it cannot be read.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._name = name
        self._blocks = read_blocks(file, name)
        self.kinds: Counter[str] = Counter()
        first = next(self._blocks)
        try:
            if first.kind != HEADER:
                raise ValueError(first.kind)
            said = json.loads(first.payload)
            # A later version may say more.
            self.header = Header(**{field: said[field] for field in Header.__dataclass_fields__})
        except (ValueError, KeyError) as error:
            raise self._strange(first) from error

    def __iter__(self) -> Iterator[Chunk]:
        growing = b''
        for block in self._blocks:
            if block.kind == END:
                if json.loads(block.payload).get('keys') != self.kinds.total() or growing:
                    raise self._strange(block)
                return
            try:
                chunk = _chunk(block)
            except (ValueError, IndexError, TypeError, hiredis.HiredisError) as error:
                raise self._strange(block) from error
            if growing and (chunk.kind == KEYS or any(value.name != growing for value in chunk.values)):
                raise self._strange(block)
            growing = chunk.values[0].name if chunk.kind == PART else b''
            if chunk.kind in (KEYS, LAST):
                self.kinds.update(value.kind.decode() for value in chunk.values)
            yield chunk

    def _strange(self, block: Block) -> BadDump:
        return BadDump(
            f'{self._name}, the block at byte {block.offset}', title='The dump has something in it that is not known'
        )


def _chunk(block: Block) -> Chunk:
    if block.kind not in (KEYS, PART, LAST, VOID):
        raise ValueError(block.kind)
    reader = hiredis.Reader()
    reader.feed(block.payload)
    values: list[Value] = []
    while (array := reader.gets()) is not False:
        if array[0] == _KEY:
            _, name, kind, expires = array
            if kind not in KINDS:
                raise ValueError(kind)
            values.append(Value(name, kind, int(expires), []))
        else:
            values[-1].parts.append(_slice(array))
    if reader.has_data() or (block.kind in (PART, LAST) and len(values) != 1):
        raise ValueError(block.kind)
    return Chunk(block.kind, values)

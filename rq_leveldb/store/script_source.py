"""A script before it runs: its first line's declarations, and changes to its bytecode. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import islice

from rq_leveldb.store.replies import ReplyError, shown

_FLAGS = frozenset((b'no-writes', b'allow-oom', b'allow-stale', b'no-cluster', b'allow-cross-slot-keys'))


@dataclass(frozen=True)
class Script:
    """A script and its first line's declarations.

    Args:
        program: its source, with the first line emptied if it declares something.
        readonly: whether it declares that it writes nothing: the flag ``no-writes``.
    """

    program: bytes
    readonly: bool


def says_readonly(source: bytes) -> bool:
    """Return whether a script's first line declares that it writes nothing; false if it cannot be parsed."""
    try:
        return parse(source).readonly
    except ReplyError:
        return False


def parse(source: bytes) -> Script:
    """Parse the first line, which may declare flags: ``#!lua flags=no-writes``.

    Raises:
        ReplyError: in Redis's words.
    """
    if source[:2] != b'#!':
        return Script(source, False)
    line, newline, rest = source.partition(b'\n')
    words = line.split()
    if not newline or not words:
        raise ReplyError('ERR Invalid script shebang')
    if words[0] != b'#!lua':
        raise ReplyError(f'ERR Unexpected engine in script shebang: {shown(words[0])}')
    readonly = False
    for word in words[1:]:
        name, _, values = word.partition(b'=')
        if name != b'flags' or b'=' not in word:
            raise ReplyError(f'ERR Unknown lua shebang option: {shown(word)}')
        for flag in filter(None, values.split(b',')):
            if flag not in _FLAGS:
                raise ReplyError(f'ERR Unexpected flag in script shebang: {shown(flag)}')
            readonly = readonly or flag == b'no-writes'
    # The line stays, empty, so that errors name the right one.
    return Script(newline + rest, readonly)


# -- bytecode

_HEADER = b'\x1bLua\x51\x00\x01\x04\x08\x04\x08\x00'
_CALL, _TAILCALL, _SETLIST = 28, 29, 34


def without_tail_calls(bytecode: bytes) -> bytes:
    """Keep a script's outermost function on the stack where it ends in ``return redis.call(...)``.

    redis.call is a Lua function here, but a C function in Redis. A tail call to a Lua function would lose the line that
    an error has to name. The outermost function cannot recurse, so nothing else changes.

    Args:
        bytecode: from string.dump; its layout is described at luadec.sourceforge.net and in lundump.c of Lua 5.1.
    """
    if bytecode[: len(_HEADER)] != _HEADER:
        return bytecode
    position = len(_HEADER)
    (name_length,) = struct.unpack_from('<Q', bytecode, position)
    position += 8 + name_length + 4 + 4 + 4
    (count,) = struct.unpack_from('<i', bytecode, position)
    position += 4
    code = list(struct.unpack_from(f'<{count}I', bytecode, position))
    indices = iter(range(count))
    for index in indices:
        operation = code[index] & 0x3F
        if operation == _TAILCALL:
            code[index] = code[index] & ~0x3F | _CALL
        elif operation == _SETLIST and not code[index] >> 14 & 0x1FF:
            next(islice(indices, 1), None)  # the next word is a number
    return bytecode[:position] + struct.pack(f'<{count}I', *code) + bytecode[position + 4 * count :]

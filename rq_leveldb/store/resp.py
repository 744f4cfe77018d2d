"""The Redis protocol without sockets: bytes to commands, replies to bytes (RESP2 and RESP3).

The parser is our own because that of hiredis is made for replies of a trusted server: it neither limits counts nor
checks the end of a bulk string. For ordinary commands ours is as fast: it splits the input at line ends at once, which
is correct if and only if every announced length equals the length found. Anything else is parsed byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from rq_leveldb.store.encoding import DamagedRecord
from rq_leveldb.store.number_text import score_text
from rq_leveldb.store.replies import NullArray, Pieces, Push, Pushes, ReplyError, SetReply, Status, Verbatim

MAX_INLINE = 64 * 1024
MAX_ARGUMENTS = (1 << 31) - 1
MAX_BULK = 512 * 1024 * 1024
MAX_QUERY = 1024 * 1024 * 1024
"""Bytes; Redis' limits (proto-max-bulk-len, client-query-buffer-limit)."""

_SHORT = 4096
_LENGTH_LINES = [b'$%d' % length for length in range(_SHORT)]
_length_line = _LENGTH_LINES.__getitem__
_COUNTS = {b'*%d' % count: count for count in range(1, 256)}
_MAX_ODD = 16
"""Number of commands in one input that are parsed carefully before all the rest is."""
_ARGUMENT = 48
"""Bytes of memory that an argument needs beside its contents."""
_PIECE = 512
_MANY = 8
"""Number of elements from which on it pays to look whether all are strings."""
_BYTES = frozenset((bytes,))
# A part of a word: without quotes, or in either kind of them, behind which the word or the line ends.
_PART = re.compile(rb"""([^ \t\r\n"']+)|"((?:[^"\\]|\\.)*)"(?=\s|\Z)|'((?:[^'\\]|\\'|\\(?!'))*)'(?=\s|\Z)""", re.DOTALL)
_ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]{2}|.)', re.DOTALL)
_ESCAPED = {b'n': b'\n', b'r': b'\r', b't': b'\t', b'b': b'\b', b'a': b'\a'}


class ProtocolError(Exception):
    """The input is not a valid command; the client gets an error and is disconnected, as in Redis."""


@dataclass(eq=False, slots=True)
class Parser:
    """The parser that turns one client's bytes into commands."""

    _buffer: bytes = b''
    _argv: list[bytes] | None = None  # of an incomplete command
    _collected: int = 0  # bytes of memory that its received part needs
    _remaining: int = 0  # how many of its arguments are missing
    _needed: int = 0  # bytes of the argument that is arriving
    _missing: list[bytes] = field(default_factory=list)  # its parts so far

    def buffered(self) -> int:
        """Return how many bytes of memory an incomplete command needs."""
        return len(self._buffer) + sum(map(len, self._missing)) + self._collected

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Return the commands that are now complete, name first; empty ones are dropped, as in Redis.

        Args:
            data: the bytes received.

        Raises:
            ProtocolError: in Redis's words; commands before the fault are in its ``args[1]``.
        """
        commands: list[list[bytes]] = []
        odd = 0
        try:
            while data:
                if self._argv is None and data[:1] == b'*' and not self._buffer and odd < _MAX_ODD:
                    whole, used = _split(data)
                    if used == len(data):
                        return commands + whole if commands else whole
                    commands += whole
                    data = data[used:]
                    odd += 1
                data = self._scan(data, commands, odd < _MAX_ODD)
        except ProtocolError as error:
            error.args = (error.args[0], commands)
            raise
        return commands

    def _scan(self, data: bytes, commands: list[list[bytes]], one: bool) -> bytes:
        """Parse bytes carefully.

        Args:
            data: the bytes not parsed yet.
            commands: gets the complete commands.
            one: whether to stop after the first command.

        Returns:
            The bytes that are left.
        """
        if self._missing:
            # A long argument is collected in parts, so that its bytes are copied only once.
            self._missing.append(data)
            self._needed -= len(data)
            if self._needed > 0:
                return b''
            data = b''.join(self._missing)
            self._missing = []
        elif self._buffer:
            data = self._buffer + data
        self._buffer = b''
        position = 0
        while position < len(data):
            if self._argv is None:
                if data[position] != 0x2A:  # '*'
                    end = data.find(b'\n', position)
                    if end < 0:
                        if len(data) - position > MAX_INLINE:
                            raise ProtocolError('ERR Protocol error: too big inline request')
                        break
                    words = split_inline(data[position:end].rstrip(b'\r'))
                    position = end + 1
                    if words:
                        commands.append(words)
                        if one:
                            return data[position:]
                    continue
                end = data.find(b'\r\n', position)
                if end < 0:
                    if len(data) - position > MAX_INLINE:
                        raise ProtocolError('ERR Protocol error: too big mbulk count string')
                    break
                count = _length(data[position + 1 : end])
                if count is None or count > MAX_ARGUMENTS:
                    raise ProtocolError('ERR Protocol error: invalid multibulk length')
                position = end + 2
                if count <= 0:
                    continue
                self._argv = []
                self._remaining = count
            while self._remaining:
                end = data.find(b'\r\n', position)
                if end < 0:
                    if len(data) - position > MAX_INLINE:
                        raise ProtocolError('ERR Protocol error: too big bulk count string')
                    if position < len(data) and data[position] != 0x24:
                        raise _expected_dollar(data[position])
                    self._buffer = data[position:]
                    return b''
                if data[position] != 0x24:  # '$'
                    raise _expected_dollar(data[position])
                length = _length(data[position + 1 : end])
                if length is None or length < 0 or length > MAX_BULK:
                    raise ProtocolError('ERR Protocol error: invalid bulk length')
                start = end + 2
                end = start + length
                if len(data) < end + 2:
                    rest = data[position:]
                    missing = end + 2 - len(data)
                    if missing > MAX_INLINE:
                        self._missing = [rest]
                        self._needed = missing
                    else:
                        self._buffer = rest
                    if self.buffered() > MAX_QUERY:
                        raise ProtocolError('ERR Protocol error: query too large')
                    return b''
                if data[end : end + 2] != b'\r\n':
                    raise ProtocolError('ERR Protocol error: a bulk string does not end where its length says')
                self._argv.append(data[start:end])
                self._collected += length + _ARGUMENT
                position = end + 2
                self._remaining -= 1
            commands.append(self._argv)
            self._argv = None
            self._collected = 0
            if one:
                return data[position:]
        self._buffer = data[position:]
        return b''


def _expected_dollar(got: int) -> ProtocolError:
    shown = chr(got) if 32 <= got < 127 else f'\\x{got:02x}'
    return ProtocolError(f"ERR Protocol error: expected '$', got '{shown}'")


def _length(digits: bytes) -> int | None:
    if not digits or len(digits) > 20:
        return None
    body = digits[1:] if digits[:1] == b'-' else digits
    # Redis reads no leading zeros here.
    if body[:1] == b'0' and digits != b'0':
        return None
    return int(digits) if body.isdigit() else None


def _split(data: bytes) -> tuple[list[list[bytes]], int]:
    """Split input into commands, as far as the fast way works.

    Returns:
        The commands from the beginning of `data` up to the first that is incomplete or has line ends in its arguments,
        and how many bytes they take.
    """
    parts = data.split(b'\r\n')
    commands = []
    index = 0
    last = len(parts) - 1
    while index < last:
        count = _COUNTS.get(parts[index]) or _large_count(parts[index])
        stop = index + 1 + 2 * count
        if count == 0 or stop > last:
            break
        argv = parts[index + 2 : stop : 2]
        try:
            if list(map(_length_line, map(len, argv))) != parts[index + 1 : stop : 2]:
                break
        except IndexError:
            break
        commands.append(argv)
        index = stop
    rest = parts[index:]
    return commands, len(data) - sum(map(len, rest)) - 2 * (len(rest) - 1)


def _large_count(line: bytes) -> int:
    digits = line[1:]
    return int(digits) if line[:1] == b'*' and digits.isdigit() and digits[:1] != b'0' and len(line) <= 8 else 0


def split_inline(line: bytes) -> list[bytes]:
    """Split a line as typed into telnet at blanks; quotes and backslashes work as in Redis.

    Raises:
        ProtocolError: a quote is not closed.
    """
    if b'"' not in line and b"'" not in line:
        return line.split()
    words: list[bytes] = []
    at, size = 0, len(line)
    while True:
        while at < size and line[at : at + 1].isspace():
            at += 1
        if at == size:
            return words
        word = b''
        while at < size and line[at] not in b' \t\r\n':
            part = _PART.match(line, at)
            if part is None:
                raise ProtocolError('ERR Protocol error: unbalanced quotes in request')
            plain, double, single = part.groups(b'')
            word += plain + _ESCAPE.sub(_unescaped, double) + single.replace(b"\\'", b"'")
            at = part.end()
        words.append(word)


def _unescaped(found: re.Match[bytes]) -> bytes:
    escaped = found[1]
    return bytes.fromhex(escaped[1:].decode()) if len(escaped) > 1 else _ESCAPED.get(escaped, escaped)


# -- replies


def error_line(text: str) -> bytes:
    """Return an error in RESP, in one line.

    Args:
        text: code and words, without the leading minus.
    """
    return b'-' + text.replace('\r', ' ').replace('\n', ' ').encode('utf-8', 'surrogateescape') + b'\r\n'


def encode(reply: Any, resp3: bool) -> bytes:
    """Return the bytes of a reply.

    Args:
        reply: a `replies.Reply`; typed as Any, since mypy cannot follow the branches on its exact type.
        resp3: whether the client said HELLO 3.
    """
    kind = type(reply)
    if kind is bytes:
        return b'$%d\r\n%b\r\n' % (len(reply), reply)
    if kind is int:
        return b':%d\r\n' % reply
    if reply is None:
        return b'_\r\n' if resp3 else b'$-1\r\n'
    if kind is Status:
        return b'+%b\r\n' % reply.text
    if kind is list or kind is tuple:
        if len(reply) >= _MANY:
            strings = _short_strings(reply)
            if strings is not None:
                return b'*%d\r\n%b' % (len(reply), strings)
        out = [b'*%d\r\n' % len(reply)]
        for item in reply:
            if type(item) is bytes:
                out.append(b'$%d\r\n%b\r\n' % (len(item), item))
            elif type(item) is int:
                out.append(b':%d\r\n' % item)
            else:
                out.append(encode(item, resp3))
        return b''.join(out)
    return _encode_other(reply, resp3)


def _encode_other(reply: Any, resp3: bool) -> bytes:
    if isinstance(reply, ReplyError):
        return error_line(reply.text)
    if isinstance(reply, bool):
        if resp3:
            return b'#t\r\n' if reply else b'#f\r\n'
        return b':1\r\n' if reply else b':0\r\n'
    if isinstance(reply, float):
        text = score_text(reply)
        if resp3:
            return b',%b\r\n' % text
        return b'$%d\r\n%b\r\n' % (len(text), text)
    if isinstance(reply, dict):
        head = b'%%%d\r\n' % len(reply) if resp3 else b'*%d\r\n' % (2 * len(reply))
        return head + _encode_each(list(chain.from_iterable(reply.items())), resp3)
    if isinstance(reply, NullArray):
        return b'_\r\n' if resp3 else b'*-1\r\n'
    if isinstance(reply, Verbatim):
        if resp3:
            return b'=%d\r\ntxt:%b\r\n' % (len(reply.text) + 4, reply.text)
        return b'$%d\r\n%b\r\n' % (len(reply.text), reply.text)
    if isinstance(reply, Pushes):
        sign = b'>' if resp3 else b'*'
        # As ordinary arrays, which are encoded several times faster.
        return b''.join([sign + encode([*push], resp3)[1:] for push in reply])
    if isinstance(reply, list):
        sign = b'*'
        if resp3:
            sign = b'~' if isinstance(reply, SetReply) else b'>' if isinstance(reply, Push) else b'*'
        return b'%b%d\r\n' % (sign, len(reply)) + _encode_each(reply, resp3)
    if isinstance(reply, Pieces):
        return b''.join(encode_pieces(reply, resp3))
    raise TypeError(f'no reply: {reply!r}')


def _encode_each(items: list[Any], resp3: bool) -> bytes:
    strings = _short_strings(items)
    return b''.join([encode(item, resp3) for item in items]) if strings is None else strings


def _short_strings(items: Sequence[Any]) -> bytes | None:
    """Return the bytes of these replies if all are short strings: that takes half the time of one by one."""
    if not _BYTES.issuperset(map(type, items)):
        return None
    lines = [b''] * (2 * len(items) + 1)  # the last one ends the line before it
    try:
        lines[:-1:2] = map(_length_line, map(len, items))
    except IndexError:
        return None
    lines[1::2] = items
    return b'\r\n'.join(lines)


def encode_pieces(reply: Pieces, resp3: bool) -> Iterator[bytes]:
    """Yield the reply's bytes, some hundred elements at a time, and empty pieces while it is still being counted.

    Raises:
        DamagedRecord: there are fewer elements than announced.
    """
    if reply.counting is not None:
        for _ in reply.counting:
            yield b''
    if resp3 and reply.kind == 'map':
        yield b'%%%d\r\n' % (reply.count // 2)
    else:
        yield b'%b%d\r\n' % (b'~' if resp3 and reply.kind == 'set' else b'*', reply.count)
    left = reply.count
    while True:
        piece = list(islice(reply.elements, _PIECE))
        left -= len(piece)
        if not piece:
            if left:
                raise DamagedRecord(f'{left} of its {reply.count} elements are missing')
            return
        yield _encode_each(piece, resp3)

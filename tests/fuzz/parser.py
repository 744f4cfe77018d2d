"""Bytes for the parser of the protocol: in whatever pieces they arrive, the commands and the error are the same.

They are also those that a plain reading of the protocol gives, byte after byte from the beginning.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from rq_leveldb.store.resp import MAX_ARGUMENTS, MAX_BULK, MAX_INLINE, Parser, ProtocolError, split_inline
from tests.fuzz.target import HANG, NASTY, Hang, Report, is_redis_error, limited, mutated

_WORDS = [*NASTY, b'GET', b'key', b'a\r\nb', b'$5', b'*2\r\n', b'x' * 4200]
_ODD = [
    b'"a\\x41\\n"',
    b"'it\\'s'",
    b'"open',
    b'*-1\r\n',
    b'*0\r\n',
    b'*1\r\n$-1\r\n',
    b'*3\r\n$3\r\nSET',
    b'*1048577\r\n',
    b'*2147483648\r\n',
    b'*1\r\n$536870913\r\n',
    b'*1\r\n$0\r\n\r\n',
    b'\n',
    b'\r\n',
    b'*1\r\n:1\r\n',
    b'*01\r\n',
    b'*+1\r\n',
]

Outcome = tuple[list[list[bytes]], str]


def _command(chance: random.Random) -> bytes:
    words = [chance.choice(_WORDS) for _ in range(chance.choice((1, 1, 2, 3, 3, 5, 9, 300)))]
    if chance.random() < 0.01:
        # What is collected in parts.
        words.append(b'L' * (MAX_INLINE + chance.choice((0, 1, 2, 5000))))
    elif chance.random() < 0.15:
        return b' '.join(words) + chance.choice((b'\r\n', b'\n'))
    return b'*%d\r\n' % len(words) + b''.join(b'$%d\r\n%b\r\n' % (len(word), word) for word in words)


def _bytes(chance: random.Random) -> bytes:
    data = b''.join(
        _command(chance) if chance.random() < 0.8 else chance.choice(_ODD) for _ in range(chance.choice((1, 1, 2, 3)))
    )
    how = chance.random()
    if how < 0.05:
        return chance.randbytes(chance.randrange(200))
    if how < 0.06:
        return chance.choice((b'*', b'$', b'a', b'*1\r\n$', b'"')) + b'1' * (MAX_INLINE + chance.randrange(-2, 3))
    return mutated(chance, data) if how < 0.7 else data


def _pieces(chance: random.Random, data: bytes) -> list[bytes]:
    if len(data) < 400 and chance.random() < 0.3:
        return [data[at : at + 1] for at in range(len(data))]
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((1, 2, 2, 5))))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < stop]


def _parsed(pieces: Sequence[bytes]) -> Outcome:
    parser = Parser()
    commands: list[list[bytes]] = []
    for piece in pieces:
        try:
            commands += parser.feed(piece)
        except ProtocolError as error:
            return commands + error.args[1], error.args[0]
    return commands, ''


_NUMBER = re.compile(rb'0|-?[1-9][0-9]{0,18}')


def _number(line: bytes) -> int | None:
    return int(line) if _NUMBER.fullmatch(line) else None


def _plainly(data: bytes) -> Outcome:
    """Return what the bytes mean."""
    commands: list[list[bytes]] = []
    try:
        while data:
            if data[:1] == b'*':
                argv, data = _array(data)
            else:
                line, end, data = _line(data, b'\n', 'inline request')
                argv = split_inline(line.rstrip(b'\r')) if end else []
            if argv:
                commands.append(argv)
    except ProtocolError as error:
        return commands, str(error.args[0])
    return commands, ''


def _line(data: bytes, end: bytes, what: str) -> tuple[bytes, bytes, bytes]:
    line, found, rest = data.partition(end)
    if not found and len(data) > MAX_INLINE:
        raise ProtocolError(f'ERR Protocol error: too big {what}')
    return line, found, rest


def _array(data: bytes) -> tuple[list[bytes], bytes]:
    line, found, data = _line(data, b'\r\n', 'mbulk count string')
    if not found:
        return [], b''
    count = _number(line[1:])
    if count is None or count > MAX_ARGUMENTS:
        raise ProtocolError('ERR Protocol error: invalid multibulk length')
    argv: list[bytes] = []
    while len(argv) < count:
        line, found, rest = _line(data, b'\r\n', 'bulk count string')
        if data and data[:1] != b'$':
            shown = chr(data[0]) if 32 <= data[0] < 127 else f'\\x{data[0]:02x}'
            raise ProtocolError(f"ERR Protocol error: expected '$', got '{shown}'")
        if not found:
            return [], b''
        length = _number(line[1:])
        if length is None or not 0 <= length <= MAX_BULK:
            raise ProtocolError('ERR Protocol error: invalid bulk length')
        if len(rest) < length + 2:
            return [], b''
        if rest[length : length + 2] != b'\r\n':
            raise ProtocolError('ERR Protocol error: a bulk string does not end where its length says')
        argv.append(rest[:length])
        data = rest[length + 2 :]
    return argv, data


def run(inputs: int, seed: int, progress: Callable[[int], None]) -> Report:
    """Feed so many inputs.

    Args:
        inputs: how many.
        seed: decides about them.
        progress: gets how many were tried.
    """
    report = Report('resp')
    for number in range(inputs):
        chance = random.Random(f'{seed}:resp:{number}')
        data = _bytes(chance)
        pieces = _pieces(chance, data)
        try:
            with limited():
                whole, parts, plain = _parsed([data]), _parsed(pieces), _plainly(data)
        except Hang:
            report.findings.append(f'input {number}: more than {HANG:g} s for {data[:200]!r}')
        except Exception as error:
            report.findings.append(f'input {number}: {type(error).__name__}: {error} for {data[:200]!r}')
        else:
            if whole != parts and not _ends_in_too_long(whole, parts):
                report.findings.append(
                    f'input {number}: {data[:200]!r} is {_shown(whole)}, and in pieces of {[*map(len, pieces)]} '
                    f'{_shown(parts)}'
                )
            if whole != plain:
                report.findings.append(
                    f'input {number}: {data[:200]!r} is {_shown(whole)}, and should be {_shown(plain)}'
                )
            if whole[1] and not (whole[1].startswith('ERR Protocol error: ') and is_redis_error(whole[1])):
                report.findings.append(f'input {number}: {whole[1]!r} for {data[:200]!r}')
            report.outcomes['refused' if whole[1] else 'read'] += 1
        report.inputs += 1
        if number % 1000 == 0:
            progress(number)
    return report


def _ends_in_too_long(whole: Outcome, parts: Outcome) -> bool:
    """Say whether a line over the limit was refused before its end had arrived, as Redis does as well."""
    return parts[1].startswith('ERR Protocol error: too big') and whole[0][: len(parts[0])] == parts[0]


def _shown(outcome: Outcome) -> str:
    return f'{str(outcome[0])[:200]} {outcome[1]!r}'

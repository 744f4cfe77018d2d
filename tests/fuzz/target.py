"""What the targets share: findings, the limit on time, and bytes that are chosen to be trouble."""

from __future__ import annotations

import contextlib
import random
import re
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

HANG = 20.0
"""Seconds of processor time after which an input counts as a hang: most take some microseconds."""

NUMBERS = [
    b'%d' % number
    for edge in (0, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64)
    for number in (edge - 1, edge, edge + 1, -edge - 1, -edge)
]
NASTY = [
    *NUMBERS,
    *b'1.5 -0 1e400 nan inf -inf (1 [a + - * $ > ~ = 0x10 01 1e-5 0-1 5-* 1-1 1-2'.split(),
    *(b'', b' 1', b'1 ', b'\x00', b'\xff\xfe', b'\r\n', b'a' * 70, b'b' * 5000, b'%s%d{}', b'[a-', b'\\'),
]

_ERROR = re.compile(r'[A-Z][A-Z0-9]* \S')


@dataclass
class Report:
    """What a target found.

    Args:
        name: of the target.
        inputs: how many were tried.
        outcomes: how many inputs ended in which way.
        findings: what should not be, each with what led to it.
    """

    name: str
    inputs: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def row(self) -> str:
        """Return the report as a line of a table."""
        outcomes = ', '.join(f'{number:,} {outcome}' for outcome, number in self.outcomes.most_common())
        return f'{self.name:<10} {self.inputs:>10,} {len(self.findings):>8}   {outcomes}'


HEAD = f'{"target":<10} {"inputs":>10} {"findings":>8}   outcomes'


class Hang(BaseException):
    """An input took too long; no `except Exception` of what is tested stops it."""


@contextlib.contextmanager
def limited(seconds: float = HANG) -> Iterator[None]:
    """Raise `Hang` where the block takes more processor time; only in the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def is_redis_error(text: str) -> bool:
    """Say whether an error has Redis's form, a code and words, and is none that a fault of ours becomes."""
    return bool(_ERROR.match(text)) and 'internal error' not in text


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Return bytes that differ from some in one to three places."""
    array = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        at = chance.randrange(len(array) + 1)
        how = chance.randrange(7)
        if how == 0 and array:
            array[min(at, len(array) - 1)] ^= 1 << chance.randrange(8)
        elif how == 1:
            del array[at : at + chance.choice((1, 1, 2, 4, 8, 16))]
        elif how == 2:
            array[at:at] = chance.choice(NASTY)
        elif how == 3:
            array[at:] = b''
        elif how == 4:
            array[at : at + 8] = chance.choice((b'\x00' * 8, b'\xff' * 8, b'\x80' + b'\x00' * 7, chance.randbytes(8)))
        elif how == 5:
            array[at:at] = array[chance.randrange(len(array) + 1) :][:64]
        else:
            array[at : at + 1] = chance.randbytes(chance.randrange(4))
    return bytes(array)

"""Commands written as patterns, and hypothesis strategies that draw commands from them.

A pattern is a line such as ``SET {string} {value} [NX|XX] [GET] [EX {seconds}|KEEPTTL]``: words stand for themselves,
``{name}`` for something from the pool of that name, ``(a|b)`` for one of both, ``[a|b]`` for one of both or nothing,
and ``<...>`` for what is inside one to three times.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

Command = tuple[bytes, ...]
Draw = Callable[[random.Random], list[bytes]]

_TOKEN = re.compile(r'\{(\w+)\}|([\[\](|<>)])|([^\s\[\]()|<>]+)')
_CLOSING = {'[': ']', '(': ')', '<': '>'}


def compile_pattern(text: str, pools: Mapping[str, Sequence[bytes]]) -> Draw:
    """Return a function that draws a command of the pattern.

    Raises:
        ValueError: if the pattern cannot be read or names a pool that is not there.
    """
    tokens = list(_TOKEN.finditer(text))
    draw, rest = _sequence(tokens, 0, pools, '')
    if rest != len(tokens):
        raise ValueError(f'cannot read the pattern {text!r}')
    return draw


def _sequence(
    tokens: list[re.Match[str]], at: int, pools: Mapping[str, Sequence[bytes]], closing: str
) -> tuple[Draw, int]:
    """Read alternatives up to ``closing``; return what draws one of them, and where reading stopped."""
    alternatives: list[list[Draw]] = [[]]
    while at < len(tokens):
        pool, sign, word = tokens[at].groups()
        at += 1
        if sign and sign == closing:
            break
        if sign == '|':
            alternatives.append([])
        elif sign in _CLOSING:
            inner, at = _sequence(tokens, at, pools, _CLOSING[sign])
            alternatives[-1].append({'[': _maybe, '<': _repeated, '(': _same}[sign](inner))
        elif sign:
            raise ValueError(f'{sign} without its beginning')
        elif pool:
            alternatives[-1].append(_one_of(pools[pool]))
        else:
            alternatives[-1].append(_constant(word.encode()))

    def draw(chance: random.Random) -> list[bytes]:
        parts = alternatives[0] if len(alternatives) == 1 else chance.choice(alternatives)
        return [word for part in parts for word in part(chance)]

    return draw, at


def _constant(word: bytes) -> Draw:
    return lambda chance: [word]


def _one_of(pool: Sequence[bytes]) -> Draw:
    return lambda chance: [chance.choice(pool)]


def _maybe(inner: Draw) -> Draw:
    return lambda chance: inner(chance) if chance.random() < 0.4 else []


def _repeated(inner: Draw) -> Draw:
    return lambda chance: [word for _ in range(chance.choice((1, 1, 2, 3))) for word in inner(chance)]


def _same(inner: Draw) -> Draw:
    return inner

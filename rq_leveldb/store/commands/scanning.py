"""The arguments that SCAN, HSCAN, SSCAN and ZSCAN share, and those of random elements."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from rq_leveldb.store.arguments import MAX_INTEGER, Options, integer
from rq_leveldb.store.context import Context
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import (
    MAX_WHOLE,
    Reply,
    ReplyError,
    integer_out_of_range,
    invalid_cursor,
    out_of_range,
    pairs_pieces,
    pairs_reply,
    syntax_error,
)
from rq_leveldb.store.types.value import Value

T = TypeVar('T')

_CURSOR = re.compile(rb'[ \t-\r]*\+?[0-9]{1,20}')
MAX_CURSOR = (1 << 64) - 1
DEFAULT_COUNT = 10
MAX_REPETITIONS = 1 << 22
"""Most random elements, with repetitions, that a command returns: in a script they are all in memory."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """The options of one step of a scan.

    Args:
        cursor: 0 to begin.
        count: about how many elements to look at.
        glob: which elements to return; None for all.
        type_name: the type given with TYPE, in lower case.
        flags: which of the command's own options were given.
    """

    cursor: int
    count: int
    glob: Glob | None
    type_name: bytes | None
    flags: frozenset[bytes]

    @classmethod
    def read(
        cls, argv: list[bytes], cursor_at: int, flags: frozenset[bytes] = frozenset(), with_type: bool = False
    ) -> ScanOptions:
        """Read the cursor and the options after it.

        Args:
            argv: all arguments of the command.
            cursor_at: index of the cursor in `argv`; the options follow.
            flags: options of the command without a value, in upper case.
            with_type: whether the command knows TYPE.

        Raises:
            ReplyError: as Redis does.
        """
        cursor = argv[cursor_at]
        check_cursor(cursor)
        count = DEFAULT_COUNT
        glob = None
        type_name = None
        given = set()
        options = Options(argv, cursor_at + 1)
        for option in options:
            if option == b'COUNT':
                count = options.integer()
                if count < 1:
                    raise syntax_error()
            elif option == b'MATCH':
                pattern = options.value()
                glob = None if pattern == b'*' else Glob(pattern)
            elif option == b'TYPE' and with_type:
                type_name = options.value().lower()
            elif option == b'NOVALUES' and option not in flags:
                raise ReplyError('ERR NOVALUES option can only be used in HSCAN')
            elif option in flags:
                given.add(option)
            else:
                raise syntax_error()
        return cls(int(cursor), count, glob, type_name, frozenset(given))

    def matches(self, element: bytes) -> bool:
        """Return whether MATCH lets an element through; without MATCH all of them pass."""
        return self.glob is None or self.glob.matches(element)


class _Drawable(Sized, Protocol):
    def items(self) -> Iterator[tuple[bytes, Any]]: ...
    def draw(self, count: int) -> list[tuple[bytes, Any]]: ...


def random_members(ctx: Context, argv: list[bytes], type_: type[Value], word: bytes | None = None) -> Reply:
    """Do what HRANDFIELD, SRANDMEMBER and ZRANDMEMBER have in common.

    Args:
        ctx: the command's context.
        argv: all arguments of the command.
        type_: what the key must hold.
        word: asks for values or scores as well.
    """
    count, both = (1, False) if len(argv) == 2 else _random_count(argv, word)
    value = cast('_Drawable | None', ctx.typed(argv[1], type_))
    if len(argv) == 2:
        return None if value is None else value.draw(1)[0][0]
    if value is None or count == 0:
        return []
    if count < 0:
        return pairs_pieces(-count, _drawn_with_repetitions(value.items(), -count), both, ctx.resp3)
    if count >= len(value) > MAX_WHOLE:
        return pairs_pieces(len(value), value.items(), both, ctx.resp3)
    return pairs_reply(value.draw(count), both, ctx.resp3)


def _random_count(argv: list[bytes], word: bytes | None) -> tuple[int, bool]:
    """Return the trailing ``count [word]``: a count, negative with repetitions, and whether the word was given."""
    count = integer(argv[2])
    if count < -MAX_INTEGER:
        raise count_out_of_range()
    paired = len(argv) > 3
    if len(argv) > 4 or (paired and argv[3].upper() != word):
        raise syntax_error()
    if paired and abs(count) > MAX_INTEGER // 2:
        raise out_of_range()
    return count, paired


def _drawn_with_repetitions(elements: Iterable[T], count: int) -> Iterator[T]:
    """Draw elements with repetitions, lazily.

    Raises:
        ReplyError: they are too many.
    """
    if count > MAX_REPETITIONS:
        raise out_of_range()
    known = list(iter(elements))  # whatever number of them a damaged record says
    return (random.choice(known) for _ in range(count if known else 0))


def count_out_of_range() -> ReplyError:
    return integer_out_of_range(-MAX_INTEGER, MAX_INTEGER)


def check_cursor(argument: bytes) -> None:
    """Check a cursor: unlike wrong options, Redis reports a wrong one even if there is no key to scan.

    Raises:
        ReplyError: not a cursor.
    """
    if not _CURSOR.fullmatch(argument) or int(argument) > MAX_CURSOR:
        raise invalid_cursor()

"""The arguments that SCAN, HSCAN, SSCAN and ZSCAN share."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rq_leveldb.store.arguments import MAX_INTEGER, Options
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import ReplyError, integer_out_of_range, syntax_error

_CURSOR = re.compile(rb'[ \t-\r]*\+?[0-9]{1,20}')
MAX_CURSOR = (1 << 64) - 1
DEFAULT_COUNT = 10


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


def count_out_of_range() -> ReplyError:
    return integer_out_of_range(-MAX_INTEGER, MAX_INTEGER)


def check_cursor(argument: bytes) -> None:
    """Check a cursor: unlike wrong options, Redis reports a wrong one even if there is no key to scan.

    Raises:
        ReplyError: not a cursor.
    """
    if not _CURSOR.fullmatch(argument) or int(argument) > MAX_CURSOR:
        raise ReplyError('ERR invalid cursor')

"""The arguments that SCAN, HSCAN, SSCAN and ZSCAN share, and those of random elements."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rq_leveldb.store.arguments import MAX_INTEGER, integer
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import ReplyError, invalid_cursor, syntax_error

_CURSOR = re.compile(rb'[ \t-\r]*\+?[0-9]{1,20}')
MAX_CURSOR = (1 << 64) - 1
DEFAULT_COUNT = 10
MAX_REPETITIONS = 1 << 22
"""How many random elements, some of them more than once, a command gives: in a script they are all in memory."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """:param cursor: 0 to begin
    :param count: about how many elements to look at
    :param glob: which to return; None for all
    :param type_name: the type asked for with TYPE, in lower case
    :param flags: which of the command's own options were given
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
        """:param cursor_at: index of the cursor in `argv`; the options follow
        :param flags: options of the command without a value, in upper case
        :param with_type: whether the command knows TYPE
        :raises ReplyError: as Redis does
        """
        cursor = argv[cursor_at]
        check_cursor(cursor)
        count = DEFAULT_COUNT
        glob = None
        type_name = None
        given = set()
        index = cursor_at + 1
        while index < len(argv):
            option = argv[index].upper()
            more = index + 1 < len(argv)
            if option == b'COUNT' and more:
                count = integer(argv[index + 1])
                if count < 1:
                    raise syntax_error()
                index += 2
            elif option == b'MATCH' and more:
                glob = None if argv[index + 1] == b'*' else Glob(argv[index + 1])
                index += 2
            elif option == b'TYPE' and with_type and more:
                type_name = argv[index + 1].lower()
                index += 2
            elif option == b'NOVALUES' and option not in flags:
                raise ReplyError('ERR NOVALUES option can only be used in HSCAN')
            elif option in flags:
                given.add(option)
                index += 1
            else:
                raise syntax_error()
        return cls(int(cursor), count, glob, type_name, frozenset(given))

    def matches(self, element: bytes) -> bool:
        return self.glob is None or self.glob.matches(element)


def count_out_of_range() -> ReplyError:
    return ReplyError(f'ERR value is out of range, value must between {-MAX_INTEGER} and {MAX_INTEGER}')


def check_cursor(argument: bytes) -> None:
    """What is wrong with the options, Redis says only where there is a key to scan; a wrong cursor always.

    :raises ReplyError: not a cursor
    """
    if not _CURSOR.fullmatch(argument) or int(argument) > MAX_CURSOR:
        raise invalid_cursor()

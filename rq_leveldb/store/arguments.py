"""Parsing arguments as Redis does: integers, floats and what is added to them, score ranges, time-outs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from operator import length_hint
from typing import Any

from rq_leveldb.location import DATABASES
from rq_leveldb.store import long_double
from rq_leveldb.store.long_double import LongDouble
from rq_leveldb.store.replies import ReplyError, db_out_of_range, integer_out_of_range, not_a_float, syntax_error

MIN_INTEGER = -(1 << 63)
MAX_INTEGER = (1 << 63) - 1

# No pattern may match a run of digits in two ways: a long argument would then take the square of its length.
_INTEGER = re.compile(rb'0|-?[1-9][0-9]{0,18}')
FLOAT = re.compile(
    rb'[+-]?(?:[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)', re.I
)
_HEXADECIMAL = re.compile(rb'[+-]?0x(?:[0-9a-f]+(?:\.[0-9a-f]*)?|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?', re.I)
# A number too large or too small for a double is parsed as infinity or 0, though it is neither.
_OUT_OF_REACH = re.compile(rb'^[+-]?(?:0x[0.]*[1-9a-f]|[0.]*[1-9])', re.I)


def integer(argument: bytes, error: str = 'ERR value is not an integer or out of range') -> int:
    """Read a 64-bit integer in the one notation that Redis accepts: no plus, no leading zero.

    Args:
        argument: what the client sent.
        error: the error's text, if the command has its own.

    Raises:
        ReplyError: it is not such a number.
    """
    if _INTEGER.fullmatch(argument):
        number = int(argument)
        if MIN_INTEGER <= number <= MAX_INTEGER:
            return number
    raise ReplyError(error)


def database(argument: bytes) -> int:
    """Read the number of a database.

    Raises:
        ReplyError: there is no such database.
    """
    number = integer(argument)
    if not -(1 << 31) <= number < 1 << 31:
        raise integer_out_of_range(-(1 << 31), (1 << 31) - 1)
    if not 0 <= number < DATABASES:
        raise db_out_of_range()
    return number


def is_integer(argument: bytes) -> bool:
    """Return whether Redis would read this as a 64-bit integer; see `integer`."""
    return bool(_INTEGER.fullmatch(argument)) and MIN_INTEGER <= int(argument) <= MAX_INTEGER


def floating(argument: bytes) -> float:
    """Read a number.

    Raises:
        ReplyError: not a number.
    """
    number = _number(argument)
    if (math.isinf(number) or number == 0) and _OUT_OF_REACH.search(argument):
        raise not_a_float()
    return number


def _number(argument: bytes) -> float:
    if FLOAT.fullmatch(argument):
        return float(argument)
    if _HEXADECIMAL.fullmatch(argument):
        try:
            return float.fromhex(argument.decode())
        except OverflowError:
            pass
    raise not_a_float()


def incremented(number: int, increment: int) -> int:
    """Return a sum of 64-bit integers.

    Raises:
        ReplyError: it does not fit into 64 bits.
    """
    total = number + increment
    if not MIN_INTEGER <= total <= MAX_INTEGER:
        raise ReplyError('ERR increment or decrement would overflow')
    return total


def float_incremented(number: LongDouble, increment: LongDouble) -> bytes:
    """Return the text of a sum.

    Raises:
        ReplyError: it is not a finite number.
    """
    total = long_double.add(number, increment)
    if not long_double.is_finite(total):
        raise ReplyError('ERR increment would produce NaN or Infinity')
    return long_double.write(total)


def score_bound(argument: bytes) -> tuple[float, bool]:
    """Read a score bound, exclusive with a parenthesis: ``(1.5``.

    Raises:
        ReplyError: as ZRANGEBYSCORE does.
    """
    exclusive = argument[:1] == b'('
    number = (argument[1:] if exclusive else argument) or b'0'
    # Unlike a score, a bound cannot be hexadecimal.
    if not FLOAT.fullmatch(number):
        raise ReplyError('ERR min or max is not a float')
    return float(number), exclusive


def timeout(argument: bytes) -> float:
    """Read a time-out in seconds, 0 forever.

    Raises:
        ReplyError: as BLPOP does.
    """
    try:
        seconds = _number(argument)
    except ReplyError:
        raise ReplyError('ERR timeout is not a float or out of range') from None
    _check_timeout(seconds * 1000, MAX_INTEGER)
    return seconds


def milliseconds(argument: bytes, now: int) -> int:
    """Read a time-out in milliseconds, 0 forever.

    Args:
        argument: what the client sent.
        now: Unix time in ms.

    Raises:
        ReplyError: as XREAD does.
    """
    number = integer(argument, 'ERR timeout is not an integer or out of range')
    _check_timeout(number, MAX_INTEGER - now)
    return number


def _check_timeout(time: float, most: int) -> None:
    if time < 0:
        raise ReplyError('ERR timeout is negative')
    if time > most:
        raise ReplyError('ERR timeout is out of range')


def slice_bounds(start: int, stop: int, length: int) -> tuple[int, int]:
    """Return start and end (exclusive) within 0..length; equal if the range is empty.

    Args:
        start: first index, from the end if negative.
        stop: last index, inclusive, from the end if negative.
        length: how many elements there are.
    """
    if start < 0:
        start = max(start + length, 0)
    if stop < 0:
        stop += length
    stop = min(stop, length - 1)
    if start > stop or start >= length:
        return 0, 0
    return start, stop + 1


class Options:
    """A cursor over the options of a command, in any order and case.

    Iterating gives each option in upper case; the methods read its values. A missing value is a syntax error, as in
    Redis.

    Args:
        argv: all arguments of the command.
        at: index of the first option.
    """

    __slots__ = ('_argv', '_rest')

    def __init__(self, argv: list[bytes], at: int) -> None:
        self._argv = argv
        self._rest = iter(argv[at:])

    def __iter__(self) -> Iterator[bytes]:
        return map(bytes.upper, self._rest)

    def left(self) -> int:
        """Return how many arguments are left."""
        return length_hint(self._rest)

    def last(self) -> bytes:
        """Return the last argument read, as it was sent."""
        return self._argv[-1 - self.left()]

    def flags(self, names: frozenset[bytes]) -> set[bytes]:
        """Read options without a value as long as they are among these."""
        given: set[bytes] = set()
        for option in self:
            if option not in names:
                self._rest = iter(self._argv[-1 - self.left() :])
                break
            given.add(option)
        return given

    def all(self, known: Mapping[bytes, Callable[[bytes], Any] | None]) -> dict[bytes, Any]:
        """Read all options that are left.

        Args:
            known: what reads each option's value, None for an option without one.

        Returns:
            The value of each that was given, of one without a value True.
        """
        found = {}
        for option in self:
            if option not in known:
                raise syntax_error()
            read = known[option]
            found[option] = True if read is None else read(self.value())
        return found

    def values_of(self, name: bytes) -> Iterator[bytes]:
        """Read the values of the command's only option, as often as it is given."""
        for option in self:
            if option != name:
                raise syntax_error()
            yield self.value()

    def value(self) -> bytes:
        """Read the next argument, as it was sent.

        Raises:
            ReplyError: there is none.
        """
        for argument in self._rest:
            return argument
        raise syntax_error()

    def values(self, count: int) -> list[bytes]:
        """Read so many arguments, as they were sent.

        Raises:
            ReplyError: there are fewer.
        """
        found = list(islice(self._rest, count))
        if len(found) < count:
            raise syntax_error()
        return found

    def integer(self) -> int:
        """Read a 64-bit integer.

        Raises:
            ReplyError: there is none, or it is not such a number.
        """
        return integer(self.value())

    def one_of(self, *words: bytes) -> bytes:
        """Read one of these words, in any case."""
        word = self.value().upper()
        if word not in words:
            raise syntax_error()
        return word

    def rest(self) -> list[bytes]:
        """Read all remaining arguments."""
        return list(self._rest)


def positive(argument: bytes, error: str = 'ERR value is out of range, must be positive') -> int:
    """Read an integer that is not negative.

    Args:
        argument: what the client sent.
        error: the error's text, if the command has its own.

    Raises:
        ReplyError: it is not such a number.
    """
    if not is_integer(argument) or argument[:1] == b'-':
        raise ReplyError(error)
    return int(argument)


def limit_option(argv: list[bytes], index: int) -> int | None:
    """Read the trailing ``[LIMIT limit]`` of SINTERCARD and ZINTERCARD.

    Returns:
        The limit, None if there is none.
    """
    limit = 0
    for text in Options(argv, index).values_of(b'LIMIT'):
        limit = positive(text, "ERR LIMIT can't be negative")
    return limit or None

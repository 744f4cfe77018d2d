"""Arguments as Redis reads them: integers, floats, ranges of scores, time-outs."""

from __future__ import annotations

import math
import re

from rq_leveldb.store.replies import ReplyError, not_a_float, not_an_integer, syntax_error

MIN_INTEGER = -(1 << 63)
MAX_INTEGER = (1 << 63) - 1

_MAX_WHOLE = MAX_INTEGER // 2
"""Up to here Redis writes a whole number digit for digit."""

_INTEGER = re.compile(rb'0|-?[1-9][0-9]{0,18}')
_FLOAT = re.compile(rb'[+-]?(?:[0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)', re.I)
_HEXADECIMAL = re.compile(rb'[+-]?0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?', re.I)
# A number too large or too small to be written as a double comes out as infinity or 0, though it is neither.
_OUT_OF_REACH = re.compile(rb'^[+-]?(?:0x[0.]*[1-9a-f]|[0.]*[1-9])', re.I)


def integer(argument: bytes) -> int:
    """:raises ReplyError: not a whole number of 64 bits, written the one way Redis accepts: no plus, no leading zero"""
    if _INTEGER.fullmatch(argument):
        number = int(argument)
        if MIN_INTEGER <= number <= MAX_INTEGER:
            return number
    raise not_an_integer()


def small_integer(argument: bytes) -> int:
    """:raises ReplyError: as `integer`, and in words of its own for a number that does not fit into 32 bits"""
    number = integer(argument)
    if not -(1 << 31) <= number < 1 << 31:
        raise ReplyError('ERR value is out of range, value must between -2147483648 and 2147483647')
    return number


def is_integer(argument: bytes) -> bool:
    return bool(_INTEGER.fullmatch(argument)) and MIN_INTEGER <= int(argument) <= MAX_INTEGER


def floating(argument: bytes) -> float:
    """:raises ReplyError: not a number"""
    number = _number(argument)
    if (math.isinf(number) or number == 0) and _OUT_OF_REACH.search(argument):
        raise not_a_float()
    return number


def _number(argument: bytes) -> float:
    if _FLOAT.fullmatch(argument):
        return float(argument)
    if _HEXADECIMAL.fullmatch(argument):
        try:
            return float.fromhex(argument.decode())
        except OverflowError:
            pass
    raise not_a_float()


def score(argument: bytes) -> float:
    return floating(argument)


def score_bound(argument: bytes) -> tuple[float, bool]:
    """:returns: the bound and whether it is exclusive: ``(1.5``
    :raises ReplyError: as ZRANGEBYSCORE does
    """
    exclusive = argument[:1] == b'('
    number = (argument[1:] if exclusive else argument) or b'0'
    # Unlike a score, a bound is not hexadecimal.
    if not _FLOAT.fullmatch(number):
        raise ReplyError('ERR min or max is not a float')
    return float(number), exclusive


def timeout(argument: bytes) -> float:
    """:returns: seconds, 0 for ever
    :raises ReplyError: as BLPOP does
    """
    try:
        seconds = _number(argument)
    except ReplyError:
        raise ReplyError('ERR timeout is not a float or out of range') from None
    if seconds < 0:
        raise ReplyError('ERR timeout is negative')
    if seconds * 1000 > MAX_INTEGER:
        raise ReplyError('ERR timeout is out of range')
    return seconds


def milliseconds(argument: bytes, now: int) -> int:
    """
    :param now: Unix time in ms
    :returns: how long to wait, 0 for ever
    :raises ReplyError: as XREAD does
    """
    try:
        number = integer(argument)
    except ReplyError:
        raise ReplyError('ERR timeout is not an integer or out of range') from None
    if number < 0:
        raise ReplyError('ERR timeout is negative')
    if number > MAX_INTEGER - now:
        raise ReplyError('ERR timeout is out of range')
    return number


def float_reply(number: float) -> bytes:
    """:returns: the shortest text that reads back as the same number, laid out as Redis writes scores"""
    if math.isinf(number):
        return b'inf' if number > 0 else b'-inf'
    if math.isnan(number):
        return b'nan'
    if abs(number) <= _MAX_WHOLE and number == int(number):
        whole = int(number)
        return b'-0' if whole == 0 and math.copysign(1, number) < 0 else b'%d' % whole
    mantissa, _, exponent = repr(abs(number)).partition('e')
    whole_part, _, fraction = mantissa.partition('.')
    fraction = '' if fraction == '0' else fraction
    all_digits = (whole_part + fraction).lstrip('0')
    digits = all_digits.rstrip('0')
    # The number is `digits` times ten to the power of `power`; `order` is that of its first digit.
    power = int(exponent or 0) - len(fraction) + len(all_digits) - len(digits)
    order = power + len(digits) - 1
    sign = '-' if number < 0 else ''
    # When to write an exponent: as fpconv does, which Redis uses.
    if power >= 0 and order < len(digits) + 7:
        text = digits + '0' * power
    elif power < 0 and (power > -7 or abs(order) < 4):
        point = len(digits) + power
        text = f'{digits[:point]}.{digits[point:]}' if point > 0 else f'0.{"0" * -point}{digits}'
    else:
        text = digits[0] + ('.' + digits[1:] if len(digits) > 1 else '') + f'e{order:+d}'
    return (sign + text).encode()


def long_double_reply(text: str) -> bytes:
    """:param text: a decimal number
    :returns: it without an exponent and without trailing zeros, as INCRBYFLOAT answers
    """
    if '.' in text:
        text = text.rstrip('0').rstrip('.')
    return b'0' if text == '-0' else text.encode()


def slice_bounds(start: int, stop: int, length: int) -> tuple[int, int]:
    """:param start: first index, from the end if negative
    :param stop: last index, inclusive, from the end if negative
    :returns: start and end (exclusive) within 0..length; equal if nothing lies between
    """
    if start < 0:
        start = max(start + length, 0)
    if stop < 0:
        stop += length
    stop = min(stop, length - 1)
    if start > stop or start >= length:
        return 0, 0
    return start, stop + 1


def options(argv: list[bytes], start: int, flags: frozenset[bytes], valued: frozenset[bytes]) -> dict[bytes, bytes]:
    """Read the trailing options of a command, in any order and case.

    :param flags: names that stand alone
    :param valued: names that a value follows
    :returns: what was given, by name in upper case; flags map to an empty value
    :raises ReplyError: anything else
    """
    found: dict[bytes, bytes] = {}
    index = start
    while index < len(argv):
        name = argv[index].upper()
        if name in flags:
            found[name] = b''
            index += 1
        elif name in valued and index + 1 < len(argv):
            found[name] = argv[index + 1]
            index += 2
        else:
            raise syntax_error()
    return found


def positive(argument: bytes, error: str = 'value is out of range, must be positive') -> int:
    """:param error: the words of the error, whatever is wrong
    :raises ReplyError: not a whole number of 64 bits, or below 0
    """
    try:
        number = integer(argument)
    except ReplyError:
        number = -1
    if number < 0:
        raise ReplyError(f'ERR {error}')
    return number


def counted_keys(argv: list[bytes], index: int) -> tuple[list[bytes], int]:
    """Read a number of keys and the keys, as LMPOP and ZMPOP do.

    :param index: where the number stands
    :returns: the keys, and the index behind them
    :raises ReplyError: the number is not positive, or there are fewer keys
    """
    count = positive(argv[index], 'numkeys should be greater than 0')
    if count == 0:
        raise ReplyError('ERR numkeys should be greater than 0')
    end = index + 1 + count
    if end > len(argv):
        raise syntax_error()
    return argv[index + 1 : end], end


def pop_count(argv: list[bytes], index: int) -> int:
    """Read ``[COUNT count]``, as LMPOP and ZMPOP end in it.

    :returns: 1 if it is not there
    """
    count: int | None = None
    while index < len(argv):
        if count is not None or argv[index].upper() != b'COUNT' or index + 1 == len(argv):
            raise syntax_error()
        count = positive(argv[index + 1], 'count should be greater than 0')
        if count == 0:
            raise ReplyError('ERR count should be greater than 0')
        index += 2
    return 1 if count is None else count

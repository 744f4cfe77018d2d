"""Numbers as INCRBYFLOAT and HINCRBYFLOAT compute with them: C's long double of x86 (64 bits of mantissa), exactly.

Redis stores the sum as text with 17 decimals, in which the rounding of that format shows; a client that adds up
floats gets the same digits here.
"""

from __future__ import annotations

import re
from decimal import Decimal

MANTISSA_BITS = 64
MAX_EXPONENT = 16384
LEAST_UNIT = -16445
"""The exponent of the smallest number's one bit."""
DECIMALS = 17
MAX_TEXT = 5 * 1024

LongDouble = tuple[int, int]
"""Mantissa and exponent: mantissa * 2 ** exponent, the mantissa of at most 64 bits. Infinities are those below."""

ZERO: LongDouble = (0, 0)
INFINITY: LongDouble = (1, MAX_EXPONENT)
MINUS_INFINITY: LongDouble = (-1, MAX_EXPONENT)

_NUMBER = re.compile(rb'([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:[eE]([+-]?[0-9]+))?')
_HEXADECIMAL = re.compile(rb'([+-]?)0x(?=\.?[0-9a-f])([0-9a-f]*)(?:\.([0-9a-f]*))?(?:p([+-]?[0-9]+))?', re.IGNORECASE)
_INFINITY = re.compile(rb'([+-]?)inf(?:inity)?', re.IGNORECASE)
_SCALE = 10**DECIMALS


def parse(text: bytes) -> LongDouble | None:
    """Return the number; None if it is none, or too large or too small to be one."""
    if len(text) >= MAX_TEXT:
        return None
    found = _NUMBER.fullmatch(text)
    if not found:
        hexadecimal = _HEXADECIMAL.fullmatch(text)
        if hexadecimal:
            return _of_hexadecimal(*hexadecimal.groups())
        infinity = _INFINITY.fullmatch(text)
        if infinity:
            return MINUS_INFINITY if infinity[1] == b'-' else INFINITY
        return None
    if not found[1].strip(b'+-0.'):
        return ZERO
    if found[2] is not None and len(found[2]) > 6:
        return None
    # A Decimal holds all digits there are, and an integer of any size.
    numerator, denominator = Decimal(text.decode()).as_integer_ratio()
    shift = max(MANTISSA_BITS + 2 + denominator.bit_length() - numerator.bit_length(), 0)
    quotient, rest = divmod(abs(numerator) << shift, denominator)
    return _in_range(_rounded(quotient << 1 | (rest != 0), -shift - 1), numerator < 0)


def _in_range(number: LongDouble, negative: bool) -> LongDouble | None:
    if number in (ZERO, INFINITY):
        return None
    return (-number[0], number[1]) if negative else number


def _of_hexadecimal(sign: bytes, whole: bytes, decimals: bytes | None, exponent: bytes | None) -> LongDouble | None:
    decimals = decimals or b''
    digits = int(whole + decimals, 16)
    if digits == 0:
        return ZERO
    if exponent is not None and len(exponent) > 6:
        return None
    return _in_range(_rounded(digits, int(exponent or b'0') - 4 * len(decimals)), sign == b'-')


def add(one: LongDouble, other: LongDouble) -> LongDouble:
    """Add two numbers.

    Args:
        one: either of them may be an infinity, not both.
        other: likewise.
    """
    if not is_finite(one):
        return one
    if not is_finite(other):
        return other
    exponent = min(one[1], other[1])
    total = (one[0] << (one[1] - exponent)) + (other[0] << (other[1] - exponent))
    mantissa, exponent = _rounded(abs(total), exponent)
    return -mantissa if total < 0 else mantissa, exponent


def is_finite(number: LongDouble) -> bool:
    """Return whether a number is not an infinity."""
    return number[1] < MAX_EXPONENT


def write(number: LongDouble) -> bytes:
    """Return the number with at most 17 decimals and without an exponent.

    Args:
        number: a finite one.
    """
    mantissa, exponent = number
    scaled = abs(mantissa) * _SCALE
    if exponent >= 0:
        scaled <<= exponent
    else:
        scaled = _shifted(scaled, -exponent)
    if scaled == 0:
        return b'0'
    whole, decimals = divmod(scaled, _SCALE)
    text = str(Decimal(whole))  # which writes integers of any size
    if decimals:
        text += '.' + f'{decimals:0{DECIMALS}d}'.rstrip('0')
    return ('-' + text if mantissa < 0 else text).encode()


def _rounded(mantissa: int, exponent: int) -> LongDouble:
    """Round to what the format can hold.

    Args:
        mantissa: not negative, of any size.
        exponent: the number is ``mantissa * 2 ** exponent``.
    """
    if mantissa == 0:
        return ZERO
    excess = max(mantissa.bit_length() - MANTISSA_BITS, LEAST_UNIT - exponent)
    if excess > 0:
        mantissa = _shifted(mantissa, excess)
        exponent += excess
    if mantissa == 0:
        return ZERO
    return INFINITY if mantissa.bit_length() + exponent > MAX_EXPONENT else (mantissa, exponent)


def _shifted(number: int, bits: int) -> int:
    """Return the number without its last bits, rounded half to even, as the processor and printf do."""
    half = 1 << (bits - 1)
    rest = number & ((half << 1) - 1)
    number >>= bits
    return number + 1 if rest > half or (rest == half and number & 1) else number

"""Numbers as INCRBYFLOAT and HINCRBYFLOAT compute with them: C's long double of x86 (64 bits of mantissa), exactly.

Redis stores the sum as text with 17 decimals, in which the rounding of that format shows; a client that adds up
floats gets the same digits here.
"""

from __future__ import annotations

import re
from fractions import Fraction

MANTISSA_BITS = 64
MAX_EXPONENT = 16384
MIN_EXPONENT = -16382
DECIMALS = 17
MAX_TEXT = 5 * 1024

LongDouble = Fraction | float
"""A finite number, or an infinity as a float."""

ZERO = Fraction(0)

_NUMBER = re.compile(rb'([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?')
_INFINITY = re.compile(rb'([+-]?)inf(?:inity)?', re.IGNORECASE)


def parse(text: bytes) -> LongDouble | None:
    """:returns: the number; None if it is none, or too large or too small to be one"""
    if len(text) >= MAX_TEXT:
        return None
    found = _NUMBER.fullmatch(text)
    if not found:
        infinity = _INFINITY.fullmatch(text)
        if infinity:
            return float('-inf' if infinity[1] == b'-' else 'inf')
        return None
    sign, whole, decimals, only_decimals, exponent = found.groups()
    decimals = decimals or only_decimals or b''
    digits = int((whole or b'') + decimals)
    if digits == 0:
        return ZERO
    power = int(exponent or b'0') - len(decimals)
    if not -2 * MAX_TEXT < power < MAX_TEXT:
        return None
    number = Fraction(digits * 10**power) if power >= 0 else Fraction(digits, 10**-power)
    rounded = _round(number)
    if rounded == 0 or not is_finite(rounded):
        return None
    return -rounded if sign == b'-' else rounded


def add(one: LongDouble, other: LongDouble) -> LongDouble:
    if isinstance(one, float) or isinstance(other, float):
        return (
            float(one) + float(other)
            if isinstance(one, float) and isinstance(other, float)
            else (one if isinstance(one, float) else other)
        )
    total = one + other
    return -_round(-total) if total < 0 else _round(total)


def is_finite(number: LongDouble) -> bool:
    return isinstance(number, Fraction)


def write(number: LongDouble) -> bytes:
    """:returns: the number with at most 17 decimals and without an exponent"""
    if isinstance(number, float):
        return b'inf' if number > 0 else b'-inf'
    scaled = round(abs(number) * 10**DECIMALS)  # half to even, as printf does
    if scaled == 0:
        return b'0'
    whole, decimals = divmod(scaled, 10**DECIMALS)
    text = f'{whole}.{decimals:0{DECIMALS}d}'.rstrip('0').rstrip('.')
    return ('-' + text if number < 0 else text).encode()


def _round(number: Fraction) -> LongDouble:
    """:param number: not negative"""
    if number == 0:
        return ZERO
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    if number < Fraction(2) ** exponent:
        exponent -= 1
    if exponent >= MAX_EXPONENT:
        return float('inf')
    unit = Fraction(2) ** (max(exponent, MIN_EXPONENT) - MANTISSA_BITS + 1)
    rounded = round(number / unit) * unit
    return float('inf') if rounded >= Fraction(2) ** MAX_EXPONENT else rounded

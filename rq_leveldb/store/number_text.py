"""Floating-point numbers as Redis writes them: with the fewest digits that read back the same, in fpconv's format."""

from __future__ import annotations

import math

_MAX_WHOLE = ((1 << 63) - 1) // 2
"""Up to here Redis writes whole numbers in replies with all digits."""


def score_text(number: float) -> bytes:
    """Write a number for a reply, such as a score."""
    if abs(number) <= _MAX_WHOLE and number == int(number):
        whole = int(number)
        return b'-0' if whole == 0 and math.copysign(1, number) < 0 else b'%d' % whole
    return b'nan' if math.isnan(number) else _shortest(number)


def lua_text(number: float) -> bytes:
    """Write a Lua number as an argument of a command; 64-bit integers have no decimal point."""
    if isinstance(number, int):
        return b'%d' % number
    if math.isnan(number):
        return b'-nan' if math.copysign(1, number) < 0 else b'nan'
    if abs(number) < 2**63 and number == math.floor(number):
        return b'%d' % int(number)
    return _shortest(number)


def _shortest(number: float) -> bytes:
    if math.isinf(number):
        return b'inf' if number > 0 else b'-inf'
    mantissa, _, exponent = repr(abs(number)).partition('e')
    whole, _, fraction = mantissa.partition('.')
    fraction = '' if fraction == '0' else fraction
    all_digits = (whole + fraction).lstrip('0')
    digits = all_digits.rstrip('0')
    # The number is `digits` times ten to the power of `power`; `order` is that of its first digit.
    power = int(exponent or 0) - len(fraction) + len(all_digits) - len(digits)
    order = power + len(digits) - 1
    sign = '-' if number < 0 else ''
    # When to write an exponent: as fpconv does.
    if power >= 0 and order < len(digits) + 7:
        text = digits + '0' * power
    elif power < 0 and (power > -7 or abs(order) < 4):
        point = len(digits) + power
        text = f'{digits[:point]}.{digits[point:]}' if point > 0 else f'0.{"0" * -point}{digits}'
    else:
        text = digits[0] + ('.' + digits[1:] if len(digits) > 1 else '') + f'e{order:+d}'
    return (sign + text).encode()

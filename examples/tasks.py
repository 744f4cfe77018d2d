"""Functions that run as jobs. A module of their own, since RQ refuses functions of `__main__`."""

from __future__ import annotations

import math
import os
import time


def primes_below(limit: int) -> int:
    """Return how many prime numbers are smaller than a limit.

    Args:
        limit: at least 2.
    """
    sieve = bytearray([1]) * limit
    sieve[:2] = b'\0\0'
    for number in range(2, math.isqrt(limit - 1) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return sum(sieve)


def greet(name: str, *, greeting: str = 'Hello') -> str:
    """Return a greeting that tells which process it comes from.

    Args:
        name: whom to greet.
        greeting: with what word.
    """
    time.sleep(0.2)
    return f'{greeting}, {name}! (from process {os.getpid()})'

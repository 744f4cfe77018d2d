"""Functions that run as jobs."""

from __future__ import annotations


def count_primes(limit: int) -> int:
    """Return how many prime numbers are smaller than a limit.

    Args:
        limit: at least 2.
    """
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))

"""Functions that run as jobs."""

from __future__ import annotations

from django.core.cache import cache


def count_primes(limit: int) -> int:
    """Return how many prime numbers are smaller than a limit, and keep the number in the cache.

    Args:
        limit: at least 2.
    """
    count = sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(2, limit))
    cache.set(f'primes-{limit}', count)
    return count

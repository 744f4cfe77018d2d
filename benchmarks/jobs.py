"""The job that is measured: it does nothing, so that what is left is the cost of the queue."""

from __future__ import annotations


def nothing(number: int) -> int:
    return number

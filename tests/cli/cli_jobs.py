"""Functions that the tests of the command line run as jobs."""

from __future__ import annotations


def add(left: int, right: int) -> int:
    return left + right


def fail() -> None:
    raise ValueError('on purpose')

"""Functions that run as jobs."""

from __future__ import annotations


def add(left: int, right: int) -> int:
    return left + right


def fail() -> None:
    raise ValueError('it fails')

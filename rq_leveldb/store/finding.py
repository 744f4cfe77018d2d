"""Findings of a check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One problem.

    Args:
        where: a file, or a key in words.
        problem: what is wrong with it.
        remedy: what a repair does about it.
        at: an offset in the file; None if it is not a file.
        first: the first LevelDB key whose records are lost; None if unknown.
        last: the last such key.
        keys: some of the LevelDB keys whose last changes are lost.
        harmless: whether the store is not affected, or repairs it by itself.
    """

    where: str
    problem: str
    remedy: str
    at: int | None = None
    first: bytes | None = None
    last: bytes | None = None
    keys: tuple[bytes, ...] = ()
    harmless: bool = False

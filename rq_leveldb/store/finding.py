"""What a check finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Args:
        where: a file, or a key in words.
        problem: what is wrong with it.
        remedy: what mending does about it.
        at: a byte in the file; None where it is no file.
        first: the records from this key of LevelDB's on are lost; None where that is not known.
        last: up to this one.
        keys: some of the keys of LevelDB's whose last changes are lost.
        harmless: the store does not suffer from it, or mends it by itself.
    """

    where: str
    problem: str
    remedy: str
    at: int | None = None
    first: bytes | None = None
    last: bytes | None = None
    keys: tuple[bytes, ...] = ()
    harmless: bool = False

"""What a check finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """
    :param where: a file, or a key in words
    :param problem: what is wrong with it
    :param remedy: what mending does about it
    :param at: a byte in the file; None where it is no file
    :param first: the records from this key of LevelDB's on are lost; None where that is not known
    :param last: up to this one
    :param keys: some of the keys of LevelDB's whose last changes are lost
    :param harmless: the store does not suffer from it, or mends it by itself
    """

    where: str
    problem: str
    remedy: str
    at: int | None = None
    first: bytes | None = None
    last: bytes | None = None
    keys: tuple[bytes, ...] = ()
    harmless: bool = False

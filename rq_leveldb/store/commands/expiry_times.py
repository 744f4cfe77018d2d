"""Parsing the times of SET, GETEX, EXPIRE and related commands."""

from __future__ import annotations

from rq_leveldb.store.arguments import MAX_INTEGER, integer
from rq_leveldb.store.replies import ReplyError

UNITS = {b'EX': (1000, True), b'PX': (1, True), b'EXAT': (1000, False), b'PXAT': (1, False)}
"""For each option: milliseconds per unit, and whether it counts from now."""


def invalid_expire_time(command: str) -> ReplyError:
    return ReplyError(f"ERR invalid expire time in '{command}' command")


def positive_time(argument: bytes, unit: int, relative: bool, now: int, command: str) -> int:
    """Read a time that must be positive, as SET's and GETEX's options are.

    Args:
        argument: what the client sent.
        unit: milliseconds per unit.
        relative: whether it counts from now; else from 1970.
        now: Unix time in ms.
        command: the command's name in lower case, for the error.

    Returns:
        Unix time in ms.
    """
    number = integer(argument)
    if number <= 0 or number > MAX_INTEGER // unit:
        raise invalid_expire_time(command)
    number *= unit
    if relative:
        if number > MAX_INTEGER - now:
            raise invalid_expire_time(command)
        number += now
    return number

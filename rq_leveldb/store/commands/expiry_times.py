"""Points in time as SET, GETEX, EXPIRE and their relatives read them."""

from __future__ import annotations

from rq_leveldb.store.arguments import MAX_INTEGER, Options, integer
from rq_leveldb.store.replies import ReplyError

UNITS = {b'EX': (1000, True), b'PX': (1, True), b'EXAT': (1000, False), b'PXAT': (1, False)}
"""For each option: milliseconds per unit, and whether it counts from now."""


class ExpiryOption:
    """Reads the time among a command's options, which may be given once, though its unit more than once."""

    __slots__ = ('_argument', '_unit')

    def __init__(self) -> None:
        self._unit = b''
        self._argument = b''

    def __bool__(self) -> bool:
        return bool(self._unit)

    def take(self, option: bytes, options: Options) -> bool:
        """Read a time if the option is one.

        Raises:
            ReplyError: Its value is missing.
        """
        if option not in UNITS or self._unit not in (b'', option):
            return False
        self._unit = option
        self._argument = options.value()
        return True

    def when(self, now: int, command: str) -> int:
        """Return the Unix time in ms, 0 if none was given.

        Args:
            now: Unix time in ms.
            command: its name in lower case, for errors.
        """
        return positive_time(self._argument, *UNITS[self._unit], now, command) if self._unit else 0


def invalid_expire_time(command: str) -> ReplyError:
    return ReplyError(f"ERR invalid expire time in '{command}' command")


def positive_time(argument: bytes, unit: int, relative: bool, now: int, command: str) -> int:
    """Read a time that must be positive, as SET's and GETEX's options are.

    :param unit: milliseconds per unit
    :param now: Unix time in ms
    :returns: Unix time in ms
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

"""The open connections: what each waits for and since when, and which to close when there are too many."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

__all__ = ['Crowd', 'Member', 'Wait']

_LOOK_EVERY = 0.25


class Wait(enum.Enum):
    """What a connection waits for."""

    IDLE = 'for a request'
    HEAD = 'for the rest of a head'
    BODY = 'for the rest of a body'
    OUTPUT = 'until the client has read earlier answers'
    END = 'until the client has read the last answer and hangs up'


class Member(Protocol):
    """What is kept of a connection.

    Args:
        network: the part of its address that identifies the client.
        wait: what it waits for; None while a thread serves it.
        since: since when, by the crowd's clock.
        held: bytes of a body that are kept for it.
    """

    network: str
    wait: Wait | None
    since: float
    held: int


_Member = TypeVar('_Member', bound=Member)


class Crowd(Generic[_Member]):
    """All connections.

    Args:
        limits: how long each may wait, seconds.
        most: most connections.
        most_per_network: most connections of one address.
        clock: seconds, growing.
    """

    def __init__(
        self,
        limits: Mapping[Wait, float],
        most: int,
        most_per_network: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = dict(limits)
        self._most = most
        self._most_per_network = most_per_network
        self._clock = clock
        self._next_look = 0.0
        self._size = 0
        self._networks: dict[str, dict[_Member, None]] = {}
        # In the order in which their time is up.
        self._waiting: dict[Wait, dict[_Member, None]] = {wait: {} for wait in Wait}
        self.held = 0

    def enter(self, member: _Member) -> _Member | None:
        """Take a connection in.

        Args:
            member: the connection, new.

        Returns:
            The one that has to leave, which may be the same: the oldest that waits of an address with too many, or, if
            there are too many in all, of the address with most. None if there is room, or all are being served.
        """
        mine = self._networks.setdefault(member.network, {})
        mine[member] = None
        self._size += 1
        self.wait(member, Wait.IDLE)
        if len(mine) > self._most_per_network:
            return _oldest_waiting(mine)
        return self.dispensable() if self._size >= self._most else None

    def dispensable(self) -> _Member | None:
        """Return the oldest waiting connection of the address that has most; None if all are being served."""
        for members in sorted(self._networks.values(), key=len, reverse=True):
            found = _oldest_waiting(members)
            if found is not None:
                return found
        return None

    def leave(self, member: _Member) -> None:
        """Let a connection go.

        Args:
            member: the connection.
        """
        self.wait(member, None)
        mine = self._networks[member.network]
        del mine[member]
        if not mine:
            del self._networks[member.network]
        self._size -= 1

    def wait(self, member: _Member, wait: Wait | None, held: int = 0) -> None:
        """Note what a connection waits for; the time of the same wait goes on.

        Args:
            member: the connection.
            wait: what for; None while a thread serves it.
            held: bytes of a body that are kept for it.
        """
        self.held += held - member.held
        member.held = held
        if member.wait is wait:
            return
        if member.wait is not None:
            del self._waiting[member.wait][member]
        member.wait = wait
        if wait is not None:
            member.since = self._clock()
            self._waiting[wait][member] = None

    def oldest(self, wait: Wait) -> _Member | None:
        """Return the connection that has waited longest for something.

        Args:
            wait: what for.
        """
        return next(iter(self._waiting[wait]), None)

    def shorten(self, wait: Wait, seconds: float) -> None:
        """Set a shorter limit, also for those that wait.

        Args:
            wait: for what.
            seconds: how long one may wait for it.
        """
        self._limits[wait] = min(self._limits[wait], seconds)

    def overdue(self) -> list[_Member]:
        """Return those whose time is up; cheap to call often."""
        now = self._clock()
        if now < self._next_look:
            return []
        self._next_look = now + _LOOK_EVERY
        found: list[_Member] = []
        for wait, members in self._waiting.items():
            begun = now - self._limits[wait]
            for member in members:
                if member.since > begun:
                    break
                found.append(member)
        return found


def _oldest_waiting(members: Mapping[_Member, None]) -> _Member | None:
    return next((member for member in members if member.wait is not None), None)

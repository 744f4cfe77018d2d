"""Who waits for which key, first come first served; pure: time-outs and sending are the server's.

A waiter stands in line at each of its keys. When a key changed, those in its line try in order; one that succeeds
leaves all its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rq_leveldb.store.replies import Reply

Place = tuple[int, bytes]
"""Number of the database, and key."""


@dataclass(eq=False, slots=True)
class Waiter:
    """One blocked command.

    Attributes:
        places: the keys waited for.
        attempt: tries the command again, told which key changed; None if it still has to wait.
        is_gone: whether nobody would receive the reply; asked before `attempt` takes anything.
        deliver: sends the reply and lets the client go on.
        timeout_reply: the reply when the time is over.
        cancel_timer: called when the waiter leaves.
    """

    places: tuple[Place, ...]
    attempt: Callable[[bytes], Reply]
    is_gone: Callable[[], bool]
    deliver: Callable[[Reply], None]
    timeout_reply: Reply
    cancel_timer: Callable[[], None] = lambda: None


class WaitingRoom:
    """All lines."""

    def __init__(self) -> None:
        # Dictionaries as ordered sets: leaving from the middle of a line is cheap.
        self.lines: dict[Place, dict[Waiter, None]] = {}

    def __len__(self) -> int:
        return len({waiter for line in self.lines.values() for waiter in line})

    def enter(self, waiter: Waiter) -> None:
        """Put a waiter at the end of the line of each of its keys."""
        for place in waiter.places:
            self.lines.setdefault(place, {})[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Take the waiter out of all its lines; nothing happens if it stands in none."""
        for place in waiter.places:
            line = self.lines.get(place)
            if line is not None:
                line.pop(waiter, None)
                if not line:
                    del self.lines[place]
        waiter.cancel_timer()

    def has_line(self, place: Place) -> bool:
        """Return whether anybody waits for the key."""
        return place in self.lines

    def line(self, place: Place) -> Iterator[Waiter]:
        """Return who waits now at `place`, longest first."""
        return iter(list(self.lines.get(place, ())))

    def places(self, db: int) -> list[Place]:
        """Return the keys of a database that somebody waits for."""
        return [place for place in self.lines if place[0] == db]

"""Queues of blocked commands for each key, first come first served; pure: the server does time-outs and sending.

A waiter is in the queue of each of its keys. When a key changes, its waiters try in order. One that succeeds leaves
all its queues.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.replies import Reply

Place = tuple[int, bytes]
"""Number of the database, and key."""


@dataclass(eq=False, slots=True)
class Waiter:
    """One blocked command.

    Attributes:
        places: the keys waited for.
        attempt: tries the command again, given the key that changed; returns None if it still has to wait.
        is_gone: whether nobody would receive the reply; called before `attempt` takes anything.
        deliver: sends the reply and unblocks the client.
        timeout_reply: the reply on time-out.
        cancel_timer: called when the waiter leaves.
    """

    places: tuple[Place, ...]
    attempt: Callable[[bytes], Reply]
    is_gone: Callable[[], bool]
    deliver: Callable[[Reply], None]
    timeout_reply: Reply
    cancel_timer: Callable[[], None] = lambda: None


class WaitingRoom:
    """All queues."""

    def __init__(self) -> None:
        # The longest-waiting comes first. Dictionaries as ordered sets: leaving from the middle of a queue is cheap.
        self.lines: dict[Place, dict[Waiter, None]] = {}

    def enter(self, waiter: Waiter) -> None:
        """Put a waiter at the end of each of its keys' queues."""
        for place in waiter.places:
            self.lines.setdefault(place, {})[waiter] = None

    def leave(self, waiter: Waiter) -> None:
        """Remove a waiter from all its queues, if it is in any."""
        for place in waiter.places:
            line = self.lines.get(place)
            if line is not None:
                line.pop(waiter, None)
                if not line:
                    del self.lines[place]
        waiter.cancel_timer()

    def places(self, db: int) -> list[Place]:
        """Return the keys of a database that clients wait for."""
        return [place for place in self.lines if place[0] == db]

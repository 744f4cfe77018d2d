"""WATCH: who wants to know that a key changed before its EXEC.

MULTI's queue is part of the client's state.
"""

from __future__ import annotations

from rq_leveldb.store.client_state import ClientState

Place = tuple[int, bytes]
"""Number of the database, and key."""


class Watches:
    """All WATCHes of all clients."""

    def __init__(self) -> None:
        # Read by the dispatcher after every change: there are none most of the time.
        # Most keys are watched by one client, and one may watch a million: a tuple is small.
        self.watchers: dict[Place, tuple[ClientState, ...]] = {}

    def watch(self, client: ClientState, place: Place, lived: bool) -> None:
        """Let a client learn that a key changed.

        Args:
            client: who watches.
            place: the database and the key.
            lived: whether the key was there; one that expires between WATCH and EXEC makes EXEC fail.
        """
        if place not in client.watched:
            client.watched[place] = lived
            self.watchers[place] = (*self.watchers.get(place, ()), client)

    def unwatch(self, client: ClientState) -> None:
        """Let a client watch nothing any more; what has changed is forgotten."""
        for place in client.watched:
            watchers = self.watchers[place]
            if len(watchers) == 1:
                del self.watchers[place]
            else:
                index = watchers.index(client)
                self.watchers[place] = watchers[:index] + watchers[index + 1 :]
        client.watched.clear()
        client.dirty = False

    def end_transaction(self, client: ClientState) -> None:
        """Nothing is queued or watched any more."""
        client.queue = None
        client.failed = False
        self.unwatch(client)

    def touch(self, place: Place) -> None:
        """A key changed."""
        for client in self.watchers.get(place, ()):
            client.dirty = True

    def places(self, db: int) -> list[Place]:
        """Return the watched keys of a database."""
        return [place for place in self.watchers if place[0] == db]

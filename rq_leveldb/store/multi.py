"""WATCH: which clients' EXEC depends on which keys.

The queue of MULTI is part of the client's state.
"""

from __future__ import annotations

from rq_leveldb.store.client_state import ClientState

Place = tuple[int, bytes]
"""Number of the database, and key."""


class Watches:
    """All WATCHes of all clients."""

    def __init__(self) -> None:
        # Read by the dispatcher after every change; usually empty.
        # Most keys have one watcher, and a client may watch a million keys: a tuple is small.
        self.watchers: dict[Place, tuple[ClientState, ...]] = {}

    def watch(self, client: ClientState, place: Place, lived: bool) -> None:
        """Watch a key for a client.

        Args:
            client: the watching client.
            place: the database and the key.
            lived: whether the key exists; if it expires between WATCH and EXEC, EXEC fails.
        """
        if place not in client.watched:
            client.watched[place] = lived
            self.watchers[place] = (*self.watchers.get(place, ()), client)

    def unwatch(self, client: ClientState) -> None:
        """End all WATCHes of a client and forget which keys changed."""
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
        """Drop a client's queue and its WATCHes."""
        client.queue = None
        client.failed = False
        self.unwatch(client)

    def touch(self, place: Place) -> None:
        """Mark the clients that watch a changed key."""
        for client in self.watchers.get(place, ()):
            client.dirty = True

    def places(self, db: int) -> list[Place]:
        """Return the watched keys of a database."""
        return [place for place in self.watchers if place[0] == db]

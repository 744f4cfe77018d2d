"""Pub/sub: which clients listen to which channels. Kept in memory: as in Redis, a message without listeners is lost.

No I/O: messages are passed to :attr:`ClientState.send`.
"""

from __future__ import annotations

from collections.abc import Callable

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import Push


class Channels:
    """Channels of one kind, each with its listeners.

    Args:
        own: returns the channels of this kind that a client listens to.
    """

    def __init__(self, own: Callable[[ClientState], set[bytes]]) -> None:
        self._own = own
        # In the order of subscription, in which messages are sent. Most channels have one listener, and a client may
        # have a million channels: a tuple needs a quarter of a dictionary's memory.
        self._listeners: dict[bytes, tuple[ClientState, ...]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, client: ClientState, channel: bytes) -> int:
        """Let a client listen to a channel; return to how many of this kind it listens now."""
        own = self._own(client)
        if channel not in own:
            self._listeners[channel] = (*self._listeners.get(channel, ()), client)
            own.add(channel)
            client.subscribed = True
        return len(own)

    def leave(self, client: ClientState, channel: bytes) -> int:
        """Let a client no longer listen to a channel; return to how many of this kind it still listens."""
        own = self._own(client)
        if channel in own:
            own.remove(channel)
            listeners = self._listeners[channel]
            if len(listeners) == 1:
                del self._listeners[channel]
            else:
                place = listeners.index(client)
                self._listeners[channel] = listeners[:place] + listeners[place + 1 :]
            client.note_subscriptions()
        return len(own)

    def leave_all(self, client: ClientState) -> None:
        """Let a client no longer listen to any channel of this kind."""
        for channel in list(self._own(client)):
            self.leave(client, channel)

    def send(self, channel: bytes, push: Push) -> int:
        """Send a message; return how many clients got it."""
        listeners = self._listeners.get(channel)
        if not listeners:
            return 0
        for client in listeners:
            client.send(push)
        return len(listeners)

    def names(self, pattern: bytes | None) -> list[bytes]:
        """Return the channels that have listeners, only those that match `pattern` if it is given."""
        if pattern is None:
            return list(self._listeners)
        glob = Glob(pattern)
        return [channel for channel in self._listeners if _matches(glob, pattern, channel)]

    def count(self, channel: bytes) -> int:
        """Return how many clients listen to a channel."""
        return len(self._listeners.get(channel, ()))


def _matches(glob: Glob, pattern: bytes, channel: bytes) -> bool:
    # Only for KEYS does a star also match the empty string.
    return bool((channel or not pattern) and glob.matches(channel))


class PubSub:
    """All subscriptions. A client's own are also in its state.

    Attributes:
        shards: sharded channels have their own namespace; on a single node they differ in nothing else.
    """

    def __init__(self) -> None:
        self.shards = Channels(lambda client: client.shard_channels)
        self._channels = Channels(lambda client: client.channels)
        self._patterns = Channels(lambda client: client.patterns)
        self._globs: dict[bytes, Glob] = {}  # of the patterns that clients listen to

    def subscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many channels and patterns the client listens to now."""
        self._channels.join(client, channel)
        return subscriptions(client)

    def unsubscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many channels and patterns the client still listens to."""
        self._channels.leave(client, channel)
        return subscriptions(client)

    def psubscribe(self, client: ClientState, pattern: bytes) -> int:
        """Return how many channels and patterns the client listens to now."""
        self._patterns.join(client, pattern)
        if pattern not in self._globs:
            self._globs[pattern] = Glob(pattern)
        return subscriptions(client)

    def punsubscribe(self, client: ClientState, pattern: bytes) -> int:
        """Return how many channels and patterns the client still listens to."""
        self._patterns.leave(client, pattern)
        if not self._patterns.count(pattern):
            self._globs.pop(pattern, None)
        return subscriptions(client)

    def leave(self, client: ClientState) -> None:
        """End all subscriptions of a client."""
        self._channels.leave_all(client)
        self.shards.leave_all(client)
        for pattern in list(client.patterns):
            self.punsubscribe(client, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Return how often the message was delivered: once for each subscription, even if a client has several."""
        count = self._channels.send(channel, Push([b'message', channel, message]))
        for pattern, glob in self._globs.items():
            if _matches(glob, pattern, channel):
                count += self._patterns.send(pattern, Push([b'pmessage', pattern, channel, message]))
        return count

    def channels(self, pattern: bytes | None = None) -> list[bytes]:
        """Return the channels that clients listen to by name, only those that match `pattern` if it is given."""
        return self._channels.names(pattern)

    def listener_count(self, channel: bytes) -> int:
        """Return how many clients listen to the channel by its name."""
        return self._channels.count(channel)

    def channel_count(self) -> int:
        """Return how many channels have subscribers."""
        return len(self._channels)

    def pattern_count(self) -> int:
        """Return how many different patterns clients listen to."""
        return len(self._patterns)


def subscriptions(client: ClientState) -> int:
    """Return how many channels and patterns the client listens to."""
    return len(client.channels) + len(client.patterns)

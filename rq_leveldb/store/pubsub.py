"""Pub/sub: which clients listen to which channels. Kept in memory: as in Redis, a message without listeners is lost.

No I/O: messages are passed to :attr:`ClientState.send`.
"""

from __future__ import annotations

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import Push


class _Channels:
    """Channels of one kind, each with its listeners."""

    def __init__(self) -> None:
        # In the order of subscription, in which messages are sent. Most channels have one listener, and a client may
        # have a million channels: a tuple needs a quarter of a dictionary's memory.
        self._listeners: dict[bytes, tuple[ClientState, ...]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, client: ClientState, channel: bytes) -> None:
        """Add a listener to a channel.

        Args:
            client: the listener.
            channel: one that the client does not listen to yet.
        """
        self._listeners[channel] = (*self._listeners.get(channel, ()), client)

    def leave(self, client: ClientState, channel: bytes) -> None:
        """Remove a listener from a channel.

        Args:
            client: the listener.
            channel: one that the client listens to.
        """
        listeners = self._listeners[channel]
        if len(listeners) == 1:
            del self._listeners[channel]
        else:
            place = listeners.index(client)
            self._listeners[channel] = listeners[:place] + listeners[place + 1 :]

    def send(self, channel: bytes, push: Push) -> int:
        listeners = self._listeners.get(channel)
        if not listeners:
            return 0
        for client in listeners:
            client.send(push)
        return len(listeners)

    def names(self, pattern: bytes | None) -> list[bytes]:
        if pattern is None:
            return list(self._listeners)
        glob = Glob(pattern)
        return [channel for channel in self._listeners if _matches(glob, pattern, channel)]

    def count(self, channel: bytes) -> int:
        return len(self._listeners.get(channel, ()))


def _matches(glob: Glob, pattern: bytes, channel: bytes) -> bool:
    # Only for KEYS does a star also match the empty string.
    return bool((channel or not pattern) and glob.matches(channel))


class PubSub:
    """All subscriptions. A client's own are also in its state.

    Sharded channels have their own namespace; on a single node they differ in nothing else.
    """

    def __init__(self) -> None:
        self._channels = _Channels()
        self._shard_channels = _Channels()
        self._patterns = _Channels()
        self._globs: dict[bytes, Glob] = {}  # of the patterns that clients listen to

    def subscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many channels and patterns the client listens to now."""
        if channel not in client.channels:
            self._channels.join(client, channel)
            client.channels.add(channel)
            client.subscribed = True
        return subscriptions(client)

    def unsubscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many channels and patterns the client still listens to."""
        if channel in client.channels:
            client.channels.remove(channel)
            self._channels.leave(client, channel)
            client.note_subscriptions()
        return subscriptions(client)

    def ssubscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many sharded channels the client listens to now."""
        if channel not in client.shard_channels:
            self._shard_channels.join(client, channel)
            client.shard_channels.add(channel)
            client.subscribed = True
        return len(client.shard_channels)

    def sunsubscribe(self, client: ClientState, channel: bytes) -> int:
        """Return how many sharded channels the client still listens to."""
        if channel in client.shard_channels:
            client.shard_channels.remove(channel)
            self._shard_channels.leave(client, channel)
            client.note_subscriptions()
        return len(client.shard_channels)

    def psubscribe(self, client: ClientState, pattern: bytes) -> int:
        """Return how many channels and patterns the client listens to now."""
        if pattern not in client.patterns:
            self._patterns.join(client, pattern)
            if pattern not in self._globs:
                self._globs[pattern] = Glob(pattern)
            client.patterns.add(pattern)
            client.subscribed = True
        return subscriptions(client)

    def punsubscribe(self, client: ClientState, pattern: bytes) -> int:
        """Return how many channels and patterns the client still listens to."""
        if pattern in client.patterns:
            client.patterns.remove(pattern)
            self._leave_pattern(client, pattern)
            client.note_subscriptions()
        return subscriptions(client)

    def _leave_pattern(self, client: ClientState, pattern: bytes) -> None:
        self._patterns.leave(client, pattern)
        if not self._patterns.count(pattern):
            del self._globs[pattern]

    def leave(self, client: ClientState) -> None:
        """End all subscriptions of a client."""
        for channel in client.channels:
            self._channels.leave(client, channel)
        for channel in client.shard_channels:
            self._shard_channels.leave(client, channel)
        for pattern in client.patterns:
            self._leave_pattern(client, pattern)
        client.forget_subscriptions()

    def publish(self, channel: bytes, message: bytes) -> int:
        """Return how often the message was delivered: once for each subscription, even if a client has several."""
        count = self._channels.send(channel, Push([b'message', channel, message]))
        for pattern, glob in self._globs.items():
            if _matches(glob, pattern, channel):
                count += self._patterns.send(pattern, Push([b'pmessage', pattern, channel, message]))
        return count

    def spublish(self, channel: bytes, message: bytes) -> int:
        """Return how many clients the message was delivered to."""
        return self._shard_channels.send(channel, Push([b'smessage', channel, message]))

    def channels(self, pattern: bytes | None = None) -> list[bytes]:
        """Return the channels that clients listen to by name, only those that match `pattern` if it is given."""
        return self._channels.names(pattern)

    def shard_channels(self, pattern: bytes | None = None) -> list[bytes]:
        """Return the sharded channels that clients listen to, only those that match `pattern` if it is given."""
        return self._shard_channels.names(pattern)

    def listener_count(self, channel: bytes) -> int:
        """Return how many clients listen to the channel by its name."""
        return self._channels.count(channel)

    def shard_listener_count(self, channel: bytes) -> int:
        """Return how many clients listen to the sharded channel."""
        return self._shard_channels.count(channel)

    def channel_count(self) -> int:
        """Return how many channels have subscribers."""
        return len(self._channels)

    def shard_channel_count(self) -> int:
        """Return how many shard channels have subscribers."""
        return len(self._shard_channels)

    def pattern_count(self) -> int:
        """Return how many different patterns clients listen to."""
        return len(self._patterns)


def subscriptions(client: ClientState) -> int:
    """Return how many channels and patterns the client listens to."""
    return len(client.channels) + len(client.patterns)

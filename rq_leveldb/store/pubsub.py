"""Who listens to which channel: all of it in memory, since a message that nobody hears is lost, as in Redis.

No I/O: a message is handed to :attr:`ClientState.send`.
"""

from __future__ import annotations

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import Push


class _Channels:
    """Channels of one kind, each with its listeners."""

    def __init__(self) -> None:
        # Dictionaries as ordered sets: messages go out in the order of subscription.
        self._listeners: dict[bytes, dict[int, ClientState]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, client: ClientState, channel: bytes) -> None:
        self._listeners.setdefault(channel, {})[client.number] = client

    def leave(self, client: ClientState, channel: bytes) -> None:
        listeners = self._listeners.get(channel)
        if listeners is not None:
            listeners.pop(client.number, None)
            if not listeners:
                del self._listeners[channel]

    def send(self, channel: bytes, push: Push) -> int:
        listeners = self._listeners.get(channel)
        if not listeners:
            return 0
        for client in listeners.values():
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
    # Only for KEYS does a star stand for the empty string, too.
    return bool((channel or not pattern) and glob.matches(channel))


class PubSub:
    """All subscriptions. A client's own are also in its state.

    Sharded channels are a name space of their own; on one node nothing else is special about them.
    """

    def __init__(self) -> None:
        self._channels = _Channels()
        self._shard_channels = _Channels()
        self._patterns: dict[bytes, tuple[Glob, dict[int, ClientState]]] = {}

    def subscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many channels and patterns the client listens to now"""
        self._channels.join(client, channel)
        client.channels.add(channel)
        client.note_subscriptions()
        return subscriptions(client)

    def unsubscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many channels and patterns the client still listens to"""
        client.channels.discard(channel)
        self._channels.leave(client, channel)
        client.note_subscriptions()
        return subscriptions(client)

    def ssubscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many sharded channels the client listens to now"""
        self._shard_channels.join(client, channel)
        client.shard_channels.add(channel)
        client.note_subscriptions()
        return len(client.shard_channels)

    def sunsubscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many sharded channels the client still listens to"""
        client.shard_channels.discard(channel)
        self._shard_channels.leave(client, channel)
        client.note_subscriptions()
        return len(client.shard_channels)

    def psubscribe(self, client: ClientState, pattern: bytes) -> int:
        """:returns: how many channels and patterns the client listens to now"""
        if pattern not in self._patterns:
            self._patterns[pattern] = (Glob(pattern), {})
        self._patterns[pattern][1][client.number] = client
        client.patterns.add(pattern)
        client.note_subscriptions()
        return subscriptions(client)

    def punsubscribe(self, client: ClientState, pattern: bytes) -> int:
        """:returns: how many channels and patterns the client still listens to"""
        client.patterns.discard(pattern)
        found = self._patterns.get(pattern)
        if found is not None:
            found[1].pop(client.number, None)
            if not found[1]:
                del self._patterns[pattern]
        client.note_subscriptions()
        return subscriptions(client)

    def leave(self, client: ClientState) -> None:
        """End all subscriptions of a client."""
        for channel in list(client.channels):
            self.unsubscribe(client, channel)
        for channel in list(client.shard_channels):
            self.sunsubscribe(client, channel)
        for pattern in list(client.patterns):
            self.punsubscribe(client, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """:returns: how often the message was delivered: once for each subscription, also if one client has several"""
        count = self._channels.send(channel, Push([b'message', channel, message]))
        for pattern, (glob, listeners) in self._patterns.items():
            if _matches(glob, pattern, channel):
                push = Push([b'pmessage', pattern, channel, message])
                for client in listeners.values():
                    client.send(push)
                count += len(listeners)
        return count

    def spublish(self, channel: bytes, message: bytes) -> int:
        """:returns: how many clients the message was delivered to"""
        return self._shard_channels.send(channel, Push([b'smessage', channel, message]))

    def channels(self, pattern: bytes | None = None) -> list[bytes]:
        """:returns: the channels that somebody listens to by name, those that match `pattern` if it is given"""
        return self._channels.names(pattern)

    def shard_channels(self, pattern: bytes | None = None) -> list[bytes]:
        """:returns: the sharded channels that somebody listens to, those that match `pattern` if it is given"""
        return self._shard_channels.names(pattern)

    def listener_count(self, channel: bytes) -> int:
        """:returns: how many clients listen to the channel by its name"""
        return self._channels.count(channel)

    def shard_listener_count(self, channel: bytes) -> int:
        """:returns: how many clients listen to the sharded channel"""
        return self._shard_channels.count(channel)

    def channel_count(self) -> int:
        return len(self._channels)

    def shard_channel_count(self) -> int:
        return len(self._shard_channels)

    def pattern_count(self) -> int:
        """:returns: how many different patterns clients listen to"""
        return len(self._patterns)


def subscriptions(client: ClientState) -> int:
    """:returns: how many channels and patterns the client listens to"""
    return len(client.channels) + len(client.patterns)

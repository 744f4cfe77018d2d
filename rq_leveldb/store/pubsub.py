"""Who listens to which channel: all of it in memory, since a message that nobody hears is lost, as in Redis.

No I/O: a message is handed to :attr:`ClientState.send`.
"""

from __future__ import annotations

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.glob import Glob
from rq_leveldb.store.replies import Push


class PubSub:
    """All subscriptions. A client's own are also in its state."""

    def __init__(self) -> None:
        # Dictionaries as ordered sets: messages go out in the order of subscription.
        self._channels: dict[bytes, dict[int, ClientState]] = {}
        self._patterns: dict[bytes, tuple[Glob, dict[int, ClientState]]] = {}

    def subscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many channels and patterns the client listens to now"""
        self._channels.setdefault(channel, {})[client.number] = client
        client.channels.add(channel)
        return subscriptions(client)

    def unsubscribe(self, client: ClientState, channel: bytes) -> int:
        """:returns: how many channels and patterns the client still listens to"""
        client.channels.discard(channel)
        listeners = self._channels.get(channel)
        if listeners is not None:
            listeners.pop(client.number, None)
            if not listeners:
                del self._channels[channel]
        return subscriptions(client)

    def psubscribe(self, client: ClientState, pattern: bytes) -> int:
        """:returns: how many channels and patterns the client listens to now"""
        if pattern not in self._patterns:
            self._patterns[pattern] = (Glob(pattern), {})
        self._patterns[pattern][1][client.number] = client
        client.patterns.add(pattern)
        return subscriptions(client)

    def punsubscribe(self, client: ClientState, pattern: bytes) -> int:
        """:returns: how many channels and patterns the client still listens to"""
        client.patterns.discard(pattern)
        found = self._patterns.get(pattern)
        if found is not None:
            found[1].pop(client.number, None)
            if not found[1]:
                del self._patterns[pattern]
        return subscriptions(client)

    def leave(self, client: ClientState) -> None:
        """End all subscriptions of a client."""
        for channel in list(client.channels):
            self.unsubscribe(client, channel)
        for pattern in list(client.patterns):
            self.punsubscribe(client, pattern)

    def publish(self, channel: bytes, message: bytes) -> int:
        """:returns: how often the message was delivered: once for each subscription, also if one client has several"""
        count = 0
        listeners = self._channels.get(channel)
        if listeners:
            push = Push([b'message', channel, message])
            for client in listeners.values():
                client.send(push)
            count = len(listeners)
        for pattern, (glob, pattern_listeners) in self._patterns.items():
            # Only for KEYS does a star stand for the empty string, too.
            if (channel or not pattern) and glob.matches(channel):
                push = Push([b'pmessage', pattern, channel, message])
                for client in pattern_listeners.values():
                    client.send(push)
                count += len(pattern_listeners)
        return count

    def channels(self, pattern: bytes | None = None) -> list[bytes]:
        """:returns: the channels that somebody listens to by name, those that match `pattern` if it is given"""
        if pattern is None:
            return list(self._channels)
        glob = Glob(pattern)
        return [channel for channel in self._channels if (channel or not pattern) and glob.matches(channel)]

    def listener_count(self, channel: bytes) -> int:
        """:returns: how many clients listen to the channel by its name"""
        return len(self._channels.get(channel, ()))

    def channel_count(self) -> int:
        return len(self._channels)

    def pattern_count(self) -> int:
        """:returns: how many different patterns clients listen to"""
        return len(self._patterns)


def subscriptions(client: ClientState) -> int:
    """:returns: how many channels and patterns the client listens to"""
    return len(client.channels) + len(client.patterns)

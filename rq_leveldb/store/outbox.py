"""What a client is owed when the open unit ends: its replies, and messages of subscriptions among them. No I/O."""

from __future__ import annotations


class Outbox:
    """The bytes for one client, in their order.

    Attributes:
        parts: encoded replies and messages; a reply is put behind them as it is.
    """

    __slots__ = ('_messages', '_uncounted', 'parts')

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._messages = 0  # among the parts
        self._uncounted = 0  # replies beyond one a part

    def put_replies(self, data: bytes, count: int) -> None:
        """Put so many replies behind the others, which were encoded as one."""
        self.parts.append(data)
        self._uncounted += count - 1

    def put_message(self, data: bytes) -> None:
        """Add a message that nobody asked for, such as one of a channel, as encoded bytes."""
        self.parts.append(data)
        self._messages += 1

    def take(self) -> bytes:
        """Return everything, and forget it."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b''.join(parts)
        parts.clear()
        self._messages = self._uncounted = 0
        return data

    def refuse(self, line: bytes) -> None:
        """Let every reply be this encoded error, and drop the messages."""
        replies = len(self.parts) + self._uncounted - self._messages
        self.parts[:] = [line] * replies
        self._messages = self._uncounted = 0

    def size(self) -> int:
        """Return the bytes that it holds."""
        return sum(map(len, self.parts))

"""The output for a client at the end of the open unit: replies and pub/sub messages. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Outbox:
    """The bytes for one client, in order.

    Attributes:
        parts: encoded replies and messages; callers append replies directly.
    """

    parts: list[bytes] = field(default_factory=list)
    _messages: int = 0  # among the parts
    _uncounted: int = 0  # replies beyond one a part

    def put_replies(self, data: bytes, count: int) -> None:
        """Append several replies that were encoded together."""
        self.parts.append(data)
        self._uncounted += count - 1

    def put_message(self, data: bytes) -> None:
        """Append an encoded unsolicited message, such as one from a channel."""
        self.parts.append(data)
        self._messages += 1

    def take(self) -> bytes:
        """Return and remove everything."""
        parts = self.parts
        data = parts[0] if len(parts) == 1 else b''.join(parts)
        parts.clear()
        self._messages = self._uncounted = 0
        return data

    def refuse(self, line: bytes) -> None:
        """Replace every reply by this encoded error, and drop the messages."""
        replies = len(self.parts) + self._uncounted - self._messages
        self.parts[:] = [line] * replies
        self._messages = self._uncounted = 0

    def size(self) -> int:
        """Return the number of bytes held."""
        return sum(map(len, self.parts))

"""Pauses between attempts at what does not get better at once."""

from __future__ import annotations

__all__ = ['Backoff']


class Backoff:
    """Pauses that grow from one attempt to the next.

    Args:
        first: seconds of the first pause.
        longest: seconds that none is longer than.
        factor: by how much each is longer than the one before.
    """

    def __init__(self, first: float, longest: float, factor: float = 2.0) -> None:
        self._first = self._next = first
        self._longest = longest
        self._factor = factor

    def next(self) -> float:
        """Return the seconds of the pause that is due."""
        pause = self._next
        self._next = min(pause * self._factor, self._longest)
        return pause

    def reset(self) -> None:
        """Start again with the first pause: an attempt succeeded."""
        self._next = self._first

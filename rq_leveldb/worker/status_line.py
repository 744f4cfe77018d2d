"""One line for a person who watches the worker on a terminal."""

from __future__ import annotations

import collections
import logging
import sys
import time
from typing import TextIO

from .site import Site

__all__ = ['ClearingHandler', 'StatusLine']

_CLEAR = '\r\x1b[K'
_MINUTE = 60.0


class StatusLine:
    """Shows how many jobs run, wait, and ended in the last minute.

    Args:
        stream: the terminal.
        interval: seconds between two looks.
    """

    def __init__(self, stream: TextIO | None = None, interval: float = 1.0) -> None:
        self._stream = stream or sys.stderr
        self.interval = interval
        self._ends: collections.deque[tuple[float, bool]] = collections.deque()

    def ended(self, finished: bool) -> None:
        """Count a job that ended.

        Args:
            finished: whether its process ended as it should.
        """
        self._ends.append((time.monotonic(), finished))

    def show(self, site: Site, running: int, limit: int) -> None:
        """Draw the line again."""
        queued = sum(queue.count for queue in site.queues)
        self._stream.write(_CLEAR + self.text(running, limit, queued))
        self._stream.flush()

    def text(self, running: int, limit: int, queued: int) -> str:
        """Return the line."""
        oldest = time.monotonic() - _MINUTE
        while self._ends and self._ends[0][0] < oldest:
            self._ends.popleft()
        lost = sum(1 for _, finished in self._ends if not finished)
        text = f'{running} of {limit} busy, {queued} queued, {len(self._ends)} ended in the last minute'
        return f'{text}, {lost} of them lost their process' if lost else text

    def move(self, stream: TextIO) -> None:
        """Go on at another stream: in a child whose standard error is not the terminal any more."""
        self._stream = stream

    def clear(self) -> None:
        """Make room for other output."""
        self._stream.write(_CLEAR)
        self._stream.flush()


class ClearingHandler(logging.Handler):
    """Clears the line before the log writes to the same terminal; must be the first of a logger's handlers."""

    def __init__(self, line: StatusLine) -> None:
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Clear the line; another handler writes the record."""
        self._line.clear()

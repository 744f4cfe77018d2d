"""A limit on how many requests may wait at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rq_leveldb.http.problems import TooManyWaiting

__all__ = ['Slots']


class Slots:
    """A limit on how many requests may wait at a time, so that threads are left for the others.

    Args:
        most: how many.
        what: what they wait for, for the error.
    """

    def __init__(self, most: int, what: str) -> None:
        self._semaphore = threading.BoundedSemaphore(most)
        self._most = most
        self._what = what

    def take(self) -> None:
        """Take a slot.

        Raises:
            TooManyWaiting: all are taken.
        """
        if not self._semaphore.acquire(blocking=False):
            raise TooManyWaiting(
                f'{self._most} {self._what} are open, which is the limit.', hint='Try again later, or raise the limit.'
            )

    def give_back(self) -> None:
        """Release the slot."""
        self._semaphore.release()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a slot.

        Raises:
            TooManyWaiting: all are taken.
        """
        self.take()
        try:
            yield
        finally:
            self.give_back()

"""While requests follow each other closely, the event loop looks for the next one instead of going to sleep.

A client that talks to the store waits for each reply, so both sides fall asleep and are woken twice a request. On a
virtual machine waking a core takes 25 to 70 us and finds its caches cold, which together is more than most commands
cost. (The kernel does the same for network devices and for virtual processors: SO_BUSY_POLL, KVM's halt polling.)

It takes processor time only where it helps: a run of quick arrivals starts it, the first pause ends it, and when
somebody else wants the core it is left to them.
"""

from __future__ import annotations

import asyncio
import os
import time

from rq_leveldb.process import usable_cores

PAUSE = 0.0005
"""Seconds after a request was answered for which the next one is looked for."""

RUN = 4
"""Requests, none later than PAUSE after the one before, that start it."""

DISTURBED = 0.0002
"""Seconds between two looks in a row that show that the core was taken by somebody else meanwhile."""

ABSTAIN = 0.01
"""Seconds without busy polling after that."""


class BusyPolling:
    """Keeps the event loop awake while that is worth it.

    Args:
        loop: what is kept from sleeping.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._run = 0
        self._last_answer = 0.0
        self._last_look = 0.0
        self._abstain_until = 0.0 if usable_cores() >= 2 else float('inf')
        self._looking = False

    def arrived(self, now: float) -> None:
        """A client's bytes arrived.

        Args:
            now: ``time.monotonic()``.
        """
        if now - self._last_answer > PAUSE:
            self._run = 0
            return
        self._run += 1
        if self._run >= RUN and not self._looking and now > self._abstain_until:
            self._looking = True
            self._last_look = now
            self._loop.call_soon(self._look)

    def answered(self) -> None:
        """What the bytes asked for was done."""
        self._last_answer = time.monotonic()

    def _look(self) -> None:
        now = time.monotonic()
        before, self._last_look = self._last_look, now
        if now - self._last_answer > PAUSE:
            self._looking = False
        elif now - before > DISTURBED and before > self._last_answer:
            self._looking = False
            self._abstain_until = now + ABSTAIN
        else:
            os.sched_yield()
            self._loop.call_soon(self._look)

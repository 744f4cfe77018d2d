"""Busy polling: while requests follow each other closely, the event loop polls for the next one instead of sleeping.

A client waits for each reply, so both sides sleep and are woken with every request. On a virtual machine, waking a core
takes 25 to 70 us and finds cold caches, which together costs more than most commands. (The kernel does the same for
network devices and virtual processors: SO_BUSY_POLL, KVM's halt polling.)

It uses CPU time only where it helps: a run of quick requests starts it, the first pause ends it, and it yields the core
when another process wants it.
"""

from __future__ import annotations

import asyncio
import os
import time

from rq_leveldb.process import usable_cores

PAUSE = 0.0005
"""Seconds after an answer during which the loop polls for the next request."""

RUN = 4
"""Number of requests, each within PAUSE of the previous one, that start it."""

DISTURBED = 0.0002
"""Seconds between two successive polls that show that another process took the core meanwhile."""

ABSTAIN = 0.01
"""Seconds without busy polling after that."""


class BusyPolling:
    """The busy polling of one event loop.

    Args:
        loop: the loop to keep awake while that is worthwhile.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._run = 0
        self._last_answer = 0.0
        self._last_look = 0.0
        self._abstain_until = 0.0 if usable_cores() >= 2 else float('inf')
        self._looking = False

    def arrived(self, now: float) -> None:
        """Note that a client's bytes have arrived.

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
        """Note that the commands in these bytes have been executed."""
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

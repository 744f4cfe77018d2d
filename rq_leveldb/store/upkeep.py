"""Background work between commands: removing expired keys, and records that no longer have an owner."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.sweeper import Sweeper
from rq_leveldb.store.units import Units

SLICE = 500
"""Records removed before clients get their turn."""

_RETRY = 1.0
"""Seconds until the next attempt while the database takes no writes."""


@dataclass(eq=False)
class Upkeep:
    """The timers for expiry and for the sweeper.

    Args:
        loop: runs the timers.
        keyspace: the data.
        sweeper: removes expired keys and records without an owner.
        dispatcher: notifies clients that watch or wait for an expired key.
        units: commits each slice as a unit.
        is_stopping: whether the database is about to be closed.
    """

    _loop: asyncio.AbstractEventLoop
    _keyspace: Keyspace
    _sweeper: Sweeper
    _dispatcher: Dispatcher
    _units: Units
    _is_stopping: Callable[[], bool]
    _removes_expired = True
    _timer: asyncio.TimerHandle | None = None
    _due = 0  # the due time that the timer was set for
    _sweeping = True  # the first sweep runs at startup

    def __post_init__(self) -> None:
        self._units.on_write = self._look
        self._units.on_rollback = self._begin_anew

    def start(self) -> None:
        """Start with what an earlier run left over."""
        self.schedule()
        self._loop.call_soon(self.sweep)

    def remove_expired(self, wanted: bool) -> None:
        """Set whether expired keys are removed even if no command accesses them."""
        self._removes_expired = wanted
        self.schedule()

    def _look(self) -> None:
        if self._keyspace.next_due != self._due:
            self.schedule()
        if self._keyspace.overlay.abandoned and not self._sweeping:
            self._sweep_soon()

    def schedule(self) -> None:
        """Set the timer for the next key that expires."""
        self._cancel()
        self._due = self._keyspace.next_due
        if self._due:
            delay = max(self._due / 1000 - time.time(), 0.0)
            # A timer's delay is limited, and the wall clock may be changed meanwhile.
            self._timer = self._loop.call_later(min(delay + 0.001, 60.0), self.expire)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _retry(self) -> None:
        self._cancel()
        self._timer = self._loop.call_later(_RETRY, self.expire)

    def expire(self) -> None:
        """Remove a slice of the expired keys."""
        self._timer = None
        if self._is_stopping() or self._dispatcher.pause is not None or not self._removes_expired:
            return  # whatever ends this state schedules again
        self._due = -1
        if self._units.refusals.reason:
            self._retry()
            return
        self._keyspace.tick()
        try:
            self._sweeper.take_due(SLICE)
            if self._keyspace.touched:
                self._dispatcher.notify()
        except Exception as fault:
            self._units.undo(fault, 'expiry')
            self._retry()
            return
        self._units.commit()
        self._look()

    def _begin_anew(self) -> None:
        # The state known here may have been rolled back.
        self.schedule()
        self._sweep_soon()

    def _sweep_soon(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._loop.call_later(0.05, self.sweep)

    def sweep(self) -> None:
        """Remove a slice of the records without an owner."""
        if self._is_stopping():
            return  # the next start continues
        if self._units.refusals.reason:
            self._loop.call_later(_RETRY, self.sweep)
            return
        try:
            self._sweeper.sweep(SLICE)
        except Exception as fault:
            # Whatever the fault, only disk space is not freed; the next start tries again.
            self._units.undo(fault, 'the sweeper')
            self._sweeping = False
            return
        self._units.commit()
        if self._sweeper.has_work():
            self._loop.call_later(0.005, self.sweep)
        else:
            self._sweeping = False

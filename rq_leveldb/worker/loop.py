"""One thread's event loop: descriptors, timers and signals; nothing in it knows about jobs."""

from __future__ import annotations

import collections
import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from .green import original

__all__ = ['Loop', 'Timer']


class Timer:
    """A call at a later time.

    Args:
        due: when, in seconds of the monotonic clock.
        interval: seconds until the next call; None for a single one.
        callback: what to call.
    """

    def __init__(self, due: float, interval: float | None, callback: Callable[[], None]) -> None:
        self.due = due
        self.interval = interval
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        """Make sure that the call does not happen."""
        self.cancelled = True


class Loop:
    """Waits for descriptors, timers and signals, and calls back from one place only.

    Args:
        on_error: called with whatever a callback raised, of any kind; the loop goes on. None to let it out.
    """

    def __init__(self, on_error: Callable[[BaseException], None] | None = None) -> None:
        self._on_error = on_error
        self._selector: selectors.BaseSelector = original('selectors', 'DefaultSelector')()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._signals: collections.deque[int] = collections.deque()
        self._soon: collections.deque[Callable[[], None]] = collections.deque()
        self._on_signal: dict[int, Callable[[int], None]] = {}
        self._previous_handlers: dict[int, Any] = {}
        self._previous_wakeup = -1
        self._wakeup_read = self._wakeup_write = -1

    def watch(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call back whenever the descriptor is readable or closed at its other end."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def unwatch(self, descriptor: int) -> None:
        """Stop watching a descriptor; must be called before it is closed."""
        self._selector.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once."""
        return self._add(Timer(time.monotonic() + seconds, None, callback))

    def soon(self, callback: Callable[[], None]) -> None:
        """Call back once, when everything is handled that has happened by now."""
        self._soon.append(callback)

    def every(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back again and again, the first time after one interval."""
        return self._add(Timer(time.monotonic() + seconds, seconds, callback))

    def _add(self, timer: Timer) -> Timer:
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def catch(self, number: int, callback: Callable[[int], None]) -> None:
        """Queue a signal for the loop: the handler itself does nothing else, so it can interrupt anything."""
        if self._wakeup_read < 0:
            self._wakeup_read, self._wakeup_write = os.pipe()
            os.set_blocking(self._wakeup_read, False)
            os.set_blocking(self._wakeup_write, False)
            self._previous_wakeup = signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
            self.watch(self._wakeup_read, self._drain_wakeups)
        self._on_signal[number] = callback
        self._previous_handlers.setdefault(number, signal.signal(number, self._queue_signal))

    def _queue_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wakeup_read, 512):
                pass
        except BlockingIOError:
            pass

    def run_once(self, longest: float | None = None) -> None:
        """Wait for the next events and handle them.

        Args:
            longest: seconds to wait at most; None to wait for as long as the timers allow.
        """
        for key, _ in self._selector.select(self._timeout(longest)):
            # An earlier callback of this round may have closed it.
            if self._is_watched(key):
                self.call(key.data)
        while self._soon:
            self.call(self._soon.popleft())
        while self._signals:
            number = self._signals.popleft()
            self.call(lambda number=number: self._on_signal[number](number))  # type: ignore[misc]
        self._run_timers()

    def call(self, callback: Callable[[], None]) -> None:
        """Call back now; what it raises goes where the errors of events go."""
        if self._on_error is None:
            callback()
            return
        try:
            callback()
        except BaseException as error:
            self._on_error(error)

    def _is_watched(self, key: selectors.SelectorKey) -> bool:
        try:
            return self._selector.get_key(key.fd) is key
        except KeyError:
            return False

    def _timeout(self, longest: float | None) -> float | None:
        if self._signals or self._soon:
            return 0.0
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest
        wait = max(0.0, self._timers[0][0] - time.monotonic())
        return wait if longest is None else min(wait, longest)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            timer = heapq.heappop(self._timers)[2]
            if timer.cancelled:
                continue
            if timer.interval is not None:
                # Counted from now, so that a machine that slept does not make up for every missed call.
                timer.due = now + timer.interval
                self._add(timer)
            self.call(timer.callback)

    def abandon(self) -> None:
        """Close the loop's own descriptors in a forked child; the parent's loop keeps running."""
        self._selector.close()
        for descriptor in (self._wakeup_read, self._wakeup_write):
            if descriptor >= 0:
                os.close(descriptor)

    def close(self) -> None:
        """Give back the signals and close the loop's own descriptors."""
        if self._wakeup_read >= 0:
            signal.set_wakeup_fd(self._previous_wakeup)
            for number, handler in self._previous_handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self.unwatch(self._wakeup_read)
            os.close(self._wakeup_read)
            os.close(self._wakeup_write)
            self._wakeup_read = self._wakeup_write = -1
        self._selector.close()

"""The end of a worker: who asks for it, how long running jobs get, and how the rest of them is ended."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable

from redis.exceptions import RedisError
from rq.exceptions import StopRequested

from .loop import Loop
from .nursery import Nursery
from .performing import PerformingWorker
from .settling import Settling

__all__ = ['Stopping']

# Seconds after which a forker is killed that does not report the end of killed children.
_SILENCE = 2.0
# Seconds that callbacks get for the ends of jobs when everything has to stop at once.
_LAST_WORDS = 10.0


class Stopping:
    """Stops one worker.

    Args:
        worker: whose methods are called when somebody asks it to stop.
        loop: where the ends of jobs are waited for.
        nursery: where the jobs run.
        settling: where their ends are written down.
        close: called when no more jobs are to be taken.
        leave: called with what is to end the loop.
    """

    def __init__(
        self,
        worker: PerformingWorker,
        loop: Loop,
        nursery: Nursery,
        settling: Settling,
        close: Callable[[], None],
        leave: Callable[[BaseException], None],
    ) -> None:
        self._worker = worker
        self._site = worker.site
        self._loop = loop
        self._nursery = nursery
        self._settling = settling
        self._close = close
        self._leave = leave
        self._at_once = False
        self._kill_at = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether no more jobs are to be taken."""
        return self._at_once or bool(self._worker._stop_requested)

    @property
    def seconds_left(self) -> float:
        """For how long what the jobs started may still take to end; 0 or less if nothing was asked to end."""
        return self._kill_at - time.monotonic()

    def on_signal(self, number: int) -> None:
        """Handle SIGINT or SIGTERM: the first one takes no more jobs, the second one ends the running ones."""
        worker = self._worker
        grace = self._site.settings.grace
        self._settling.hear()
        try:
            if worker._shutdown_requested_date is None:
                if grace is not None:
                    self._loop.after(grace, self._grace_is_over)
                worker.request_stop(number, None)
                self._close()
            else:
                worker.request_force_stop(number, None)
        except (StopRequested, SystemExit) as error:
            self._leave(error)

    def _grace_is_over(self) -> None:
        self._site.log.warning(
            'the grace period of %g seconds is over, stopping %d job(s)',
            self._site.settings.grace,
            len(self._nursery.running),
        )
        self.end_children('its worker was stopped and the time for it was over')

    def begin(self) -> None:
        """Take no more jobs; that the forker ends is no surprise from now on."""
        self._at_once = True
        self._nursery.expect_the_end()
        self._close()

    def end_children(self, reason: str) -> None:
        """End all running jobs, and settle them; returns when the processes are gone.

        Args:
            reason: what happened to the jobs, in words.
        """
        self._settling.hear()
        self.begin()
        for child in self._nursery.running:
            child.stop_reason = child.stop_reason or reason
            child.kill(signal.SIGTERM)
        # Programs that the jobs started get as long to end as the jobs.
        patience = self._site.settings.kill_after
        self._kill_at = time.monotonic() + patience
        kill = self._loop.after(patience, self._kill_running)
        while self._nursery.running:
            self._loop.run_once(1.0)
        kill.cancel()
        self._let_settle()

    def _kill_running(self) -> None:
        for child in self._nursery.running:
            child.kill(signal.SIGKILL)
        # A forker that was stopped (SIGSTOP) does not report that they have ended.
        self._loop.after(_SILENCE, self._kill_silent_forker)

    def _kill_silent_forker(self) -> None:
        if self._nursery.running:
            self._nursery.kill_forkers()

    def _let_settle(self) -> None:
        """Wait for the children that handle the ends of jobs, for a while."""
        end = time.monotonic() + _LAST_WORDS
        while self._settling.wants_children or self._nursery.busy:
            if time.monotonic() > end:
                break
            self._settling.hand_out()
            self._loop.run_once(0.1)
        self._settling.hear()
        with contextlib.suppress(RedisError):
            self._settling.give_up_on_children()
            self._settling.attempt()

"""What each of the worker's processes does with the signals that it may get, in one table.

=========  =========================================  ===============================  ==========================
signal     supervisor                                 forker                           child
=========  =========================================  ===============================  ==========================
SIGINT     the first one: take no more jobs, wait     ignored: a terminal sends it     ignored, as by RQ's
           for the running ones; the second one:      to the supervisor as well
           stop them (`Stopping.on_signal`)
SIGTERM    the same                                   passed on to the supervisor:     ends it
                                                      a job that wants its worker to
                                                      stop sends it to its parent
SIGCHLD    where there is no pidfd: look which        wakes it up, to reap             as the system does
           services have ended (`Services.reap`)
=========  =========================================  ===============================  ==========================

SIGINT and SIGTERM end the process that reads cron definitions.

Handlers of Python run between two instructions of whatever is being done. So none of them does anything but queue the
signal for the loop, wake up a poll, or pass the signal on.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import os
import signal
from collections.abc import Callable

from .green import original
from .loop import Loop

__all__ = ['catch_in_supervisor', 'handle_in_forker', 'reset_in_child', 'restore_in_cron_reader']

_HAS_PIDFD = hasattr(os, 'pidfd_open')


def catch_in_supervisor(loop: Loop, stop: Callable[[int], None], reap: Callable[[], None]) -> None:
    """Have the loop call back when a signal came.

    Args:
        loop: of the supervisor.
        stop: called with the number of SIGINT or SIGTERM.
        reap: called when a child has ended that is watched by nothing else.
    """
    # The worker's parent may have blocked them, and a signal mask survives fork and exec.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))
    handlers: dict[signal.Signals, Callable[[int], None]] = {signal.SIGINT: stop, signal.SIGTERM: stop}
    if not _HAS_PIDFD:
        handlers[signal.SIGCHLD] = lambda number: reap()
    for number, handler in handlers.items():
        loop.catch(number, handler)


def handle_in_forker(supervisor: int, wakeup: int) -> None:
    """Set the forker's handlers.

    Args:
        supervisor: the process id of its parent.
        wakeup: descriptor to which a byte is written whenever a signal came.
    """

    def wake_up(number: int, frame: object) -> None:
        """Do nothing: that there is a handler wakes the poll."""

    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):
            os.kill(supervisor, number)

    handle = original('signal', 'signal')
    for number, handler in {
        signal.SIGCHLD: wake_up,
        signal.SIGINT: signal.SIG_IGN,
        signal.SIGTERM: pass_on,
    }.items():
        handle(number, handler)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)


def reset_in_child() -> None:
    """Handle signals as a process of RQ's that runs a job.

    By the C functions: `signal.signal` looks every number up in an enumeration, and a forked child copies 60 pages
    for that.
    """
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def restore_in_cron_reader() -> None:
    """Have SIGINT and SIGTERM end the process."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # ValueError: this is not the main thread.
        with contextlib.suppress(ValueError):
            signal.signal(number, signal.SIG_DFL)

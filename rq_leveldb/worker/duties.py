"""What a worker does once in a while: a duty that fails waits longer each time and disturbs no other."""

from __future__ import annotations

import time
from collections.abc import Callable

from .backoff import Backoff
from .trouble import is_about_the_store
from .worker_log import WorkerLog

__all__ = ['Duties']

_LONGEST_PAUSE = 60.0
# A duty runs at least this often, however long it takes: somebody may be waiting for it.
_LONGEST_INTERVAL = 3.0


class _Duty:
    def __init__(self, name: str, seconds: float, work: Callable[[], None], share: float) -> None:
        self.name = name
        self.seconds = seconds
        self.work = work
        self.share = share
        self.due = time.monotonic() + seconds
        self.backoff = Backoff(max(1.0, seconds), _LONGEST_PAUSE)
        self.said = ''


class Duties:
    """Things to be done again and again, as often as each one says.

    Args:
        log: where failures are told, each once until it changes.
    """

    def __init__(self, log: WorkerLog) -> None:
        self._log = log
        self._duties: list[_Duty] = []

    def add(self, name: str, seconds: float, work: Callable[[], None], share: float = 1.0) -> None:
        """Add a duty.

        Args:
            name: what it does, for the log.
            seconds: between two times.
            work: does it.
            share: of the time that it may take up; with many queues it is done less often, but every three seconds.
        """
        self._duties.append(_Duty(name, seconds, work, share))

    def run(self) -> None:
        """Do what is due.

        Raises:
            RedisError: the store is away or takes no writes; what was not done is done at the next call.
        """
        for duty in self._duties:
            clock = time.monotonic()
            if clock < duty.due:
                continue
            try:
                duty.work()
            except BaseException as error:
                if is_about_the_store(error):
                    raise
                self._failed(duty, error)
            else:
                took = time.monotonic() - clock
                duty.due = clock + max(duty.seconds, min(took / duty.share, _LONGEST_INTERVAL))
                duty.said = ''
                duty.backoff.reset()

    def _failed(self, duty: _Duty, error: BaseException) -> None:
        pause = duty.backoff.next()
        duty.due = time.monotonic() + pause
        text = f'{type(error).__name__}: {error}'
        if text == duty.said:
            return
        duty.said = text
        self._log.error('%s failed and is tried again later: %s', duty.name, text, exc_info=error)

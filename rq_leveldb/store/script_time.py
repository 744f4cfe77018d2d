"""How long a script may run, and what others may do meanwhile.

Nobody else is served while a script runs. As in Redis that changes after ``busy-reply-threshold``: from then on the
store looks at intervals what other clients want, answers BUSY, and lets them end a script that has written nothing.
Scripts also end by themselves, since there may be nobody to end them: one that has written nothing soon, one that
writes late (RQ's ``Queue.empty()`` is one script whatever the queue's length), and then it is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.replies import ReplyError

BUSY = 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'
_KILLED = 'ERR Script killed by user with SCRIPT KILL...'
_USUAL_THRESHOLD = 5000
"""Milliseconds of ``busy-reply-threshold`` for which the limits below are meant; they grow with it."""


class ScriptAborted(ReplyError):
    """A script met a limit. Nothing that it did may stay."""


@dataclass(frozen=True)
class TimeLimits:
    """Seconds after which a script is ended.

    Attributes:
        reading: one that has called no command that writes.
        writing: any other.
    """

    reading: float = 5.0
    writing: float = 300.0


class ScriptTime:
    """The time of the script that runs, if one does.

    Args:
        settings: where ``busy-reply-threshold`` is.
        attend: looks what other clients want.
        over: called when a script is over during which `attend` was called.

    Attributes:
        wrote: whether the script has called a command that writes; set by whoever calls it.
    """

    def __init__(
        self,
        settings: StoreSettings,
        attend: Callable[[], None],
        over: Callable[[], None],
        limits: TimeLimits | None = None,
    ) -> None:
        self._settings = settings
        self._attend = attend
        self._over = over
        self._limits = limits or TimeLimits()
        self._running = False
        self._busy = False
        self._ending: ReplyError | None = None
        self.wrote = False

    def begin(self) -> None:
        """A script starts."""
        self._running = True
        self._ending = None
        self.wrote = False

    def end(self) -> None:
        """The script is over, whatever its end."""
        self._running = False
        if self._busy:
            self._busy = False
            self._over()

    def look(self, seconds: float) -> ReplyError | None:
        """Say whether the script may go on.

        Args:
            seconds: how long it has run.

        Returns:
            None if it may; else the error that it ends with, :class:`ScriptAborted` if it has to be undone.
        """
        threshold = self._settings.busy_reply_threshold
        if threshold <= 0 or seconds * 1000 < threshold:
            return None
        self._busy = True
        self._attend()
        if self._ending is not None:
            return self._ending
        limit = self._limits.writing if self.wrote else self._limits.reading
        limit *= max(threshold / _USUAL_THRESHOLD, 1)
        if seconds < limit:
            return None
        words = f'it ran for more than {limit:g} seconds' + ('' if self.wrote else ' without writing anything')
        return ScriptAborted(
            f'ERR Script killed: {words}. Nothing that it wrote was kept. CONFIG SET busy-reply-threshold allows more'
        )

    def kill(self) -> None:
        """What SCRIPT KILL does.

        Raises:
            ReplyError: in Redis's words, where no script runs or this one has written.
        """
        if not self._running:
            raise ReplyError('NOTBUSY No scripts in execution right now.')
        if self.wrote:
            raise ReplyError(
                'UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait '
                'the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.'
            )
        self._ending = ReplyError(_KILLED)

    def stop(self) -> None:
        """The store stops: a script that runs is undone."""
        self._ending = ScriptAborted('ERR Script killed: the store stops. Nothing that it wrote was kept')

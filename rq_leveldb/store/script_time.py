"""Time limits of scripts, and what other clients may do while one runs.

No other client is served while a script runs. As in Redis, that changes after ``busy-reply-threshold``: the store then
polls other clients, answers BUSY, and lets them kill a script that has written nothing. Since there may be nobody to do
so, the store also ends scripts itself: early if they have written nothing, late otherwise (RQ's ``Queue.empty()`` is
one script whatever the queue's length), and then they are undone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.replies import ReplyError

BUSY = 'BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.'
_KILLED = 'ERR Script killed by user with SCRIPT KILL...'
_USUAL_THRESHOLD = 5000
"""The ``busy-reply-threshold`` in milliseconds to which the limits below apply; they grow with it."""


class ScriptAborted(ReplyError):
    """A script hit a limit. Nothing that it did may be kept."""


@dataclass(frozen=True)
class TimeLimits:
    """Seconds after which a script is ended.

    Attributes:
        reading: for a script that has called no write command.
        writing: for any other script.
    """

    reading: float = 5.0
    writing: float = 300.0


@dataclass(eq=False)
class ScriptTime:
    """The time limit of the running script, if any.

    Args:
        settings: hold ``busy-reply-threshold``.
        attend: answers other clients.
        over: called at the end of a script during which `attend` was called.

    Attributes:
        wrote: whether the script has called a write command; set by the caller of the command.
    """

    _settings: StoreSettings
    _attend: Callable[[], None]
    _over: Callable[[], None]
    _limits: TimeLimits = field(default_factory=TimeLimits)
    _running = False
    _busy = False
    _ending: ReplyError | None = None
    wrote = False

    def begin(self) -> None:
        """Start the time of a script."""
        self._running = True
        self._ending = None
        self.wrote = False

    def end(self) -> None:
        """End the time of the script, however it ended."""
        self._running = False
        if self._busy:
            self._busy = False
            self._over()

    def look(self, seconds: float) -> ReplyError | None:
        """Check whether the script may continue.

        Args:
            seconds: how long it has run.

        Returns:
            None if it may; else the error that ends it, :class:`ScriptAborted` if it has to be undone.
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
        """Kill the running script, as SCRIPT KILL does.

        Raises:
            ReplyError: in Redis's words, if no script runs or the script has written.
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
        """Have the running script undone, because the store stops."""
        self._ending = ScriptAborted('ERR Script killed: the store stops. Nothing that it wrote was kept')

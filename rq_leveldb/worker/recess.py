"""Pauses after trouble: what went wrong is said once, and nothing is taken until it has had time to pass."""

from __future__ import annotations

from collections.abc import Callable

from redis.exceptions import ResponseError

from rq_leveldb.client.explanation import explain

from .backoff import Backoff
from .loop import Loop, Timer
from .site import Site
from .trouble import is_lost, refuses

__all__ = ['Recess']

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
# A store that refuses writes can be asked often: its disk may have room again at any moment.
_LONGEST_REFUSAL = 2.0


class Recess:
    """The times in which one worker takes no jobs, since something is wrong.

    Args:
        site: in whose log it is said, and by what factor the pauses grow.
        loop: where the end of a pause is waited for.
        unsure: called when it is not known whether the last command was carried out.
        store_gone: called when the store is away or refuses, so that nothing waits for it.
        resume: called when a pause is over; raises if what was wrong still is.
    """

    def __init__(
        self,
        site: Site,
        loop: Loop,
        unsure: Callable[[], None],
        store_gone: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        self._site = site
        self._loop = loop
        self._unsure = unsure
        self._store_gone = store_gone
        self._resume = resume
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, site.exponential_backoff_factor)
        self._timer: Timer | None = None
        self._said = ''

    @property
    def is_on(self) -> bool:
        """Whether nothing is to be taken now."""
        return self._timer is not None

    def bear(self, error: BaseException) -> None:
        """Survive an unhandled error: log it once, take nothing for a while, and continue."""
        if is_lost(error):
            self.store_lost(error)
            return
        self._unsure()
        if self.is_on:
            return
        site = self._site
        said = f'{type(error).__name__}: {error}'
        if refuses(error):
            self._store_gone()
            if said != self._said:
                site.log.error(
                    '%s; running jobs continue, and results are written later',
                    _in_words(error, f'the store takes no writes: {error}'),
                )
        elif said != self._said:
            # A reply of the store says what is wrong; a traceback would add nothing.
            trace = None if isinstance(error, ResponseError) else error
            site.log.error('%s; continuing after a pause', _in_words(error, said), exc_info=trace)
        self._said = said
        self.take(min(self._backoff.next(), _LONGEST_REFUSAL if refuses(error) else _LONGEST_PAUSE))

    def store_lost(self, error: BaseException) -> None:
        """Try again after a while, since the store is away. A call that took a job may have been carried out."""
        self._unsure()
        self._store_gone()
        if self.is_on:
            return
        pause = self._backoff.next()
        self._site.log.error(
            'could not connect to Redis instance: %s retrying in %.1f seconds...', _in_words(error), pause
        )
        self.take(pause)

    def take(self, seconds: float) -> None:
        """Take no jobs for so many seconds, or until the end of the pause that there is already."""
        if self._timer is None:
            self._timer = self._loop.after(seconds, self._is_over)

    def _is_over(self) -> None:
        self._timer = None
        self._resume()
        if self._said:
            self._site.log.info('continuing')
            self._said = ''
        self._backoff.reset()


def _in_words(error: BaseException, otherwise: str = '') -> str:
    """Return what an error means if the server is to blame, else the other text or its own."""
    explanation = explain(error) if isinstance(error, Exception) else None
    return explanation.what if explanation is not None else otherwise or str(error)

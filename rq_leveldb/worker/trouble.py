"""What an error that comes from the store means to a worker: the store is away, refuses for now, or neither."""

from __future__ import annotations

from collections.abc import Callable

from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as StoreTimeout

from .site import Site

__all__ = ['LOST', 'NotWritten', 'guarded', 'is_about_the_store', 'is_lost', 'refuses']

LOST = (LostConnection, StoreTimeout)

# Redis' error codes for a server that takes no commands for now, whatever the command.
_CODES = ('MISCONF', 'OOM', 'READONLY', 'BUSY', 'NOREPLICAS', 'MASTERDOWN', 'CLUSTERDOWN', 'TRYAGAIN', 'EXECABORT')


class NotWritten(LostConnection):
    """RQ could not carry out its transaction, and said why in the log only; the store may have been away."""


def is_lost(error: BaseException) -> bool:
    """Say whether the store could not be reached; what was sent may have been carried out."""
    return isinstance(error, LOST)


def refuses(error: BaseException) -> bool:
    """Say whether the store takes no writes for now: a full disk, a replica, a script that blocks it."""
    if isinstance(error, ReadOnlyError | OutOfMemoryError):
        return True
    if not isinstance(error, ResponseError):
        return False
    # In a pipeline redis-py puts its own text before the error code, and it removes some codes.
    text = str(error)
    return any(text.startswith(f'{code} ') or f': {code} ' in text for code in _CODES) or 'because of previous' in text


def is_about_the_store(error: BaseException) -> bool:
    """Say whether the store is to blame, so that it is right to try again later."""
    return is_lost(error) or refuses(error)


def guarded(site: Site, what: str, step: Callable[[], object]) -> None:
    """Do one step of many; if it fails that is logged, and the next one is done.

    Args:
        site: in whose log.
        what: what the step does, to stand before "failed".
        step: does it.

    Raises:
        RedisError: the store is away, or takes no writes.
    """
    try:
        step()
    except Exception as error:
        if is_about_the_store(error):
            raise
        # A reply of the store says what is wrong; a traceback would add nothing.
        trace = not isinstance(error, ResponseError)
        site.log.error('%s failed: %s', what, error, exc_info=trace)

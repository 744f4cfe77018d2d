"""The retry rule: a command is sent again only if no byte of it was handed to the operating system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from rq_leveldb.errors import StoreError

__all__ = ['Progress', 'StoreUnavailable', 'UnsentRetry', 'unavailable']

T = TypeVar('T')


class StoreUnavailable(StoreError, RedisConnectionError):
    """There is no store and none can be started; the error that says why is its `__cause__`.

    It is a redis.exceptions.ConnectionError, so code that handles an absent Redis handles this too.
    """


def unavailable(reason: StoreError) -> StoreUnavailable:
    """Return an error of the store in the form that clients raise.

    Args:
        reason: what is wrong.
    """
    return StoreUnavailable(reason.where, title=reason.title, advice=reason.advice)


class Progress:
    """Whether a connection has handed any part of the current operation to the operating system."""

    __slots__ = ('sent',)

    def __init__(self) -> None:
        self.sent = False


class UnsentRetry(Retry):
    """redis-py's retry for one connection; it repeats only what cannot have been executed.

    redis-py's own would resend a command whose reply was lost, and so enqueue a job twice. There is also no reason to
    wait between two attempts: connecting waits for the store to start.

    Args:
        progress: the connection's.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__(NoBackoff(), 1)
        self._progress = progress

    def call_with_retry(
        self,
        do: Callable[[], T],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> T:
        """Call `do`, and once more if it failed before it sent anything; arguments as redis.retry.Retry."""
        progress = self._progress
        for attempt in (1, 2):
            progress.sent = False
            try:
                return do()
            except self._supported_errors as error:
                if is_retryable and not is_retryable(error):
                    raise
                last = attempt == 2 or progress.sent or isinstance(error, StoreUnavailable)
                fail(error, *((2 if last else 1,) if with_failure_count else ()))
                if last:
                    raise
        raise AssertionError('the second attempt returns or raises')

"""An application whose tests use rq_leveldb.testing: see tests/test_testing.py."""

from __future__ import annotations

from datetime import timedelta

from rq_leveldb import Queue, Retry, get_current_job, job, progress

LOG: list[str] = []


@job('mail')
def welcome(name: str) -> str:
    """Say it, and remind in a day."""
    LOG.append(name)
    Queue('mail').enqueue_in(timedelta(days=1), remind, name)
    return f'Welcome, {name}'


def remind(name: str) -> None:
    """Remind."""
    LOG.append(f'{name} again')


@job('mail', retry=Retry(max=2, interval=[60, 600]))
def flaky(good: int) -> int:
    """Fail until its last attempts."""
    current = get_current_job()
    assert current is not None
    if current.retries_left is None or current.retries_left > good:
        raise ConnectionError('not yet')
    return good


@job('mail')
def interrupted() -> None:
    """Be interrupted by the person who runs the tests."""
    raise KeyboardInterrupt


@job('mail')
def count(total: int, text: str = '', until: int | None = None) -> None:
    """Count, and say so at each turn."""
    for number in range(total if until is None else until):
        progress(number + 1, total, text)

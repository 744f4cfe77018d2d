"""How far a job has come, for whoever watches it: kept in its meta, so that plain RQ has it as well."""

from __future__ import annotations

import contextlib
import time

from redis.exceptions import RedisError
from rq.job import get_current_job

__all__ = ['progress']

# Seconds between two writes: a loop may call it at each turn.
_INTERVAL = 0.5


def progress(done: float, total: float = 100, text: str = '') -> None:
    """Say how far the current job has come; the page and `rq-leveldb job` show it.

    It may be called in a loop: it writes at most twice a second, and the end in any case. Outside of a job it does
    nothing. If the store is away, the job goes on.

    Args:
        done: how much is done.
        total: how much there is to do; if left out, `done` is a percentage.
        text: what is shown beside it; both numbers if empty and `total` is given.

    Raises:
        ValueError: the total is not above zero.
    """
    if total <= 0:
        raise ValueError(f'total is {total}: it must be above zero')
    job = get_current_job()
    if job is None:
        return
    now = time.time()
    is_due = done >= total or abs(now - job.meta.get('progress_at', 0)) >= _INTERVAL
    if not is_due:
        return
    job.meta['progress'] = max(0, min(100, int(100 * done / total)))
    job.meta['progress_text'] = text or (f'{done:,} of {total:,}' if total != 100 else '')
    job.meta['progress_at'] = now
    with contextlib.suppress(RedisError):
        job.save_meta()

"""The jobs of a soak: each says in one file when it began and how it ended.

A job is a number; what it does follows from it, so that nobody has to remember a million of them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence

from rq import get_current_job

TRACE = 'SOAK_TRACE'
RETRIES = 2
"""Of a job that is retried: it fails as long as all are left."""

# How many of a hundred jobs are of which kind.
SHARES = {'plain': 70, 'failing': 8, 'retried': 8, 'scheduled': 8, 'large': 4, 'killed': 2}
_TABLE: Sequence[str] = [kind for kind, share in SHARES.items() for _ in range(share)]
_ORDER = random.Random(12).sample(range(len(_TABLE)), len(_TABLE))


def kind_of(number: int) -> str:
    """Return what the job with this number does."""
    return _TABLE[_ORDER[number % len(_TABLE)]]


def _say(what: str, number: int, rest: str) -> None:
    # One write to a file that was opened for appending is not torn.
    descriptor = os.open(os.environ[TRACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f'{what} {number} {rest}\n'.encode())
    finally:
        os.close(descriptor)


def run(number: int, enqueued: float, payload: str = '') -> str:
    """Do what the job has to do.

    Args:
        number: which job it is.
        enqueued: when it was enqueued, seconds since the epoch.
        payload: returned as it is.
    """
    kind = kind_of(number)
    waits = kind in ('plain', 'large')
    _say('begin', number, f'{time.time() - enqueued:.4f}' if waits else '-')
    job = get_current_job()
    if kind == 'killed' and not job.meta.get('again'):
        job.meta['again'] = True
        job.save_meta()
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == 'retried' and job.retries_left == RETRIES:
        raise ValueError('not yet')
    if kind == 'failing':
        _say('end', number, 'failed')
        raise ValueError('as expected')
    _say('end', number, 'finished')
    return payload

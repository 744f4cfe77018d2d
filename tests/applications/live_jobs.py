"""Jobs of a live migration's tests: each leaves a line for each time that it runs."""

from __future__ import annotations

import os
import time

from rq import get_current_job


def runs(traces: str) -> str:
    """Leave a line: the job's id, and how many attempts it has left."""
    job = get_current_job()
    assert job is not None
    # One write of few bytes to a file opened for appending is not torn.
    with open(traces, 'a') as file:
        file.write(f'{job.id} {job.retries_left or 0}\n')
    return job.id


def fails(traces: str) -> None:
    """Leave a line and fail."""
    runs(traces)
    raise ValueError('as it was told to')


def fails_first(traces: str) -> str:
    """Leave a line, and fail while attempts are left."""
    runs(traces)
    job = get_current_job()
    assert job is not None
    if job.retries_left:
        raise ValueError('as it was told to')
    return job.id


def waits(traces: str, gate: str) -> str:
    """Leave a line, and wait for a file."""
    found = runs(traces)
    while not os.path.exists(gate):
        time.sleep(0.01)
    return found

"""The jobs of the storm: each says in one file when it began and when it came to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Any

from rq import get_current_job

TRACE = 'STORM_TRACE'


def say(what: str, job_id: str) -> None:
    """Add a line; one write to a file opened for appending is not torn, and the order of the lines is true."""
    descriptor = os.open(os.environ[TRACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f'{time.monotonic():.4f} {what} {job_id} {os.getpid()}\n'.encode())
    finally:
        os.close(descriptor)


def current() -> Any:
    job = get_current_job()
    assert job is not None
    return job


def work(seconds: float = 0.0) -> str:
    job = current()
    say('begin', job.id)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.02)
    say('end', job.id)
    return 'done'


def fail() -> None:
    say('begin', current().id)
    raise ValueError('as expected')


def fail_first(retries: int) -> str:
    """Fail as long as all retries are left."""
    job = current()
    say('begin', job.id)
    if job.retries_left == retries:
        raise ValueError('not yet')
    say('end', job.id)
    return 'done'


def large(text: str, size: int) -> str:
    job = current()
    say('begin', job.id)
    assert len(text) == size
    say('end', job.id)
    return text


def leave() -> None:
    say('begin', current().id)
    os._exit(3)


def kill_itself() -> None:
    say('begin', current().id)
    os.kill(os.getpid(), signal.SIGKILL)


def program(seconds: float) -> None:
    """Run a program that says itself when it has come to its end."""
    job = current()
    say('begin', job.id)
    script = f'trap "" TERM; sleep {seconds}; echo "0 program {job.id} {os.getpid()}" >> "${TRACE}"'
    subprocess.run(['bash', '-c', script], check=True)
    say('end', job.id)


def on_success(job: Any, connection: Any, result: Any) -> None:
    say('told', job.id)


def on_failure(job: Any, connection: Any, kind: Any, value: Any, trace: Any) -> None:
    say('told', job.id)

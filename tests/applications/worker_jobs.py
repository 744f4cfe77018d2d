"""Jobs of the worker's tests; in a module, since RQ refuses functions of __main__."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rq import Retry, get_current_job


def nothing() -> None:
    """Do nothing."""


def add(left: int, right: int) -> int:
    return left + right


def own_pid() -> int:
    return os.getpid()


def wait_for(path: str, started: str | None = None) -> str:
    """Say that it has started by creating one file, and wait for another one."""
    if started is not None:
        Path(started).write_text(str(os.getpid()))
    while not os.path.exists(path):
        time.sleep(0.01)
    return 'seen'


def trace_and_wait(traces: str, gate: str) -> None:
    """Say with each start which process it is, and wait for a file."""
    append(traces, str(os.getpid()))
    while not os.path.exists(gate):
        time.sleep(0.01)


def append(path: str, text: str = 'x') -> None:
    """Leave a trace; one write of few bytes to a file opened for appending is not torn."""
    with open(path, 'a') as file:
        file.write(text + '\n')


def overlap(directory: str, seconds: float) -> int:
    """Return how many of these jobs run at this moment."""
    mark = Path(directory, str(os.getpid()))
    mark.touch()
    time.sleep(seconds)
    running = len(list(Path(directory).iterdir()))
    time.sleep(seconds)
    mark.unlink()
    return running


def run_program(pids: str, script: str) -> int:
    """Run a program as jobs do, and wait for it; the script says its process id with SAY."""
    return subprocess.run(['bash', '-c', script.replace('SAY', f'echo $$ >> {pids}')]).returncode


def leave_program(pids: str, script: str) -> None:
    """Start a program and let it run."""
    command = ['bash', '-c', script.replace('SAY', f'echo $$ >> {pids}')]
    subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(pids):
        time.sleep(0.01)


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def fail() -> None:
    raise ValueError('as expected')


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(code: int) -> None:
    os._exit(code)


def fail_until(path: str, times: int) -> str:
    with open(path, 'a+') as file:
        file.write('x')
        file.seek(0)
        count = len(file.read())
    if count <= times:
        raise ValueError(f'try {count}')
    return f'try {count}'


def once_again() -> Any:
    job = get_current_job()
    assert job is not None
    return Retry(max=2) if not job.number_of_retries else 'done'


def allocate(megabytes: int) -> int:
    return len(bytearray(megabytes << 20))


def talk(lines: int) -> None:
    for number in range(lines):
        print(f'line {number}')
    print('an error', file=sys.stderr)


def talk_and_wait(path: str) -> None:
    print('here I am', flush=True)
    wait_for(path)


def change_itself() -> str:
    job = get_current_job()
    assert job is not None
    job.description = 'changed'
    return 'ok'


def meta() -> None:
    job = get_current_job()
    assert job is not None
    job.meta['seen'] = job.meta.get('seen', 0) + 1
    job.save_meta()


def big(size: int) -> str:
    return 'x' * size


def unserializable() -> Any:
    return lambda: None


def environment() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in ('RQ_WORKER_ID', 'RQ_JOB_ID')}


def descriptors() -> list[str]:
    """Return what the job's process has open."""
    found = []
    for name in os.listdir('/proc/self/fd'):
        try:
            found.append(os.readlink(f'/proc/self/fd/{name}'))
        except OSError:
            continue
    return found


def process_group() -> tuple[int, int]:
    return os.getpid(), os.getpgrp()


def random_number() -> float:
    import random

    return random.random()


def on_success(job: Any, connection: Any, result: Any) -> None:
    connection.set(f'succeeded:{job.id}', str(result))


def on_failure(job: Any, connection: Any, kind: Any, value: Any, trace: Any) -> None:
    connection.set(f'failed:{job.id}', str(value))


def on_stopped(job: Any, connection: Any) -> None:
    connection.set(f'stopped:{job.id}', 'yes')


def handle(job: Any, kind: Any, value: Any, trace: Any) -> bool:
    job.connection.set(f'handled:{job.id}', str(value))
    return True


def before_first_fork() -> None:
    os.environ['WORKER_TEST_FIRST'] = str(os.getpid())


def failing_hook() -> None:
    raise RuntimeError('the hook failed')


def before_fork() -> None:
    os.environ['WORKER_TEST_FORKS'] = str(int(os.environ.get('WORKER_TEST_FORKS', '0')) + 1)


def after_fork() -> None:
    os.environ['WORKER_TEST_AFTER'] = str(os.getpid())


def hooks() -> dict[str, str | None]:
    names = ('WORKER_TEST_FIRST', 'WORKER_TEST_FORKS', 'WORKER_TEST_AFTER')
    return {'pid': str(os.getpid()), **{name: os.environ.get(name) for name in names}}


def crashes_of(job: Any) -> list[dict[str, Any]]:
    """Return what is kept of the times in a row at which a job took its process down."""
    crashes: list[dict[str, Any]] = json.loads(job.connection.hget(job.key, 'crashes') or '[]')
    return crashes


def crash_first(traces: str, data: bytes) -> int:
    """Take the process down at the first run."""
    append(traces)
    if Path(traces).read_text().count('x') == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(data)


def nothing_called(job: Any, connection: Any, result: Any) -> None:
    """Be an on_success callback."""


def wait_and_fail(gate: str) -> None:
    wait_for(gate)
    raise ValueError('the true reason')


def fail_first(gate: str, again: str) -> None:
    """Fail the first time, once the gate is open."""
    wait_for(gate)
    if not os.path.exists(again):
        Path(again).touch()
        raise ValueError('the first time')


def leave_orphans(number: int) -> int:
    """Start programs whose parent ends before they do, and wait until the kernel has given them to process 1."""
    for _ in range(number):
        subprocess.run(['sh', '-c', '(sleep 0.2) & exit 0'])
    return number


def zombies_of_process_1(seconds: float) -> int:
    """Return how many ended processes nobody has reaped, after a while."""
    time.sleep(seconds)
    found = 0
    for path in Path('/proc').glob('[0-9]*/stat'):
        fields = path.read_text().rpartition(')')[2].split()
        found += fields[0] == 'Z' and fields[1] == '1'
    return found

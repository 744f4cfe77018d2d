"""A program that a job runs ends with the job, however that ends, and before the job runs again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import worker_jobs
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus

from tests.until import until
from tests.worker.support import Workers, is_running, stop_again

pytestmark = pytest.mark.skipif(sys.platform != 'linux', reason='only process groups are known elsewhere')

STUBBORN = 'trap "" TERM; SAY; while true; do sleep 0.1; done'
FAR = f"setsid bash -c '{STUBBORN}' & wait"


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    """Return the file where programs say their process ids; those that still run at the end are killed."""
    path = tmp_path / 'pids'
    yield path
    for pid in read(path):
        if is_running(pid):
            psutil.Process(pid).kill()


def read(path: Path) -> list[int]:
    return [int(text) for text in path.read_text().split()] if path.exists() else []


def run(queue: Queue, pids: Path, script: str, retries: int = 0) -> tuple[Job, int]:
    """Enqueue a job that runs a program; return it with the program's process id."""
    retry = Retry(max=retries) if retries else None
    job = queue.enqueue(worker_jobs.run_program, str(pids), script, retry=retry)
    return job, until(lambda: read(pids))[0]


def second_signal(workers: Workers, queue: Queue, job: Job) -> None:
    for process in workers.started:
        process.send_signal(signal.SIGTERM)
    until(lambda: queue.connection.hget('rq:worker:one', 'shutdown_requested_date'))
    # Within a second of the first it would be taken for its echo.
    for process in workers.started:
        until(lambda process=process: stop_again(process))


def grace(workers: Workers, queue: Queue, job: Job) -> None:
    for process in workers.started:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def stop_job(workers: Workers, queue: Queue, job: Job) -> None:
    send_stop_job_command(queue.connection, job.id)


def kill_child(workers: Workers, queue: Queue, job: Job) -> None:
    (execution,) = job.get_executions()
    pid = queue.connection.hget(execution.key, 'pid')
    assert pid is not None
    os.kill(int(pid), signal.SIGKILL)


@pytest.mark.parametrize('script', [STUBBORN, FAR], ids=['in the group', 'in a session of its own'])
@pytest.mark.parametrize('end', [second_signal, grace, stop_job, kill_child])
def test_a_program_ends_with_its_job(
    workers: Workers, queue: Queue, pids: Path, script: str, end: Callable[[Workers, Queue, Job], None]
) -> None:
    workers.start('--max-children', '1', *(('--grace', '0.2') if end is grace else ()))
    job, program = run(queue, pids, script)

    end(workers, queue, job)

    until(lambda: job.get_status() in (JobStatus.FAILED, JobStatus.STOPPED))
    assert not is_running(program)


@pytest.mark.parametrize('script', [STUBBORN, FAR], ids=['in the group', 'in a session of its own'])
@pytest.mark.parametrize('victim', ['worker', 'child'])
def test_a_job_never_meets_its_own_old_program(
    workers: Workers, queue: Queue, pids: Path, script: str, victim: str
) -> None:
    first = workers.start('--max-children', '1')
    job, program = run(queue, pids, script, retries=1)

    if victim == 'worker':
        first.kill()
        workers.start('--max-children', '1', name='two')
    else:
        kill_child(workers, queue, job)

    until(lambda: len(read(pids)) == 2)
    assert not is_running(program)
    assert is_running(read(pids)[1])


def test_a_program_may_tidy_up_when_its_worker_is_stopped(workers: Workers, queue: Queue, pids: Path) -> None:
    worker = workers.start('--max-children', '1', '--grace', '0.1')
    trace = pids.with_name('trace')
    run(queue, pids, f'trap "sleep 0.5; echo clean > {trace}; exit" TERM; SAY; while true; do sleep 0.1; done')

    workers.stop(worker)

    assert trace.read_text() == 'clean\n'


def test_what_a_job_that_ended_by_itself_left_running_stays(workers: Workers, queue: Queue, pids: Path) -> None:
    worker = workers.start('--max-children', '1')
    job = queue.enqueue(worker_jobs.leave_program, str(pids), STUBBORN)
    until(lambda: job.get_status() == JobStatus.FINISHED)
    workers.stop(worker)

    assert is_running(read(pids)[0])

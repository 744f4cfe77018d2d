"""What happens while the store has been told of ends and asked for jobs, and has not answered yet."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import worker_jobs
from rq import Queue
from rq.job import Job, JobStatus

from tests.until import until
from tests.worker.support import Workers, family, is_running, start_job

pytestmark = pytest.mark.needs_store('it stops the server')


@contextmanager
def unanswered(
    workers: Workers, queue: Queue, tmp_path: Path, *signals: signal.Signals
) -> Iterator[tuple[subprocess.Popen[str], int, list[Job], list[Job]]]:
    """Stop the store when a worker has told it of two ends, and has asked for jobs for two other children.

    Args:
        workers: starts the worker.
        queue: its queue.
        tmp_path: for files.
        signals: what the worker gets at the same moment.

    Yields:
        The worker, the store's process id, the jobs that have ended, and those that wait.
    """
    worker = workers.start('--max-children', '4')
    started = [start_job(queue, tmp_path) for _ in range(2)]
    until(lambda: len(family(worker.pid)) == 5)
    store: int = queue.connection.info('server')['process_id']
    worker.send_signal(signal.SIGSTOP)
    for _, gate, _ in started:
        gate.touch()
    until(lambda: not any(is_running(pid) for _, _, pid in started))
    waiting = [queue.enqueue(worker_jobs.nothing) for _ in range(3)]
    os.kill(store, signal.SIGSTOP)
    try:
        for number in signals:
            worker.send_signal(number)
        worker.send_signal(signal.SIGCONT)
        seen = {0}

        def does_nothing_more() -> bool:
            switches = psutil.Process(worker.pid).num_ctx_switches().voluntary
            known = switches in seen
            seen.add(switches)
            return known

        until(does_nothing_more)
        yield worker, store, [job for job, _, _ in started], waiting
    finally:
        if psutil.pid_exists(store):
            os.kill(store, signal.SIGCONT)


def test_a_worker_that_is_told_to_stop_knows_which_jobs_it_has(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    with unanswered(workers, queue, tmp_path, signal.SIGTERM) as (worker, _, ended, waiting):
        pass
    assert worker.wait(60) == 0
    assert [job.get_status() for job in ended] == [JobStatus.FINISHED] * 2
    assert sorted(job.get_status() for job in waiting) == [JobStatus.FINISHED] * 2 + [JobStatus.QUEUED]
    assert queue.started_job_registry.get_job_ids() == []
    assert queue.count == 1


def test_a_store_that_is_killed_before_it_answers(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    with unanswered(workers, queue, tmp_path) as (worker, store, ended, waiting):
        os.kill(store, signal.SIGKILL)
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in (*ended, *waiting)))
    assert worker.poll() is None
    assert all(len(job.results()) == 1 for job in ended)
    until(lambda: workers.running() == 0)


def test_a_connection_that_was_closed_meanwhile_is_made_anew(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    workers.launch('--max-children', '2', '--jobs-per-child', '100', log=log)
    first = [queue.enqueue(worker_jobs.nothing) for _ in range(20)]
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in first))
    theirs = [client['id'] for client in queue.connection.client_list() if client['cmd'] == 'evalsha']
    assert theirs
    for number in theirs:
        queue.connection.client_kill_filter(_id=number)
    second = [queue.enqueue(worker_jobs.nothing) for _ in range(20)]
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in second))
    assert 'retrying' not in log.read_text()

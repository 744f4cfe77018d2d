"""A process that runs several jobs, one after the other: what they share, and what they must not notice."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import leaving_jobs
import pytest
import worker_jobs
from own_serializer import Own
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus
from rq.suspension import resume, suspend

from rq_leveldb import default_connection
from rq_leveldb.jobs.history import read_history
from rq_leveldb.process import resident_bytes
from rq_leveldb.records import output_key
from rq_leveldb.worker import Settings, limits
from tests.until import until
from tests.worker.support import Workers, is_running, start_job, work


def usage(job: Job) -> dict[str, Any]:
    stored: Any = job.connection.hget(job.key, 'usage')
    last: dict[str, Any] = json.loads(stored)[-1]
    return last


def results(jobs: list[Job]) -> list[Any]:
    return [job.return_value(refresh=True) for job in jobs]


def test_a_process_runs_so_many_jobs(queue: Queue) -> None:
    jobs = [queue.enqueue(worker_jobs.own_pid) for _ in range(7)]

    work(queue, max_children=1, jobs_per_child=3)

    pids = results(jobs)
    assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [3, 3, 1]


def test_jobs_that_are_taken_at_once_are_with_the_process_that_runs_them(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    marks = [tmp_path / str(number) for number in range(3)]
    jobs = [queue.enqueue(worker_jobs.wait_for, str(tmp_path / 'gate'), str(mark)) for mark in marks]

    workers.start('-m', '3')

    pids = [until(lambda mark=mark: mark.exists() and mark.read_text()) for mark in marks]
    connection: Any = queue.connection
    executions = [f'rq:execution:{job.id}:{job.get_executions()[0].id}' for job in jobs]
    assert [connection.hget(key, 'pid').decode() for key in executions] == pids


def test_each_job_has_its_own_output_and_account(workers: Workers, queue: Queue) -> None:
    burning = queue.enqueue(leaving_jobs.burns, 0.5)
    talking = [queue.enqueue(worker_jobs.talk, number) for number in (1, 2)]

    workers.start('-m', '1', '--jobs-per-child', '10', '--capture-output')
    until(lambda: talking[1].get_status() == JobStatus.FINISHED and workers.state() == 'idle')

    printed = [queue.connection.get(output_key(job.id)) for job in (burning, *talking)]
    assert printed == [None, b'line 0\nan error\n', b'line 0\nline 1\nan error\n']
    assert usage(burning)['cpu'] >= 0.4
    assert usage(talking[0])['cpu'] < 0.3


def test_what_a_job_leaves_behind_ends_its_process(queue: Queue) -> None:
    pairs = [(queue.enqueue(left), queue.enqueue(worker_jobs.own_pid)) for left in leaving_jobs.LEAVING]
    last = queue.enqueue(worker_jobs.own_pid)

    work(queue, max_children=1, jobs_per_child=100)

    assert [job.get_status() for pair in pairs for job in pair] == [JobStatus.FINISHED] * 2 * len(pairs)
    assert len({job.return_value() for _, job in pairs}) == len(pairs)
    # It left nothing behind.
    assert last.return_value() == pairs[-1][1].return_value()


def test_what_jobs_do_and_undo_does_not_end_their_process(queue: Queue) -> None:
    harmless = (
        leaving_jobs.enqueues,
        leaving_jobs.cleans_up,
        leaving_jobs.raises,
        leaving_jobs.forbid,
        leaving_jobs.awaits,
    )
    jobs = [queue.enqueue(worker_jobs.own_pid)]
    for function in harmless:
        queue.enqueue(function)
        jobs.append(queue.enqueue(worker_jobs.own_pid))

    work(queue, max_children=1, jobs_per_child=100)

    assert len(set(results(jobs))) == 1


def test_a_connection_from_before_the_fork_does_not_end_a_process(
    queue: Queue, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', url)
    default_connection().ping()
    jobs = [queue.enqueue(worker_jobs.own_pid) for _ in range(3)]

    work(queue, max_children=1, jobs_per_child=100)

    assert len(set(results(jobs))) == 1


def test_a_bad_end_concerns_one_job(queue: Queue) -> None:
    def own_pid() -> Job:
        return queue.enqueue(worker_jobs.own_pid)

    first = own_pid()
    bad = [queue.enqueue(worker_jobs.segfault)]
    second = own_pid()
    bad.append(queue.enqueue(worker_jobs.sleep, 60, job_timeout=1))
    third = own_pid()
    bad.append(queue.enqueue(worker_jobs.allocate, 400, meta={'job_memory': '150M'}))
    fourth = own_pid()
    # The limit was that job's.
    large = queue.enqueue(worker_jobs.allocate, 400)

    work(queue, max_children=1, jobs_per_child=100)

    assert len(set(results([first, second, third, fourth]))) == 4
    reasons = [job.latest_result().exc_string or '' for job in bad]
    assert 'SIGSEGV' in reasons[0]
    assert 'JobTimeoutException' in reasons[1]
    assert 'asked for more than the 150 MiB' in reasons[2]
    assert large.get_status() == JobStatus.FINISHED


def test_memory_that_jobs_keep(queue: Queue) -> None:
    # Each may have so much for itself, beside what this process has already; together they would exceed it.
    limit = limits.private_memory() + (100 << 20)
    limited = [queue.enqueue(leaving_jobs.keeps, 60, meta={'job_memory': limit}) for _ in range(3)]
    work(queue, max_children=1, jobs_per_child=100)
    assert len(set(results(limited))) == 1


def test_a_process_that_has_grown_is_replaced(workers: Workers, queue: Queue) -> None:
    first = workers.start('-m', '1')
    size = queue.enqueue(resident_bytes)
    until(lambda: size.get_status() == JobStatus.FINISHED)
    workers.stop(first)
    most = (size.return_value() >> 20) + 90
    workers.start('-m', '1', '--jobs-per-child', '100', '--child-memory', f'{most}M')

    jobs = [queue.enqueue(leaving_jobs.keeps, 60) for _ in range(4)]

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
    pids = results(jobs)
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_stopping_a_further_job(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('-m', '1', '--jobs-per-child', '100')
    before = queue.enqueue(worker_jobs.own_pid)
    job, _, pid = start_job(queue, tmp_path)
    assert before.return_value() == pid
    after = queue.enqueue(worker_jobs.own_pid)

    send_stop_job_command(queue.connection, job.id)

    until(lambda: after.get_status() == JobStatus.FINISHED)
    assert job.get_status() == JobStatus.STOPPED
    assert before.get_status() == JobStatus.FINISHED
    assert after.return_value(refresh=True) != pid


def test_what_is_suspended_while_a_job_runs_gets_no_other(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('-m', '1', '--jobs-per-child', '100')
    first, gate, pid = start_job(queue, tmp_path)
    second = queue.enqueue(worker_jobs.own_pid)
    suspend(queue.connection)

    gate.touch()

    until(lambda: first.get_status() == JobStatus.FINISHED and workers.state() == 'suspended')
    assert second.get_status() == JobStatus.QUEUED
    resume(queue.connection)
    until(lambda: second.get_status() == JobStatus.FINISHED)
    assert second.return_value(refresh=True) == pid


def test_a_job_that_cannot_be_taken_with_the_end_of_another(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('-m', '1', '--jobs-per-child', '100')
    first, gate, pid = start_job(queue, tmp_path)
    second = queue.enqueue(worker_jobs.own_pid)
    # More than a script may hold.
    queue.connection.hset(second.key, 'note', 'x' * (40 << 20))
    third = queue.enqueue(worker_jobs.own_pid)

    gate.touch()

    until(lambda: third.get_status() == JobStatus.FINISHED)
    assert first.get_status() == second.get_status() == JobStatus.FINISHED
    assert results([second, third]) == [pid, pid]


def test_a_child_that_is_killed_between_two_jobs_had_none(workers: Workers, queue: Queue) -> None:
    worker = workers.start('-m', '1', '--jobs-per-child', '100', '--requeue-abandoned')
    first = queue.enqueue(worker_jobs.own_pid)
    until(lambda: workers.state() == 'idle' and first.get_status() == JobStatus.FINISHED)

    (pid,) = results([first])
    os.kill(pid, signal.SIGKILL)
    second = queue.enqueue(worker_jobs.own_pid)

    until(lambda: second.get_status() == JobStatus.FINISHED)
    assert first.get_status() == JobStatus.FINISHED
    (other,) = results([second])
    assert other != pid
    # One that waits ends with its worker.
    worker.kill()
    until(lambda: not is_running(other))


def test_a_worker_that_is_killed_during_a_further_job(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('-m', '1', '--jobs-per-child', '100')
    traces = tmp_path / 'traces'
    before = queue.enqueue(worker_jobs.append, str(traces))
    job, gate, pid = start_job(queue, tmp_path, retry=Retry(max=1))
    until(lambda: before.get_status() == JobStatus.FINISHED)

    worker.kill()
    until(lambda: not is_running(pid))
    gate.touch()
    workers.start('--burst', name='two')

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert traces.read_text() == 'x\n'
    assert before.get_status() == JobStatus.FINISHED


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'jobs_per_child': 0}, 'jobs_per_child must be 1 or more, not 0'),
        ({'child_memory': 1 << 20}, 'child_memory needs jobs_per_child of 2 or more'),
        ({'child_memory': -1, 'jobs_per_child': 2}, 'child_memory must be a positive number'),
        ({'child_memory': 1 << 60, 'jobs_per_child': 2}, 'of this machine'),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Settings(**settings).check()  # type: ignore[arg-type]


def test_successes_that_are_heard_of_together_are_each_written(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('-m', '4')
    started = [start_job(queue, tmp_path) for _ in range(4)]
    jobs = [job for job, _, _ in started]
    dependent = queue.enqueue(worker_jobs.nothing, depends_on=jobs[1])
    queue.connection.set(f'rq:results:{jobs[2].id}', 'of another type')
    worker.send_signal(signal.SIGSTOP)
    for _, gate, _ in started:
        gate.touch()
    until(lambda: not any(is_running(pid) for _, _, pid in started))

    worker.send_signal(signal.SIGCONT)

    until(lambda: dependent.get_status() == JobStatus.FINISHED and workers.running() == 0)
    assert [job.get_status() for job in jobs] == [JobStatus.FINISHED] * 2 + [JobStatus.FAILED, JobStatus.FINISHED]
    assert jobs[0].return_value() == jobs[3].return_value() == 'seen'


def test_successes_that_are_heard_of_together_are_counted_with_their_functions(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    queue = Queue(connection=queue.connection, serializer=Own)
    worker = workers.start('-m', '2', '--serializer', 'own_serializer.Own')
    started = [start_job(queue, tmp_path) for _ in range(2)]
    worker.send_signal(signal.SIGSTOP)
    for _, gate, _ in started:
        gate.touch()
    until(lambda: not any(is_running(pid) for _, _, pid in started))

    worker.send_signal(signal.SIGCONT)

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job, _, _ in started))
    workers.stop(worker)
    functions = read_history(queue.connection, 60, None, time.time()).functions
    assert {name: numbers.finished for name, numbers in functions.items()} == {'worker_jobs.wait_for': 2}

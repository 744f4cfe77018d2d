"""Stopping, commands, limits, output, and what a person sees of a worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Callback, Queue
from rq.command import (
    send_kill_horse_command,
    send_shutdown_command,
    send_stop_execution_command,
    send_stop_job_command,
)
from rq.job import JobStatus
from rq.suspension import resume, suspend

from rq_leveldb.worker.limits import parse_size
from rq_leveldb.worker.status_line import StatusLine
from tests.until import until
from tests.worker.support import Workers, family, is_running, start_job


def command(workers: Workers, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments, '--url', workers.url],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_waits_for_the_jobs(workers: Workers, queue: Queue, tmp_path: Path, number: int) -> None:
    worker = workers.start('--max-children', '2')
    job, gate, _ = start_job(queue, tmp_path)
    worker.send_signal(number)
    until(lambda: queue.connection.hget('rq:worker:one', 'shutdown_requested_date'))
    late = queue.enqueue(worker_jobs.nothing)
    gate.touch()

    assert worker.wait(30) == 0

    assert job.get_status() == JobStatus.FINISHED
    assert late.get_status() == JobStatus.QUEUED
    assert queue.connection.scard('rq:workers') == 0


def test_an_idle_worker_stops_at_once(workers: Workers) -> None:
    worker = workers.start()
    processes = family(worker.pid)
    worker.terminate()

    assert worker.wait(10) == 0
    assert not any(is_running(process.pid) for process in processes)


def test_the_second_signal_stops_the_jobs(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--max-children', '2')
    job, _, pid = start_job(queue, tmp_path)
    worker.terminate()
    until(lambda: queue.connection.hget('rq:worker:one', 'shutdown_requested_date'))
    # One that comes within a second is taken for an echo of the first, as in RQ.
    time.sleep(1.1)
    worker.terminate()

    worker.wait(30)

    assert not is_running(pid)
    assert job.get_status() == JobStatus.FAILED
    assert 'it was stopped together with its worker' in job.latest_result().exc_string


def test_grace_bounds_the_wait(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--grace', '0.5', '--requeue-abandoned')
    job, _, pid = start_job(queue, tmp_path)
    worker.terminate()

    assert worker.wait(30) == 0

    assert not is_running(pid)
    assert job.get_status() == JobStatus.QUEUED
    assert queue.job_ids == [job.id]


def test_stop_job_stops_that_job_alone(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('--max-children', '3')
    started = [start_job(queue, tmp_path, on_stopped=Callback(worker_jobs.on_stopped)) for _ in range(3)]
    until(lambda: workers.running() == 3)

    send_stop_job_command(queue.connection, started[1][0].id)
    until(lambda: started[1][0].get_status() == JobStatus.STOPPED)

    assert queue.connection.get(f'stopped:{started[1][0].id}') == b'yes'
    assert [job.get_status() for job, _, _ in started[::2]] == [JobStatus.STARTED] * 2
    execution = started[2][0].get_executions()[0]
    send_stop_execution_command(queue.connection, started[2][0].id, execution.id)
    until(lambda: started[2][0].get_status() == JobStatus.STOPPED)
    send_kill_horse_command(queue.connection, 'one')
    until(lambda: started[0][0].get_status() == JobStatus.FAILED)


def test_shutdown_command(workers: Workers) -> None:
    worker = workers.start()

    send_shutdown_command(workers.connection, 'one')

    assert worker.wait(30) == 0


def test_children_can_be_changed_while_it_runs(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('--max-children', '1')
    first, gate, _ = start_job(queue, tmp_path)
    second = queue.enqueue(worker_jobs.wait_for, str(tmp_path / 'other'))

    assert command(workers, 'children', '2').returncode == 0
    until(lambda: second.get_status() == JobStatus.STARTED)
    assert workers.running() == 2

    assert command(workers, 'children', '0').returncode == 0
    until(lambda: queue.connection.hget('rq:worker:one', 'max_children') == b'0')
    third = queue.enqueue(worker_jobs.nothing)
    gate.touch()
    (tmp_path / 'other').touch()
    until(lambda: first.get_status() == second.get_status() == JobStatus.FINISHED)
    time.sleep(0.3)
    assert third.get_status() == JobStatus.QUEUED

    shown = command(workers, 'children', '4', '--worker', 'one')
    assert 'one' in shown.stdout
    until(lambda: third.get_status() == JobStatus.FINISHED)
    assert command(workers, 'children', '3', '--worker', 'nobody').returncode == 1


def test_suspend_and_resume(workers: Workers, queue: Queue) -> None:
    workers.start()
    suspend(queue.connection)
    until(lambda: workers.state() == 'suspended')
    job = queue.enqueue(worker_jobs.nothing)
    time.sleep(0.3)
    assert job.get_status() == JobStatus.QUEUED

    resume(queue.connection)

    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_a_busy_worker_says_with_how_many(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('--max-children', '2')
    started = [start_job(queue, tmp_path) for _ in range(2)]

    assert workers.state() == 'busy'
    assert workers.running() == 2
    connection: Any = queue.connection
    pids = {int(connection.hget(f'rq:execution:{job.id}:{job.get_executions()[0].id}', 'pid')) for job, _, _ in started}
    assert pids == {pid for _, _, pid in started}
    for _, gate, _ in started:
        gate.touch()
    until(lambda: workers.state() == 'idle')


def test_two_workers_agree_who_schedules(workers: Workers, queue: Queue) -> None:
    first = workers.start(name='one')
    workers.start(name='two')
    assert queue.connection.get('rq:scheduler-lock:default') == b'one'

    first.kill()
    until(lambda: queue.connection.get('rq:scheduler-lock:default') == b'two', 5)

    job = queue.enqueue_in(timedelta(seconds=0), worker_jobs.nothing)
    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_memory_limit(workers: Workers, queue: Queue) -> None:
    worker = workers.start('--job-memory', '150M')
    too_much = queue.enqueue(worker_jobs.allocate, 400)
    enough = queue.enqueue(worker_jobs.allocate, 10)
    own = queue.enqueue(worker_jobs.allocate, 400, meta={'job_memory': '1G'})

    until(lambda: all(job.get_status() in (JobStatus.FAILED, JobStatus.FINISHED) for job in (too_much, enough, own)))

    assert 'asked for more than the 150 MiB' in too_much.latest_result().exc_string
    assert enough.get_status() == own.get_status() == JobStatus.FINISHED
    assert worker.poll() is None


def test_what_a_job_used_is_shown(workers: Workers, queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.allocate, 64)
    crashed = queue.enqueue(worker_jobs.segfault)
    workers.start()
    until(lambda: job.get_status() == JobStatus.FINISHED and crashed.get_status() == JobStatus.FAILED)

    report = json.loads(command(workers, 'job', job.id, '--json').stdout)
    shown = command(workers, 'job', crashed.id).stdout

    (execution,) = report['executions']
    assert execution['memory'] > 64 << 20
    assert execution['cpu'] > 0
    assert execution['wall'] > 0
    assert execution['exit'] == 0
    assert 'SIGSEGV: segmentation fault' in shown
    assert command(workers, 'job', 'nothing').returncode == 1


def test_output_is_kept(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--capture-output', '400')
    short, long = queue.enqueue(worker_jobs.talk, 3), queue.enqueue(worker_jobs.talk, 1000)
    waiting = queue.enqueue(worker_jobs.talk_and_wait, str(tmp_path / 'gate'))

    until(lambda: 'here I am' in command(workers, 'job', waiting.id, '--log').stdout)
    assert waiting.get_status() == JobStatus.STARTED
    (tmp_path / 'gate').touch()
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in (short, long, waiting)))

    said = until(lambda: command(workers, 'job', short.id, '--log').stdout)
    assert sorted(said.split('\n')) == ['', 'an error', 'line 0', 'line 1', 'line 2']
    kept = until(lambda: command(workers, 'job', long.id, '--log').stdout)
    assert len(kept) < 500
    assert kept.startswith('[the first ')
    assert 'line 999' in kept
    assert 0 < queue.connection.ttl(f'rq:output:{short.id}') <= 500
    assert 'Job OK' in workers.stop(worker), "what RQ logs about a job is not the job's output"


def test_import_and_preload(workers: Workers, queue: Queue) -> None:
    refused = workers.launch('--import', 'no_such_module')
    assert refused.wait(30) == 2
    assert 'no_such_module' in refused.communicate()[0]

    worker = workers.start('--import', 'worker_jobs', '--preload', 'auto', name='two')
    job = queue.enqueue(worker_jobs.add, 1, 2)
    until(lambda: job.get_status() == JobStatus.FINISHED)
    further = queue.enqueue('calendar.isleap', 2024)
    until(lambda: further.get_status() == JobStatus.FINISHED)
    again = queue.enqueue('calendar.isleap', 2023)
    until(lambda: again.get_status() == JobStatus.FINISHED)
    assert worker.poll() is None


@pytest.mark.parametrize('option', ['--before-first-fork', '--before-fork'])
def test_a_hook_that_raises_is_told_and_not_tried_all_the_time(workers: Workers, queue: Queue, option: str) -> None:
    job = queue.enqueue(worker_jobs.nothing)
    worker = workers.launch(option, 'worker_jobs.failing_hook')
    until(workers.state)

    time.sleep(2)

    assert job.get_status() == JobStatus.QUEUED
    said = workers.stop(worker)
    assert 1 <= said.count('RuntimeError: the hook failed') < 10
    assert worker.returncode == 0


def test_systemd_is_told(workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / 'notify'))
        listener.settimeout(20)
        monkeypatch.setenv('NOTIFY_SOCKET', str(tmp_path / 'notify'))
        worker = workers.start()

        assert listener.recv(100) == b'READY=1'
        workers.stop(worker)
        assert listener.recv(100) == b'STOPPING=1'


def test_jobs_start_quickly_on_an_idle_worker(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start('--max-children', '2', '--import', 'worker_jobs')
    waits = []
    for number in range(5):
        job = queue.enqueue(worker_jobs.nothing, job_id=f'quick{number}')
        until(lambda job=job: job.get_status() == JobStatus.FINISHED)
        job.refresh()
        waits.append((job.started_at - job.enqueued_at).total_seconds())

    assert sorted(waits)[2] < 0.5


def test_no_descriptor_or_process_is_left_over(workers: Workers, queue: Queue) -> None:
    worker = workers.start('--max-children', '4', '--quiet')
    first = [queue.enqueue(worker_jobs.nothing) for _ in range(20)]
    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in first))
    forker = family(worker.pid)[0].pid

    def opened() -> tuple[int, int]:
        return len(os.listdir(f'/proc/{worker.pid}/fd')), len(os.listdir(f'/proc/{forker}/fd'))

    # Four children wait now, as at the end.
    until(lambda: len(family(worker.pid)) == 5)
    before = opened()
    jobs = queue.enqueue_many([Queue.prepare_data(worker_jobs.nothing) for _ in range(150)])
    until(lambda: queue.finished_job_registry.count == 170, 100)
    until(lambda: len(family(worker.pid)) == 5)

    assert len(jobs) == 150
    until(lambda: opened() == before, 5)
    assert not [one for one in family(worker.pid) if not is_running(one.pid)]


@pytest.mark.parametrize(
    ('text', 'size'), [('512M', 512 << 20), ('1.5g', 3 << 29), ('64 KiB', 65536), (100, 100), ('7b', 7)]
)
def test_sizes(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize('text', ['', 'much', '-1', '0', '5 apples', '1e3'])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match='size'):
        parse_size(text)


def test_status_line() -> None:
    line = StatusLine()
    line.ended(True)
    line.ended(False)

    assert line.text(2, 4, 7) == '2 of 4 busy, 7 queued, 2 ended in the last minute, 1 of them lost their process'

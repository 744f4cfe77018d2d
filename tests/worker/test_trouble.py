"""A store that refuses, a process without descriptors, strangers to be reaped: the worker waits, and goes on."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_jobs
from rq import Queue, Retry
from rq.job import JobStatus

from rq_leveldb.records import output_key
from rq_leveldb.worker.backoff import Backoff
from rq_leveldb.worker.duties import Duties
from rq_leveldb.worker.ending import Verdict, judge, pause_before_rerun
from rq_leveldb.worker.loop import Loop
from rq_leveldb.worker.mailbox import Report
from rq_leveldb.worker.worker_log import WorkerLog
from tests.places import APPLICATIONS
from tests.until import until
from tests.worker.support import Workers


def output_of(queue: Queue, job_id: str) -> str:
    return (queue.connection.get(output_key(job_id)) or b'').decode()


def address_of(client: Any) -> str:
    return f'unix://{client.connection_pool.connection_kwargs["path"]}'


def test_a_store_that_takes_no_writes_is_waited_for(server: Any, tmp_path: Path) -> None:
    queue, started, gate = Queue(connection=server), tmp_path / 'started', tmp_path / 'gate'
    workers = Workers(address_of(server), server)
    try:
        log = tmp_path / 'log'
        worker = workers.launch('--max-children', '3', '--capture-output', log=log)
        until(workers.state)
        running = queue.enqueue(worker_jobs.wait_for, str(gate), str(started))
        failing = queue.enqueue(worker_jobs.wait_and_fail, str(gate))
        retried = queue.enqueue(worker_jobs.fail_first, str(gate), str(tmp_path / 'again'), retry=Retry(max=1))
        until(lambda: queue.started_job_registry.count == 3)
        waiting = queue.enqueue(worker_jobs.nothing)

        # Every write is refused from here on, as with a full disk.
        server.config_set('min-replicas-to-write', 1)
        gate.touch()
        until(lambda: (tmp_path / 'again').exists())
        until(lambda: 'takes no writes' in log.read_text())
        assert worker.poll() is None
        server.config_set('min-replicas-to-write', 0)

        until(lambda: waiting.get_status() == JobStatus.FINISHED)
        until(lambda: running.get_status() == JobStatus.FINISHED)
        assert running.return_value() == 'seen'
        until(lambda: failing.get_status() == JobStatus.FAILED)
        assert 'ValueError: the true reason' in failing.latest_result().exc_string
        until(lambda: retried.get_status() == JobStatus.FINISHED)
        assert worker.poll() is None
    finally:
        workers.close()


def test_ends_that_are_told_together_are_all_written_later(server: Any, tmp_path: Path) -> None:
    queue, traces, gate = Queue(connection=server), tmp_path / 'traces', tmp_path / 'gate'
    workers = Workers(address_of(server), server)
    try:
        worker = workers.start('--max-children', '3')
        jobs = [queue.enqueue(worker_jobs.trace_and_wait, str(traces), str(gate)) for _ in range(3)]
        pids = until(lambda: found if traces.exists() and len(found := traces.read_text().split()) == 3 else None)
        server.config_set('min-replicas-to-write', 1)
        worker.send_signal(signal.SIGSTOP)
        gate.touch()
        # The process that forks has seen them end; the supervisor will hear of all of them at once.
        until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids))
        worker.send_signal(signal.SIGCONT)
        until(lambda: 'errorstat_NOREPLICAS' in server.info('errorstats'))
        server.config_set('min-replicas-to-write', 0)

        until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
        assert traces.read_text().split() == pids
    finally:
        workers.close()


def test_output_that_ends_with_its_job_is_no_trouble(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    worker = workers.launch('--max-children', '2', '--capture-output', '1K', '--burst', log=log)
    jobs = [queue.enqueue('builtins.print', number) for number in range(60)]
    assert worker.wait(60) == 0
    assert [output_of(queue, job.id) for job in jobs] == [f'{number}\n' for number in range(60)]
    assert 'continuing after a pause' not in log.read_text()


def test_a_worker_without_descriptors_goes_on_when_it_has_some(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    log = tmp_path / 'log'
    worker = workers.launch('--max-children', '4', log=log)
    first = queue.enqueue(worker_jobs.nothing)
    until(lambda: first.get_status() == JobStatus.FINISHED)
    soft, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)

    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (4, hard))
    jobs = [queue.enqueue(worker_jobs.nothing) for _ in range(8)]
    until(lambda: 'Too many open files' in log.read_text())
    assert worker.poll() is None
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (soft, hard))

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
    assert worker.poll() is None


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which('unshare') is None, reason='needs root and unshare(1)')
def test_process_1_reaps_what_is_not_its_own(queue: Queue, store_dir: Path) -> None:
    orphans = queue.enqueue(worker_jobs.leave_orphans, 5)
    zombies = queue.enqueue(worker_jobs.zombies_of_process_1, 2.5)
    worker = [sys.executable, '-m', 'rq_leveldb', 'worker', '--url', f'leveldb://{store_dir}', '--no-http']
    command = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child', *worker, '-n', 'one', '-m', '1']
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])}

    done = subprocess.run([*command, '--max-jobs', '2'], env=environment, capture_output=True, text=True, timeout=60)

    assert done.returncode == 0, done.stdout + done.stderr
    assert orphans.return_value() == 5
    assert zombies.return_value() == 0


def test_one_duty_that_fails_disturbs_no_other_and_is_told_once() -> None:
    import logging

    told: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.append(record.getMessage())

    log = logging.Logger('duties')
    log.addHandler(Listener())
    duties, done = Duties(WorkerLog(log, 'one')), []

    def fail() -> None:
        raise SystemExit(3)

    duties.add('failing', 0.0, fail)
    duties.add('the other', 0.0, lambda: done.append(1))
    for _ in range(5):
        duties.run()

    assert len(done) == 5
    assert told == ['Worker one: failing failed and is tried again later: SystemExit: 3']


def test_a_callback_of_the_loop_may_raise_anything() -> None:
    raised: list[BaseException] = []
    with closing(Loop(raised.append)) as loop:
        loop.after(0.0, lambda: sys.exit(3))
        called: list[int] = []
        loop.after(0.0, lambda: called.append(1))
        loop.run_once(0.1)

    assert called == [1]
    assert [type(error) for error in raised] == [SystemExit]


@pytest.mark.parametrize(
    ('report', 'stop_reason', 'verdict'),
    [
        (Report('written'), '', Verdict.WRITTEN),
        (Report('written'), 'stopped', Verdict.WRITTEN),
        (Report('success'), 'its worker stopped', Verdict.SUCCESS),
        (Report('tried'), '', Verdict.FAILURE),
        (Report('tried'), 'stopped', Verdict.STOPPED),
        (None, 'stopped', Verdict.STOPPED),
        (None, 'its worker stopped', Verdict.ABANDONED),
        (None, '', Verdict.CRASHED),
    ],
)
def test_what_an_end_means(report: Report | None, stop_reason: str, verdict: Verdict) -> None:
    assert judge(report, stop_reason) is verdict


def test_pauses_grow_and_have_an_end() -> None:
    assert [pause_before_rerun(crashes) for crashes in range(5)] == [0.0, 0.0, 1.0, 2.0, 4.0]
    assert pause_before_rerun(50) == 60.0
    backoff = Backoff(0.1, 1.0)
    assert [backoff.next() for _ in range(5)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])

"""However a job leaves its process, what it returned or raised is what is written down, once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import process_jobs
import pytest
import worker_jobs
from rq import Callback, Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Job, JobStatus

from rq_leveldb.worker.mailbox import Mailbox, Report, Slot
from tests.until import until
from tests.worker.support import Workers, family, stop_again, work

_NEEDS_ROOT = {'drops its rights', 'changes its root'}


@pytest.mark.parametrize('change', process_jobs.CHANGES)
def test_a_job_that_changes_its_process_ends_as_it_ends(change: str, queue: Queue) -> None:
    if change in _NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip('only root can do that')
    small = queue.enqueue(process_jobs.small, change)
    large = queue.enqueue(process_jobs.large, change)
    fails = queue.enqueue(process_jobs.fails, change)
    called = queue.enqueue(process_jobs.small, change, on_success=Callback(process_jobs.succeeded))

    work(queue, max_children=2)

    assert small.return_value() == 'result'
    assert large.return_value() == 'x' * 200_000
    assert fails.get_status() == JobStatus.FAILED
    assert "KeyError: 'the true reason'" in fails.latest_result().exc_string
    assert called.get_status() == JobStatus.FINISHED
    assert queue.started_job_registry.get_job_ids(cleanup=False) == []


@pytest.mark.parametrize('how', ['forks_and_both_return', 'forks_and_copy_raises', 'forks_and_copy_exits'])
def test_a_copy_of_a_job_has_no_say(how: str, queue: Queue) -> None:
    job = queue.enqueue(getattr(process_jobs, how), 0.3)

    work(queue)

    assert job.get_status() == JobStatus.FINISHED
    assert job.return_value() == 'the job'
    assert len(job.results()) == 1


def test_a_failure_is_known_although_its_callback_ends_the_process(queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.fail, on_failure=Callback(process_jobs.raises_exit))

    work(queue)

    assert job.get_status() == JobStatus.FAILED
    assert 'ValueError: as expected' in job.latest_result().exc_string


def test_an_after_fork_function_that_fails_says_why(workers: Workers, queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.nothing)
    worker = workers.launch('--after-fork', 'worker_jobs.failing_hook', '--burst')
    worker.wait(60)

    assert job.get_status() == JobStatus.FAILED
    assert 'RuntimeError: the hook failed' in job.latest_result().exc_string


def test_a_job_can_stop_its_worker(workers: Workers, queue: Queue) -> None:
    worker = workers.start()

    job = queue.enqueue(process_jobs.stops_its_worker)

    assert worker.wait(30) == 0
    assert job.return_value() == 'asked'


def test_a_process_that_ends_without_a_word_counts_as_crashed(queue: Queue, tmp_path: Path) -> None:
    traces = tmp_path / 'traces'
    job = queue.enqueue(process_jobs.exits_at_once, str(traces))
    neighbour = queue.enqueue(worker_jobs.nothing)

    # Each burst ends while the job waits for its turn.
    for _ in range(20):
        work(queue, requeue_abandoned=True, max_crashes=3)
        if job.get_status() == JobStatus.FAILED:
            break

    assert traces.read_text().count('x') == 3
    assert 'Poisonous job: it took its process down 3 times' in job.latest_result().exc_string
    assert neighbour.get_status() == JobStatus.FINISHED


def test_a_requeued_job_goes_behind_others_after_its_second_crash(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    traces = tmp_path / 'traces'
    job = queue.enqueue(process_jobs.exits_at_once, str(traces), meta={'tenant': 'a'})
    for _ in range(2):
        queue.enqueue(worker_jobs.append, str(traces), 'other')
    workers.start('--requeue-abandoned', '--max-crashes', '4', '--max-children', '1')

    until(lambda: job.get_status() == JobStatus.FAILED)

    assert traces.read_text().split() == ['x', 'x', 'other', 'other', 'x', 'x']
    assert len(worker_jobs.crashes_of(job)) == 4
    assert job.get_meta(refresh=True) == {'tenant': 'a'}


@pytest.mark.parametrize('how', ['worker', 'stop'])
def test_who_waits_for_an_abandoned_job_is_told(how: str, workers: Workers, queue: Queue, tmp_path: Path) -> None:
    notes, started = tmp_path / 'notes', tmp_path / 'started'
    options = ('--exception-handler', 'process_jobs.handler', '--max-children', '1')
    first = workers.start(*options)
    job = queue.enqueue(
        worker_jobs.wait_for,
        str(tmp_path / 'gate'),
        str(started),
        meta={'notes': str(notes)},
        on_failure=Callback(process_jobs.failed),
    )
    until(started.exists)

    if how == 'worker':
        first.kill()
        first.wait()
        second = workers.start(*options, name='two')
    else:
        first.send_signal(signal.SIGTERM)
        until(lambda: queue.connection.hget('rq:worker:one', 'shutdown_requested_date'))
        until(lambda: stop_again(first))
        second = first

    until(lambda: job.get_status() == JobStatus.FAILED)
    told = until(lambda: notes.exists() and len(notes.read_text().splitlines()) == 2 and notes.read_text())
    kinds = [line.split()[:2] for line in told.splitlines()]
    assert kinds == [['on_failure', 'AbandonedJobError'], ['handler', 'AbandonedJobError']]
    # The application's code runs in a child.
    assert {int(line.split()[2]) for line in told.splitlines()}.isdisjoint({first.pid, second.pid, os.getpid()})


@pytest.mark.parametrize('callback', [process_jobs.stopped_and_exits, process_jobs.stopped_and_sleeps])
def test_a_stopped_callback_holds_up_nobody(
    callback: Callable[..., Any], workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    notes, started = tmp_path / 'notes', tmp_path / 'started'
    worker = workers.start('--max-children', '2')
    job = queue.enqueue(
        worker_jobs.wait_for,
        str(tmp_path / 'gate'),
        str(started),
        meta={'notes': str(notes)},
        on_stopped=Callback(callback),
    )
    until(started.exists)

    send_stop_job_command(queue.connection, job.id)
    until(notes.exists)
    neighbour = queue.enqueue(worker_jobs.nothing)

    until(lambda: neighbour.get_status() == JobStatus.FINISHED, 2.5)
    until(lambda: job.get_status() == JobStatus.STOPPED)
    assert worker.poll() is None
    assert int(notes.read_text().split()[1]) != worker.pid


def test_a_stopped_forker_does_not_keep_a_worker_from_stopping(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    started = tmp_path / 'started'
    worker = workers.start('--grace', '0.2')
    job = queue.enqueue(worker_jobs.wait_for, str(tmp_path / 'gate'), str(started))
    until(started.exists)
    forker = family(worker.pid)[0]
    forker.suspend()

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(30) == 0
    assert job.get_status() == JobStatus.FAILED


def test_blocked_signals_of_whoever_starts_a_worker_do_not_matter(workers: Workers, queue: Queue) -> None:
    blocked = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        worker = workers.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)

    jobs = [queue.enqueue(worker_jobs.nothing) for _ in range(5)]

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


@pytest.mark.parametrize('megabytes', [40, 70])
def test_a_job_of_any_size_ends_and_so_do_the_others(megabytes: int, queue: Queue) -> None:
    first = queue.enqueue(worker_jobs.nothing)
    large = queue.enqueue(process_jobs.size, os.urandom(megabytes * 1_000_000))
    result = queue.enqueue(process_jobs.make, megabytes * 1_000_000)
    last = queue.enqueue(worker_jobs.nothing)

    work(queue, max_children=2)

    assert large.return_value() == megabytes * 1_000_000
    assert len(cast(bytes, result.return_value())) == megabytes * 1_000_000
    assert {first.get_status(), last.get_status()} == {JobStatus.FINISHED}


def test_a_large_job_that_crashes_is_retried_whole(queue: Queue, tmp_path: Path) -> None:
    traces = tmp_path / 'traces'
    job = queue.enqueue(worker_jobs.crash_first, str(traces), os.urandom(300_000), retry=Retry(max=1), on_failure=None)

    work(queue)

    assert Job.fetch(job.id, connection=queue.connection).return_value() == 300_000


def test_what_is_said_in_a_mailbox_is_read_whole_or_not_at_all() -> None:
    mailbox = Mailbox()
    slot = Slot(os.dup(mailbox.descriptor))
    assert mailbox.read() is None

    said = Report('success', 1.0, 2.0, result=b'\x00result', usage={'cpu': 1.5}, module='app.tasks')
    assert slot.say(said)
    assert mailbox.read() == said
    assert slot.say(Report('written'))
    assert mailbox.read() == Report('written')
    os.pwrite(mailbox.descriptor, b'\xff' * 64, 0)
    assert mailbox.read() is None
    mailbox.close()

"""Processes that die: no job is lost, none goes on running, and none waits for a time-out."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Queue, Retry
from rq.job import Job, JobStatus

from rq_leveldb.process import identify
from rq_leveldb.worker.ending import Fate, decide
from rq_leveldb.worker.liveness import Life, identity_fields, judge
from rq_leveldb.worker.name_lock import NameLocks
from tests.until import until
from tests.worker.support import Workers, family, is_running, start_job


def test_children_die_with_their_worker(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--max-children', '3')
    _, _, pid = start_job(queue, tmp_path)
    processes = [process.pid for process in family(worker.pid)]
    assert pid in processes

    worker.kill()

    until(lambda: not any(is_running(one) for one in processes), 5)


def test_a_run_that_ended_takes_nothing_from_the_one_that_goes_on(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    connection: Any = queue.connection
    workers.start(name='one')
    job, gate, child = start_job(queue, tmp_path)
    dead = {**identity_fields(identify(), locked=True), 'pid': '1', 'started': '1', 'birth': '2026-01-01T00:00:00Z'}
    connection.hset('rq:worker:dead', mapping=dead)
    connection.sadd('rq:worker:dead:executions', f'{job.id}:an-older-one')
    connection.sadd('rq:workers', 'rq:worker:dead')

    until(lambda: not connection.exists('rq:worker:dead'))

    assert is_running(child)
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert len(job.results()) == 1


def test_whoever_recovers_a_job_keeps_no_trace_of_the_old_run(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    first = workers.start(name='one')
    job, gate, child = start_job(queue, tmp_path, retry=Retry(max=1))
    (old,) = (execution.composite_key for execution in job.get_executions())
    first.kill()
    until(lambda: not is_running(child))

    workers.start(name='two')
    key = 'rq:worker:two:executions'
    (new,) = until(lambda: {member.decode() for member in queue.connection.smembers(key)} - {old})
    assert queue.connection.smembers(key) == {new.encode()}
    gate.touch()

    until(lambda: job.get_status() == JobStatus.FINISHED)
    until(lambda: not queue.connection.smembers(key))


def test_the_next_worker_recovers_within_a_second(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start()
    retried, gate, _ = start_job(queue, tmp_path, retry=Retry(max=1))
    failed, _, _ = start_job(queue, tmp_path)
    worker.kill()
    worker.wait()
    gate.touch()

    process = workers.launch(name='two')
    until(lambda: workers.state('two'))
    listening = time.monotonic()
    until(lambda: retried.get_status() == JobStatus.FINISHED)
    until(lambda: failed.get_status() == JobStatus.FAILED)

    assert time.monotonic() - listening < 1.5
    assert 'Worker one died' in failed.latest_result().exc_string
    assert 'recovering its jobs' in workers.stop(process)
    assert queue.started_job_registry.count == 0
    assert not queue.connection.exists('rq:worker:one', 'rq:worker:one:executions')


def test_a_live_worker_recovers_within_a_second(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    first = workers.start('--max-children', '1', name='one')
    job, gate, child = start_job(queue, tmp_path, retry=Retry(max=1))
    workers.start(name='two')

    first.kill()
    killed = time.monotonic()
    until(lambda: not is_running(child))
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)

    assert job.latest_result().worker_name == 'two'
    assert time.monotonic() - killed < 2


def test_the_same_name_can_be_used_again_at_once(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start(name='one').kill()

    until(lambda: workers.state('one'))
    workers.start(name='one')

    job = queue.enqueue(worker_jobs.add, 1, 1)
    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_a_worker_that_died_in_the_middle_of_a_retry(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start()
    job, gate, _ = start_job(queue, tmp_path, retry=Retry(max=1, interval=1))
    # The first of RQ's two steps.
    queue.connection.hset(job.key, 'status', 'scheduled')
    worker.kill()
    worker.wait()
    gate.touch()

    workers.start(name='two')

    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_requeue_abandoned(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--max-children', '1', '--requeue-abandoned')
    job, gate, _ = start_job(queue, tmp_path)
    other = queue.enqueue(worker_jobs.append, str(tmp_path / 'trace'))
    worker.kill()
    worker.wait()

    workers.start('--max-children', '1', '--requeue-abandoned', name='two')
    until(lambda: job.get_status() == JobStatus.STARTED and job.get_status())
    assert other.get_status() == JobStatus.QUEUED
    gate.touch()

    until(lambda: other.get_status() == JobStatus.FINISHED)
    assert job.return_value() == 'seen'


def test_a_job_that_takes_its_process_down_is_not_tried_for_ever(workers: Workers, queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.segfault)
    worker = workers.start('--requeue-abandoned', '--max-crashes', '3')

    until(lambda: job.get_status() == JobStatus.FAILED)

    text = job.latest_result().exc_string
    assert 'Poisonous job' in text
    assert text.count('SIGSEGV: segmentation fault') == 3
    assert worker.poll() is None


def test_crashes_count_only_in_a_row(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--requeue-abandoned', '--max-crashes', '2')
    job, gate, pid = start_job(queue, tmp_path)

    os.kill(pid, signal.SIGKILL)
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)

    assert queue.connection.hget(job.key, 'crashes') == b'[]'
    assert worker.poll() is None


@pytest.mark.parametrize(
    ('function', 'words'),
    [
        (worker_jobs.segfault, 'SIGSEGV: segmentation fault'),
        ((worker_jobs.leave, 0), 'exited with code 0 without finishing'),
        ((worker_jobs.leave, 3), 'exited with code 3 without finishing'),
    ],
)
def test_an_end_is_explained(workers: Workers, queue: Queue, function: Any, words: str) -> None:
    job = queue.enqueue(*function) if isinstance(function, tuple) else queue.enqueue(function)
    workers.start()

    until(lambda: job.get_status() == JobStatus.FAILED)

    assert words in job.latest_result().exc_string


def test_a_killed_child_uses_up_a_retry(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start()
    job, gate, pid = start_job(queue, tmp_path, retry=Retry(max=2))

    os.kill(pid, signal.SIGKILL)
    gate.touch()

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert Job.fetch(job.id, connection=queue.connection).retries_left == 1


def test_a_waiting_child_that_is_killed_costs_no_job(workers: Workers, queue: Queue) -> None:
    worker = workers.start('--max-children', '2')
    children = until(lambda: [one for one in family(worker.pid) if not one.children()])
    for child in children:
        child.kill()
    # One that is still about to die could be given a job, which would then have crashed.
    until(lambda: not any(is_running(child.pid) for child in children))

    jobs = [queue.enqueue(worker_jobs.add, number, 0) for number in range(4)]

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))


def test_the_process_that_forks_may_be_killed(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--max-children', '2')
    job, gate, pid = start_job(queue, tmp_path, retry=Retry(max=1))
    (forker,) = [one for one in family(worker.pid) if pid in [child.pid for child in one.children()]]

    forker.kill()
    gate.touch()

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert not is_running(pid)
    assert worker.poll() is None


@pytest.mark.needs_store('it kills the server, which nobody starts again')
def test_the_store_may_be_killed_while_jobs_run(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    worker = workers.start('--max-children', '3')
    job, gate, _ = start_job(queue, tmp_path)
    failing = queue.enqueue(worker_jobs.fail_until, str(tmp_path / 'tries'), 1, retry=Retry(max=1))
    until(lambda: failing.get_status() == JobStatus.FINISHED)
    store = queue.connection.info('server')['process_id']

    os.kill(store, signal.SIGKILL)
    gate.touch()

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert Job.fetch(job.id, connection=queue.connection).return_value() == 'seen'
    after = queue.enqueue(worker_jobs.add, 1, 2)
    until(lambda: after.get_status() == JobStatus.FINISHED)
    assert worker.poll() is None


def test_a_live_workers_jobs_are_left_alone(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    workers.start(name='one')
    job, gate, pid = start_job(queue, tmp_path)

    workers.start(name='two')
    time.sleep(1.5)

    assert job.get_status() == JobStatus.STARTED
    assert is_running(pid)
    gate.touch()
    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_a_job_caught_between_queue_and_start_goes_back(workers: Workers, queue: Queue) -> None:
    connection = queue.connection
    job = queue.enqueue(worker_jobs.add, 1, 2)
    connection.lmove(queue.key, queue.intermediate_queue_key)
    connection.hset('rq:worker:gone:claims', job.id, queue.key)
    died: dict[Any, Any] = {**identity_fields(identify()), 'pid': '1', 'started': 'then', 'queues': 'default'}
    connection.hset('rq:worker:gone', mapping=died)
    connection.sadd('rq:workers', 'rq:worker:gone')

    workers.start()

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert queue.intermediate_queue.get_job_ids() == []


def test_a_reused_pid_is_not_the_worker(tmp_path: Path) -> None:
    locks = NameLocks(tmp_path)
    fields = {'pid': str(os.getpid()), **identity_fields(identify())}

    for place in (locks, None):
        assert judge('one', fields, place) is Life.ALIVE
        assert judge('one', {**fields, 'started': 'earlier'}, place) is Life.DEAD
        assert judge('one', {**fields, 'started': 'earlier', 'pid_namespace': 'a container'}, place) is Life.UNKNOWN
        assert judge('one', {**fields, 'pid': 'x\\xff'}, place) is Life.UNKNOWN
        assert judge('one', {'pid': '1'}, place) is Life.UNKNOWN, "RQ's own worker does not say enough"


def test_another_boot_is_a_reboot_on_a_store_and_another_host_on_redis(tmp_path: Path) -> None:
    fields = {'pid': str(os.getpid()), **identity_fields(identify()), 'boot_id': 'another boot'}

    assert judge('one', fields, NameLocks(tmp_path)) is Life.DEAD
    assert judge('one', fields, None) is Life.UNKNOWN


def test_what_becomes_of_an_abandoned_job() -> None:
    assert decide(crashes=1, max_crashes=3, requeue=False) is Fate.SETTLED
    assert decide(crashes=2, max_crashes=3, requeue=True) is Fate.REQUEUED
    assert decide(crashes=3, max_crashes=3, requeue=True) is Fate.POISONOUS
    assert decide(crashes=0, max_crashes=1, requeue=True) is Fate.REQUEUED

"""Whatever a record holds, that job fails with a reason or is set aside, and its neighbours finish."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import worker_jobs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq import Callback, Queue, Repeat, Retry
from rq.job import Job, JobStatus

from rq_leveldb.unreadable import read_aside
from tests.until import until
from tests.worker.support import Workers, work

FIELDS = (
    *('created_at', 'data', 'success_callback_name', 'failure_callback_name', 'stopped_callback_name', 'started_at'),
    *('ended_at', 'last_heartbeat', 'worker_name', 'group_id', 'number_of_retries', 'retries_left', 'retry_intervals'),
    *('enqueue_at_front_on_retry', 'origin', 'description', 'enqueued_at', 'repeats_left', 'repeat_intervals'),
    *('rate_limit_key', 'rate_limit_concurrency', 'result', 'exc_info', 'timeout', 'success_callback_timeout'),
    *('failure_callback_timeout', 'stopped_callback_timeout', 'webhooks', 'result_ttl', 'failure_ttl', 'status'),
    *('dependency_id', 'dependency_ids', 'meta', 'ttl', 'allow_dependency_failures', 'enqueue_at_front', 'usage'),
    *('crashes', 'of_another_program'),
)
VALUES = (b'', b'\xff\xfe', b'abc', b'2.0', b'-1', b'{', b'[1]', b'{"a": 1}', b'9' * 30, b'null', b'\x80\x04.')
KEYS = ('rq:job:{job}', 'rq:executions:{job}', 'rq:results:{job}', 'rq:job:{job}:dependents')
ENDED = (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.SCHEDULED, JobStatus.QUEUED)


def status_of(job: Job) -> str:
    value = job.connection.hget(job.key, 'status')
    return value.decode() if value else ''


def is_left_over(queue: Queue, job: Job) -> bool:
    """Say whether a job is still taken for running."""
    members: Any = queue.connection.zrange(queue.started_job_registry.key, 0, -1)
    return any(member.startswith(job.id.encode()) for member in members)


def test_any_field_may_hold_anything(queue: Queue) -> None:
    broken: list[tuple[Job, str, bytes]] = []
    neighbours: list[Job] = []
    for field in FIELDS:
        for value in VALUES:
            function = worker_jobs.nothing if len(broken) % 2 else worker_jobs.fail
            job = queue.enqueue(function, retry=Retry(max=1) if len(broken) % 3 == 0 else None)
            queue.connection.hset(job.key, field, value)
            broken.append((job, field, value))
        neighbours.append(queue.enqueue(worker_jobs.add, len(broken), 1))

    worker = work(queue, max_children=4)

    assert not worker.broken
    assert [job.get_status() for job in neighbours] == [JobStatus.FINISHED] * len(FIELDS)
    for job, field, value in broken:
        assert not is_left_over(queue, job), (field, value)
        assert status_of(job) in {status.value for status in ENDED}, (field, value)


@pytest.mark.parametrize(
    ('field', 'value'),
    [('timeout', b'soon'), ('retries_left', b'2.0'), ('created_at', b'yesterday'), ('description', b'\xff')],
)
def test_the_reason_says_which_field_and_what_it_holds(queue: Queue, field: str, value: bytes) -> None:
    job = queue.enqueue(worker_jobs.nothing)
    queue.connection.hset(job.key, field, value)

    work(queue)

    failed = Job.fetch(job.id, connection=queue.connection)
    assert failed.get_status() == JobStatus.FAILED
    assert f"field '{field}' cannot be read: {repr(value)[1:]} (" in failed.latest_result().exc_string
    assert job.id in queue.failed_job_registry
    # It can be run again: what could not be read is gone.
    queue.failed_job_registry.requeue(job.id)
    work(queue)
    assert Job.fetch(job.id, connection=queue.connection).get_status() == JobStatus.FINISHED


def test_what_rqs_own_interface_writes_and_cannot_read(queue: Queue) -> None:
    jobs = [
        queue.enqueue(worker_jobs.fail, retry=Retry(max=2.0)),  # type: ignore[arg-type]
        queue.enqueue(worker_jobs.nothing, repeat=Repeat(times=2.0)),  # type: ignore[arg-type]
        queue.enqueue(worker_jobs.nothing, description=b'\xff'),
    ]
    timed = queue.enqueue(worker_jobs.nothing)
    timed.timeout = 1.5
    timed.save()
    neighbour = queue.enqueue(worker_jobs.add, 1, 1)

    work(queue)

    assert neighbour.return_value() == 2
    assert {status_of(job) for job in (*jobs, timed)} == {'failed'}


@pytest.mark.parametrize('key', KEYS)
def test_a_key_of_another_type_is_set_aside(queue: Queue, key: str) -> None:
    job = queue.enqueue(worker_jobs.nothing)
    neighbour = queue.enqueue(worker_jobs.add, 1, 1)
    name = key.format(job=job.id)
    queue.connection.delete(name)
    queue.connection.set(name, 'of another type')

    worker = work(queue)

    assert not worker.broken
    assert neighbour.return_value() == 2
    assert not is_left_over(queue, job)
    if name == job.key:
        assert [entry.key for entry in read_aside(queue.connection)] == [name]
    else:
        assert status_of(job) in ('failed', 'finished')


@pytest.mark.parametrize('key', ['rq:queue:broken', 'rq:wip:broken'])
def test_a_queue_that_cannot_be_used_does_not_stop_another(workers: Workers, queue: Queue, key: str) -> None:
    waiting = Queue('broken', connection=queue.connection).enqueue(worker_jobs.nothing)
    if key == 'rq:queue:broken':
        queue.connection.delete(key)
    queue.connection.set(key, 'of another type')
    worker = workers.start('broken', 'default')

    job = queue.enqueue(worker_jobs.add, 1, 1)

    until(lambda: job.get_status() == JobStatus.FINISHED)
    assert waiting.get_status() == JobStatus.QUEUED
    assert worker.poll() is None
    # When it is mended it goes on.
    queue.connection.delete(key)
    if key == 'rq:queue:broken':
        queue.connection.rpush(key, waiting.id)
    until(lambda: waiting.get_status() == JobStatus.FINISHED)
    workers.stop(worker)
    assert worker.returncode == 0


@pytest.mark.parametrize('what', ['execution', 'job', 'worker', 'executions of the worker', 'output'])
@pytest.mark.parametrize('how', ['gone', 'of another type', 'half'])
def test_what_happens_to_records_of_a_running_job_ends_nothing(
    what: str, how: str, workers: Workers, queue: Queue, tmp_path: Any
) -> None:
    started, gate = tmp_path / 'started', tmp_path / 'gate'
    worker = workers.start('--job-monitoring-interval', '1', '--capture-output')
    job = queue.enqueue(worker_jobs.wait_for, str(gate), str(started))
    until(started.exists)
    (execution,) = job.get_executions()
    key = {
        'execution': execution.key,
        'job': job.key,
        'worker': 'rq:worker:one',
        'executions of the worker': 'rq:worker:one:executions',
        'output': f'rq:output:{job.id}',
    }[what]
    queue.connection.delete(key)
    if how == 'of another type':
        queue.connection.lpush(key, 'of another type')
    elif how == 'half':
        queue.connection.hset(key, 'half', 'a record')

    neighbour = queue.enqueue(worker_jobs.sleep, 1.5)
    until(lambda: neighbour.get_status() == JobStatus.FINISHED)
    gate.touch()
    after = queue.enqueue(worker_jobs.nothing)
    until(lambda: after.get_status() == JobStatus.FINISHED)

    until(lambda: not is_left_over(queue, job))
    assert worker.poll() is None
    if what != 'job':
        until(lambda: job.get_status() in (JobStatus.FINISHED, JobStatus.FAILED))
    workers.stop(worker)
    assert worker.returncode == 0


def test_a_dependent_that_cannot_be_read_keeps_no_other_waiting(queue: Queue) -> None:
    first = queue.enqueue(worker_jobs.nothing)
    broken = queue.enqueue(worker_jobs.nothing, depends_on=first)
    good = queue.enqueue(worker_jobs.add, 1, 1, depends_on=first)
    called = queue.enqueue(worker_jobs.nothing, on_success=Callback(worker_jobs.nothing_called))
    of_called = queue.enqueue(worker_jobs.add, 1, 1, depends_on=called)
    broken_of_called = queue.enqueue(worker_jobs.nothing, depends_on=called)
    for job in (broken, broken_of_called):
        queue.connection.hset(job.key, 'timeout', 'soon')

    work(queue)

    assert good.return_value() == of_called.return_value() == 2
    assert first.get_status() == called.get_status() == JobStatus.FINISHED
    assert {status_of(broken), status_of(broken_of_called)} == {'failed'}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.sampled_from(FIELDS), st.binary(max_size=12)), min_size=1, max_size=4))
def test_random_fields_with_random_bytes(queue: Queue, changes: list[tuple[str, bytes]]) -> None:
    broken = queue.enqueue(worker_jobs.nothing)
    neighbour = queue.enqueue(worker_jobs.add, 1, 1)
    for field, value in changes:
        queue.connection.hset(broken.key, field, value)

    worker = work(queue)

    assert not worker.broken
    assert neighbour.return_value() == 2
    assert not is_left_over(queue, broken)
    assert status_of(broken) in {status.value for status in ENDED}


def test_a_serial_that_lies_is_no_reason_to_stop(queue: Queue) -> None:
    # zlib's header, and then something else.
    job = queue.enqueue(worker_jobs.nothing)
    queue.connection.hset(job.key, 'data', b'x\x9c' + struct.pack('>Q', 7))

    work(queue)

    assert status_of(job) == 'failed'

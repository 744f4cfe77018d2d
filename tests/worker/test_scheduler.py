"""Scheduled jobs: enqueued when their time has come, each once, whatever state the others are in."""

from __future__ import annotations

import itertools
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import worker_jobs
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import FailedJobRegistry, ScheduledJobRegistry
from rq.scheduler import RQScheduler

from rq_leveldb.unreadable import read_aside
from rq_leveldb.worker import Worker
from rq_leveldb.worker.ready import enqueue_ready
from rq_leveldb.worker.scheduler import InProcessScheduler
from tests.until import until
from tests.worker.support import Workers, fields_of, site_of

PAST = datetime(2026, 1, 1, tzinfo=timezone.utc)


def schedule(queue: Queue, when: datetime = PAST, **options: Any) -> Job:
    job: Job = queue.enqueue_at(when, worker_jobs.add, 1, 2, **options)
    return job


def scheduler(connection: Any, *names: str) -> InProcessScheduler:
    worker = Worker(list(names) or ['default'], connection=connection)
    made = InProcessScheduler(worker.queues, connection=connection, logging_level='CRITICAL', name=worker.name)
    made.use(site_of(worker))
    made.begin()
    return made


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'ttl': 500, 'job_timeout': 30, 'description': 'a description', 'meta': {'a': 1}},
        {'retry': Retry(max=3, interval=[1, 2])},
        {'at_front': True},
        {'rate_limit': RateLimit('tenant', 1)},
        {'rate_limit': RateLimit('tenant', 1), 'at_front': True},
    ],
)
def test_what_is_enqueued_is_what_rq_enqueues(either: Any, options: dict[str, Any]) -> None:
    queue = Queue(connection=either)
    queue.push_job_id('somebody else')
    theirs = RQScheduler(['default'], connection=either, logging_level='CRITICAL')
    theirs._connection = either
    theirs._acquired_locks = {'default'}
    found = []
    for enqueue in (theirs.enqueue_scheduled_jobs, scheduler(either).step):
        job = schedule(queue, job_id='one', **options)
        job.created_at = PAST
        job.save()
        enqueue()
        allowed = RateLimitRegistry('tenant', either).get_allowed_job_ids()
        found.append((fields_of(job), queue.get_job_ids(), either.ttl(job.key), allowed))
        assert not either.exists(queue.scheduled_job_registry.key)
        job.refresh()
        job.delete()

    assert found[0] == found[1]
    assert found[1][0][b'status'] == b'queued'


def test_what_is_not_due_stays(either: Any) -> None:
    queue = Queue(connection=either)
    later = schedule(queue, datetime.now(timezone.utc) + timedelta(hours=1))
    due = schedule(queue)

    scheduler(either).step()

    assert queue.get_job_ids() == [due.id]
    assert queue.scheduled_job_registry.get_job_ids() == [later.id]


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('status', b'no such thing'),
        ('ttl', b'1.5'),
        ('timeout', b'\xff'),
        ('enqueue_at_front', b''),
        ('rate_limit_concurrency', b'2.0'),
    ],
)
def test_an_unreadable_job_fails_and_the_others_are_enqueued(either: Any, field: str, value: bytes) -> None:
    queue, other = Queue(connection=either), Queue('other', connection=either)
    jobs = [schedule(queue) for _ in range(250)]
    elsewhere = schedule(other)
    either.hset(jobs[1].key, field, value)

    scheduler(either, 'default', 'other').step()

    assert set(queue.get_job_ids()) == {job.id for job in jobs} - {jobs[1].id}
    assert other.get_job_ids() == [elsewhere.id]
    assert FailedJobRegistry(queue=queue).get_job_ids() == [jobs[1].id]
    assert f"field '{field}' cannot be read" in jobs[1].latest_result().exc_string
    assert not either.exists(queue.scheduled_job_registry.key)


def test_entries_without_a_job_go(either: Any) -> None:
    queue = Queue(connection=either)
    gone, half = schedule(queue), schedule(queue)
    either.delete(gone.key)
    either.hdel(half.key, 'data')
    either.zadd(queue.scheduled_job_registry.key, {b'\xff': 1})

    scheduler(either).step()

    assert not queue.get_job_ids()
    assert not either.exists(queue.scheduled_job_registry.key)
    assert not either.exists(gone.key)


def test_keys_of_another_type_stop_their_own_queue_alone(either: Any) -> None:
    good = Queue('good', connection=either)
    either.set(ScheduledJobRegistry('bad', connection=either).key, 'x')
    either.rpush(RQScheduler.get_locking_key('bad'), 'x')
    job = schedule(good)
    odd = schedule(good)
    either.delete(odd.key)
    either.set(odd.key, 'x')
    made = scheduler(either, 'bad', 'good')

    for _ in range(2):
        made.step()

    assert good.get_job_ids() == [job.id]
    assert {aside.key for aside in read_aside(either)} == {'rq:scheduled:bad', odd.key}


def test_two_schedulers_at_once_enqueue_each_job_once(either: Any) -> None:
    queue = Queue(connection=either)
    limit = RateLimit('tenant', 1000)
    for number in range(300):
        schedule(queue, rate_limit=limit if number % 10 == 0 else None)
    # As after a jump of the clock: each takes the locks for its own.
    made = [scheduler(either) for _ in range(3)]
    for one in made:
        one._acquired_locks = {'default'}

    threads = [threading.Thread(target=one.enqueue_scheduled_jobs) for one in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(queue.get_job_ids()) == len(set(queue.get_job_ids())) == 300


def test_a_worker_goes_on_beside_what_it_cannot_read(workers: Workers, queue: Queue) -> None:
    bad = queue.enqueue_in(timedelta(seconds=1), worker_jobs.nothing)
    queue.connection.hset(bad.key, 'timeout', 'x')
    queue.connection.set(ScheduledJobRegistry('other', connection=queue.connection).key, 'x')
    worker = workers.start('default', 'other')
    good = queue.enqueue_in(timedelta(seconds=1), worker_jobs.nothing)

    until(lambda: good.get_status() == JobStatus.FINISHED)
    until(lambda: bad.get_status() == JobStatus.FAILED)

    said = workers.stop(worker)
    assert said.count('rq:scheduled:other is no sorted set') == 1
    assert worker.returncode == 0


FIELDS = [
    'allow_dependency_failures',
    'created_at',
    'data',
    'dependency_ids',
    'description',
    'ended_at',
    'enqueue_at_front',
    'enqueue_at_front_on_retry',
    'enqueued_at',
    'exc_info',
    'failure_callback_name',
    'failure_callback_timeout',
    'failure_ttl',
    'group_id',
    'last_heartbeat',
    'meta',
    'number_of_retries',
    'origin',
    'rate_limit_concurrency',
    'rate_limit_key',
    'repeat_intervals',
    'repeats_left',
    'result',
    'result_ttl',
    'retries_left',
    'retry_intervals',
    'started_at',
    'status',
    'success_callback_timeout',
    'timeout',
    'ttl',
    'webhooks',
    'worker_name',
]
VALUES = [b'', b'\xff\x00', b'-1', b'0', b'1.5', b'9' * 30, b'{"a": []}', b'inf', b'x' * 100_000]


@pytest.mark.parametrize('limited', [False, True])
def test_whatever_a_field_holds_the_neighbours_are_enqueued(redis: Any, limited: bool) -> None:
    queue = Queue(connection=redis)
    limit = {'rate_limit_key': 'tenant', 'rate_limit_concurrency': 1000} if limited else {}
    neighbours = []
    for field, value in itertools.product(FIELDS, VALUES):
        scheduled, ready = schedule(queue), queue.create_job(worker_jobs.nothing)
        ready.origin = queue.name
        ready.save()
        with redis.pipeline() as pipeline:
            queue.ready_job_registry.register_jobs([ready], pipeline)
            pipeline.execute()
        for job in (scheduled, ready):
            redis.hset(job.key, mapping={**limit, field: value})
        neighbours.append(schedule(queue))

    scheduler(redis).step()
    enqueue_ready(site_of(Worker([queue], connection=redis)))

    assert {job.id for job in neighbours} <= set(queue.get_job_ids())
    assert not redis.exists(queue.scheduled_job_registry.key, queue.ready_job_registry.key)

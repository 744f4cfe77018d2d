"""Dependents whose dependencies are met: on their queue at once, exactly as RQ would have put them there."""

from __future__ import annotations

import threading
from datetime import datetime, timezone
from typing import Any

import pytest
import worker_jobs
from rq import Callback, Queue, Retry
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import DeferredJobRegistry, FailedJobRegistry, ReadyJobRegistry

from rq_leveldb.unreadable import read_aside
from rq_leveldb.worker import Worker
from rq_leveldb.worker.ready import enqueue_ready
from tests.worker.support import Workers, fields_of, site_of


def make_ready(queue: Queue, job: Job) -> Job:
    """Leave a dependent where RQ leaves it when somebody else writes to the registry in between."""
    job.origin = queue.name
    job.save()
    queue.connection.sadd(Queue.redis_queues_keys, queue.key)
    with queue.connection.pipeline() as pipeline:
        queue.ready_job_registry.register_jobs([job], pipeline)
        pipeline.execute()
    return job


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'ttl': 500, 'timeout': 30, 'description': 'a description', 'meta': {'a': 1}},
        {'retry': Retry(max=3, interval=[1, 2]), 'on_success': Callback(worker_jobs.on_success)},
        {'at_front': True},
        {'again': True},
        {'no timeout': True},
    ],
)
def test_what_is_left_is_what_rq_leaves(either: Any, options: dict[str, Any]) -> None:
    queue = Queue(connection=either)
    worker = Worker([queue], connection=either)
    options = dict(options)
    at_front, again, without = (options.pop(name, None) for name in ('at_front', 'again', 'no timeout'))
    queue.push_job_id('somebody else')
    found = []
    for enqueue in (lambda: queue.ready_job_registry.cleanup(), lambda: enqueue_ready(site_of(worker))):
        job = queue.create_job(worker_jobs.add, (1, 2), job_id='one', **options)
        job.created_at = datetime(2026, 1, 1, tzinfo=timezone.utc)
        job.enqueue_at_front = at_front
        if again:
            job.enqueue_at_front_on_retry, job.ended_at = True, job.created_at
        if without:
            job.timeout = None
        make_ready(queue, job)
        either.sadd(job.dependencies_key, 'gone')
        enqueue()
        lifetimes = either.ttl(job.key), either.ttl(job.dependencies_key)
        found.append((fields_of(job), queue.get_job_ids(), lifetimes, queue.ready_job_registry.get_job_ids()))
        job.delete()

    assert found[0] == found[1]
    assert found[1][0][b'status'] == b'queued'


def test_a_rate_limited_dependent_waits_for_its_place(either: Any) -> None:
    queue = Queue(connection=either)
    limit = RateLimit('tenant', 1)
    jobs = [make_ready(queue, queue.create_job(worker_jobs.nothing, rate_limit=limit)) for _ in range(2)]

    assert enqueue_ready(site_of(Worker([queue], connection=either))) == 2

    (queued,) = queue.get_job_ids()
    (waiting,) = RateLimitRegistry('tenant', either).get_rate_limited_job_ids()
    assert {queued, waiting} == {job.id for job in jobs}
    assert Job.fetch(queued, connection=either).get_status() == JobStatus.QUEUED
    assert Job.fetch(waiting, connection=either).get_status() == JobStatus.RATE_LIMITED


def test_stale_entries_go_and_enqueue_nothing(either: Any) -> None:
    queue = Queue(connection=either)
    canceled = make_ready(queue, queue.create_job(worker_jobs.nothing))
    canceled.set_status(JobStatus.CANCELED)
    gone = make_ready(queue, queue.create_job(worker_jobs.nothing))
    either.delete(gone.key)
    without_status = make_ready(queue, queue.create_job(worker_jobs.nothing))
    either.hdel(without_status.key, 'status')

    enqueue_ready(site_of(Worker([queue], connection=either)))

    assert not queue.get_job_ids()
    assert not either.exists(queue.ready_job_registry.key)
    assert canceled.get_status() == JobStatus.CANCELED
    assert not either.exists(gone.key)


@pytest.mark.parametrize(
    ('field', 'value'),
    [('status', b'no such thing'), ('ttl', b'2.5'), ('timeout', b'\xff'), ('enqueue_at_front', b'x')],
)
def test_an_unreadable_dependent_fails_and_the_others_run(either: Any, field: str, value: bytes) -> None:
    queue = Queue(connection=either)
    before, bad, after = (make_ready(queue, queue.create_job(worker_jobs.nothing)) for _ in range(3))
    either.hset(bad.key, field, value)

    enqueue_ready(site_of(Worker([queue], connection=either)))

    assert sorted(queue.get_job_ids()) == sorted([before.id, after.id])
    assert FailedJobRegistry(queue=queue).get_job_ids() == [bad.id]
    assert bad.get_status() == JobStatus.FAILED
    assert f"field '{field}' cannot be read" in bad.latest_result().exc_string


def test_keys_of_another_type_are_set_aside(either: Any) -> None:
    odd, full, good = (Queue(name, connection=either) for name in ('odd', 'full', 'good'))
    worker = Worker([odd, full, good], connection=either)
    ready = make_ready(good, good.create_job(worker_jobs.nothing))
    either.set(odd.ready_job_registry.key, 'x')
    stuck = make_ready(full, full.create_job(worker_jobs.nothing))
    either.set(full.key, 'x')
    neighbour = make_ready(good, good.create_job(worker_jobs.nothing))
    either.delete(neighbour.key)
    either.set(neighbour.key, 'x')

    for _ in range(2):
        enqueue_ready(site_of(worker), ['odd', 'full', 'good'])

    assert good.get_job_ids() == [ready.id]
    assert stuck.get_status() == JobStatus.READY_TO_ENQUEUE
    assert {entry.key for entry in read_aside(either)} == {odd.ready_job_registry.key, full.key, neighbour.key}


def test_many_workers_at_once_enqueue_each_dependent_once(either: Any) -> None:
    queue = Queue(connection=either)
    limit = RateLimit('tenant', 1000)
    for number in range(150):
        make_ready(queue, queue.create_job(worker_jobs.nothing, rate_limit=limit if number % 3 == 0 else None))
    workers = [Worker([queue], connection=either) for _ in range(3)]

    threads = [threading.Thread(target=enqueue_ready, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(queue.get_job_ids()) == len(set(queue.get_job_ids())) == 150
    assert not either.exists(queue.ready_job_registry.key)


def test_nothing_ready_costs_one_round_trip(redis: Any) -> None:
    worker = Worker(['one'], connection=redis)
    names = [f'queue-{number}' for number in range(100)]
    before = redis.info()['total_commands_processed']

    assert enqueue_ready(site_of(worker), names) == 0

    # The question itself, and the one how many there were.
    assert redis.info()['total_commands_processed'] - before <= 2


def test_two_bursts_leave_no_dependent(workers: Workers, queue: Queue) -> None:
    firsts = [queue.enqueue(worker_jobs.nothing) for _ in range(200)]
    dependents = [queue.enqueue(worker_jobs.nothing, depends_on=first) for first in firsts for _ in range(2)]

    started = [workers.launch('--burst', '-m', '4', name=name) for name in ('one', 'two')]

    for process in started:
        process.communicate(timeout=100)
    assert [job.get_status() for job in dependents] == [JobStatus.FINISHED] * 400
    assert not len(DeferredJobRegistry(queue=queue))
    assert not queue.connection.exists(ReadyJobRegistry(queue=queue).key)


def test_a_burst_leaves_no_dependent_in_the_registry_of_another_queue(redis: Any) -> None:
    mine, other = Queue('mine', connection=redis), Queue('other', connection=redis)
    left = make_ready(mine, mine.create_job(worker_jobs.nothing))
    elsewhere = make_ready(other, other.create_job(worker_jobs.nothing))

    Worker([mine], connection=redis, max_children=1).work(burst=True, logging_level='CRITICAL')

    assert left.get_status() == JobStatus.FINISHED
    assert other.get_job_ids() == [elsewhere.id]

"""A paused queue: nothing is taken from it, whatever way jobs are started in, and all else goes on."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Queue as RQQueue
from rq.job import Job, JobStatus

from rq_leveldb import Queue, Worker
from tests.until import until
from tests.worker.support import Workers, start_job


class OwnStart(Worker):
    """Its jobs go through the intermediate queue."""

    def execute_job(self, job: Job, queue: RQQueue) -> None:
        super().execute_job(job, queue)


class OwnDequeue(Queue):
    """Its jobs are taken off by RQ's own method."""

    @classmethod
    def dequeue_any(cls, *args: Any, **options: Any) -> Any:
        return super().dequeue_any(*args, **options)


@pytest.mark.parametrize(
    ('worker_class', 'queue_class'), [(Worker, Queue), (OwnStart, Queue), (Worker, OwnDequeue)], ids=str
)
def test_a_burst_ends_when_only_paused_queues_have_jobs(
    either: Any, worker_class: type[Worker], queue_class: type[Queue]
) -> None:
    paused, other = (queue_class(name, connection=either) for name in ('paused', 'other'))
    paused.pause()
    waits, runs = (queue.enqueue(worker_jobs.nothing) for queue in (paused, other))

    def work() -> None:
        worker = worker_class([paused, other], connection=either, queue_class=queue_class, max_children=2)
        worker.work(burst=True, logging_level='WARNING')

    work()

    assert (waits.get_status(), runs.get_status()) == (JobStatus.QUEUED, JobStatus.FINISHED)
    assert paused.job_ids == [waits.id]
    paused.resume()
    work()
    assert waits.get_status() == JobStatus.FINISHED


def calls(connection: Any, name: str) -> int:
    return int(connection.info('commandstats').get(f'cmdstat_{name}', {}).get('calls', 0))


def test_all_else_goes_on_and_the_worker_rests(workers: Workers, redis: Any, tmp_path: Path) -> None:
    paused, other = (Queue(name, connection=redis) for name in ('paused', 'other'))
    workers.start('--max-children', '2', 'paused', 'other')
    running, gate, _ = start_job(paused, tmp_path)
    paused.pause()
    waiting = [paused.enqueue(worker_jobs.nothing), paused.enqueue_in(timedelta(0), worker_jobs.nothing)]
    gate.touch()
    runs = other.enqueue(worker_jobs.nothing)
    until(lambda: running.get_status() == runs.get_status() == JobStatus.FINISHED)
    # The scheduler brings a job into a paused queue, too.
    until(lambda: set(paused.job_ids) == {job.id for job in waiting})

    until(lambda: workers.state() == 'idle')
    before = calls(redis, 'evalsha')
    time.sleep(0.5)
    # One that looked again and again at what it may not take would do so hundreds of times.
    assert calls(redis, 'evalsha') - before < 10
    assert all(job.get_status() == JobStatus.QUEUED for job in waiting)

    paused.resume()

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in waiting))


def test_workers_are_told_that_a_queue_is_resumed(workers: Workers, redis: Any) -> None:
    queue = Queue(connection=redis)
    queue.pause()
    assert queue.is_paused
    assert redis.smembers('rq:queues') == {b'rq:queue:default'}
    workers.start()
    with redis.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe('rq:pubsub:one')
        listener.get_message(timeout=5)
        queue.resume()
        queue.resume()
        message = until(lambda: listener.get_message(timeout=5))
        assert json.loads(message['data']) == {'command': 'look'}
        assert listener.get_message(timeout=0) is None
    assert not queue.is_paused
    job = queue.enqueue(worker_jobs.nothing)
    until(lambda: job.get_status() == JobStatus.FINISHED)


def test_what_is_no_list_of_paused_queues_pauses_nothing(workers: Workers, redis: Any) -> None:
    redis.set('rq:paused-queues', 'something else')
    workers.start()
    job = Queue(connection=redis).enqueue(worker_jobs.nothing)
    until(lambda: job.get_status() == JobStatus.FINISHED)

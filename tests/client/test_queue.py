"""Our Queue writes a job in one transaction, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions as redis_py
from rq.job import Job, JobStatus

from rq_leveldb import Queue, Redis
from tests.client.support import pid_of


class Meanwhile(Queue):
    """A queue in which something happens, once, between the collecting of a transaction and its execution."""

    happens: Callable[[], object] | None = None

    def push_job_id(self, *args: Any, **options: Any) -> None:
        super().push_job_id(*args, **options)
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()


def transactions(redis: Redis) -> int:
    return int(redis.info('commandstats').get('cmdstat_exec', {}).get('calls', 0))


def finished(queue: Queue) -> Job:
    job = queue.enqueue('builtins.abs', -1)
    queue.remove(job)
    job.set_status(JobStatus.FINISHED)
    return job


@pytest.mark.parametrize('waits', [None, 'finished', 'queued'])
@pytest.mark.parametrize('at_front', [False, True])
def test_a_job_is_written_in_one_transaction(redis: Redis, waits: str | None, at_front: bool) -> None:
    queue = Queue(connection=redis)
    first = finished(queue) if waits == 'finished' else queue.enqueue('builtins.abs', -1)
    before = transactions(redis)

    job = queue.enqueue('builtins.abs', -2, depends_on=first if waits else None, at_front=at_front)

    # Job.fetch_many reads the dependencies in another one.
    assert transactions(redis) - before == (2 if waits else 1)
    if waits == 'queued':
        assert job.get_status() is JobStatus.DEFERRED
        assert queue.deferred_job_registry.get_job_ids() == [job.id]
        assert first.dependent_ids == [job.id]
    else:
        assert job.get_status() is JobStatus.QUEUED
        assert queue.job_ids[0 if at_front else -1] == job.id
    assert Queue.all(redis) == [queue]


def test_nothing_is_left_of_a_job_that_cannot_be_enqueued(redis: Redis) -> None:
    queue = Queue(connection=redis)
    with pytest.raises(Exception, match='local object'):
        queue.enqueue('builtins.abs', lambda: None)
    assert redis.keys() == []


def test_a_dependency_that_begins_again_meanwhile_is_waited_for(redis: Redis) -> None:
    queue = Meanwhile(connection=redis)
    first = finished(queue)
    queue.happens = lambda: first.set_status(JobStatus.QUEUED)

    job = queue.enqueue('builtins.abs', -2, depends_on=first)

    assert queue.happens is None
    assert job.get_status() is JobStatus.DEFERRED
    assert job.enqueued_at is None
    assert queue.job_ids == []
    assert queue.deferred_job_registry.get_job_ids() == [job.id]


def test_a_transaction_whose_reply_is_lost_is_not_repeated(store_dir: Path, redis: Redis) -> None:
    pid = pid_of(redis)
    first = finished(Queue(connection=redis))
    queue = Meanwhile(connection=Redis.from_url(f'leveldb://{store_dir}', socket_timeout=0.3))
    queue.happens = lambda: os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(redis_py.TimeoutError):
            queue.enqueue('builtins.abs', -2, job_id='once', depends_on=first)
    finally:
        os.kill(pid, signal.SIGCONT)

    redis.ping()
    assert redis.lrange(queue.key, 0, -1) in ([], [b'once'])


class Busy(Redis):
    """A client beside which somebody enqueues a job before each script."""

    def evalsha(self, *args: Any) -> Any:
        self.rpush('rq:queue:default', 'new')
        return super().evalsha(*args)


def test_a_queue_is_emptied_in_slices_even_while_others_enqueue(store_dir: Path, redis: Redis) -> None:
    queue = Queue(connection=redis)
    call = queue.prepare_data('builtins.abs', (-1,))
    jobs = queue.enqueue_many([call] * 700)
    queue.enqueue('builtins.abs', -2, depends_on=jobs[0])
    stays = Queue('other', redis).enqueue('builtins.abs', -3)

    removed = Queue(connection=Busy.from_url(f'leveldb://{store_dir}')).empty()

    assert removed == 700
    assert set(redis.lrange(queue.key, 0, -1)) == {b'new'}
    assert redis.exists(*[job.key for job in jobs], jobs[0].dependents_key) == 0
    assert redis.exists(stays.key) == 1

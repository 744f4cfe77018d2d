"""Fewer ended jobs are kept than RQ's lifetimes allow: the oldest go, with all that belongs to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import worker_jobs
from rq import Queue
from rq.job import Job, JobStatus
from rq.utils import now, utcformat

from rq_leveldb.records import output_key
from rq_leveldb.worker import Keep, Settings, Worker
from rq_leveldb.worker.retention import Retention
from tests.until import until
from tests.worker.support import Workers, site_of, work


def trim(*queues: Queue, finished: str = '', failed: str = '') -> None:
    settings = Settings(
        keep_finished=[Keep.parse(text) for text in finished.split()],
        keep_failed=[Keep.parse(text) for text in failed.split()],
    )
    Retention(site_of(Worker(queues, connection=queues[0].connection, settings=settings))).step()


def ended(queue: Queue, function: Any, count: int, hours: int = 0) -> list[Job]:
    """Return jobs that have ended, each an hour after the one before, the last one some hours ago."""
    jobs = [queue.enqueue(function, result_ttl=-1) for _ in range(count)]
    work(queue)
    for number, job in enumerate(reversed(jobs)):
        queue.connection.hset(job.key, 'ended_at', utcformat(now() - timedelta(hours=hours + number)))
    return jobs


def test_the_newest_are_kept_and_nothing_is_left_of_the_others(either: Any) -> None:
    queue = Queue(connection=either)
    jobs = ended(queue, worker_jobs.nothing, 5)
    either.set(output_key(jobs[0].id), 'printed')

    trim(queue, finished='2')

    assert set(queue.finished_job_registry.get_job_ids()) == {job.id for job in jobs[3:]}
    assert [key for job in jobs[:3] for key in either.keys(f'*{job.id}*')] == []
    assert all(job.latest_result() is not None for job in jobs[3:])


def test_a_time_and_a_queue_of_its_own(queue: Queue) -> None:
    other = Queue('other:one', connection=queue.connection)
    failed, finished = ended(queue, worker_jobs.fail, 3), ended(other, worker_jobs.nothing, 3, hours=10)

    trim(queue, other, failed='90m', finished='1d other:one:2 default:0')

    assert set(queue.failed_job_registry.get_job_ids()) == {job.id for job in failed[1:]}
    assert set(other.finished_job_registry.get_job_ids()) == {job.id for job in finished[1:]}


def test_a_size(either: Any) -> None:
    queue = Queue(connection=either)
    jobs = [*ended(queue, worker_jobs.nothing, 3, hours=10), *ended(queue, worker_jobs.nothing, 3)]
    for job in jobs:
        either.set(output_key(job.id), 'x' * 1_000_000)

    trim(queue, finished='4500KB')
    assert set(queue.finished_job_registry.get_job_ids()) == {job.id for job in jobs[2:]}
    trim(queue, finished='2GB')
    assert queue.finished_job_registry.count == 4
    trim(queue, finished='0kb')
    assert queue.finished_job_registry.count == 0


def test_a_job_is_kept_that_others_wait_for_or_that_was_put_back(queue: Queue) -> None:
    awaited, again, _ = ended(queue, worker_jobs.fail, 3)
    dependent = queue.enqueue(worker_jobs.nothing, depends_on=awaited)
    again.requeue()
    # As if it were still there: its entry may be read just before it is put back.
    queue.failed_job_registry.add(again)
    queue.connection.hset(again.key, 'status', 'queued')

    trim(queue, failed='0')

    assert set(queue.failed_job_registry.get_job_ids()) == {awaited.id, again.id}
    assert dependent.get_status() == JobStatus.DEFERRED
    assert queue.job_ids == [again.id]


def test_a_worker_removes_them_while_it_runs(workers: Workers, queue: Queue) -> None:
    jobs = ended(queue, worker_jobs.nothing, 3)

    worker = workers.start('--keep-finished', '1')

    until(lambda: queue.finished_job_registry.get_job_ids() == [jobs[2].id])
    assert 'removed 2 finished job(s) of queue default' in workers.stop(worker)


@pytest.mark.parametrize('text', ['many', '10x', '-1', ':', 'default:', ''])
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match='neither a number of jobs, such as 10000, nor a time'):
        Keep.parse(text)

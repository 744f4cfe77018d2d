"""A worker whose job was taken from it, since it was taken for dead, leaves what others decided as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Callback, Queue
from rq.job import Job, JobStatus

from rq_leveldb.worker import Worker
from rq_leveldb.worker.executions import drop_execution
from tests.until import until
from tests.worker.support import Workers, site_of


def taken_over(job: Job, queue: Queue, status: JobStatus) -> None:
    """Do to a job what the recovery in another worker does."""
    other = Worker([queue], connection=queue.connection, name='other')
    (execution,) = job.get_executions()
    drop_execution(site_of(other), job.id, queue.name, execution)
    job.set_status(status)
    if status == JobStatus.STARTED:
        queue.connection.hset(job.key, 'worker_name', 'other')


@pytest.mark.parametrize('status', [JobStatus.FAILED, JobStatus.QUEUED, JobStatus.STARTED])
@pytest.mark.parametrize(
    ('function', 'options'),
    [
        (worker_jobs.wait_for, {}),
        (worker_jobs.wait_for, {'on_success': Callback(worker_jobs.on_success)}),
        (worker_jobs.wait_and_fail, {}),
    ],
    ids=['success', 'with a callback', 'failure'],
)
def test_what_others_decided_stands(
    workers: Workers, queue: Queue, tmp_path: Path, status: JobStatus, function: Any, options: dict[str, Any]
) -> None:
    log, gate = tmp_path / 'log', tmp_path / 'gate'
    workers.launch('--max-children', '1', '--without-scheduler', log=log)
    job = queue.enqueue(function, str(gate), **options)
    until(lambda: job.get_status() == JobStatus.STARTED)
    until(lambda: job.get_executions())

    taken_over(job, queue, status)
    gate.touch()

    until(lambda: 'was taken over by another worker' in log.read_text())
    after = queue.enqueue(worker_jobs.add, 1, 2)
    until(lambda: after.get_status() == JobStatus.FINISHED)
    assert job.get_status() == status
    assert job.results() == []
    assert job.id not in queue.finished_job_registry.get_job_ids()

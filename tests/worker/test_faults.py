"""Random deaths under load: every job that was enqueued ends finished or failed with a reason, and none is lost.

How often processes are killed: RQ_LEVELDB_TEST_KILLS (20; the count in docs/worker.rst is from a run with 200).
How many jobs go through one worker: RQ_LEVELDB_TEST_JOBS (300; 10,000 there).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import worker_jobs
from redis.exceptions import ConnectionError
from rq import Queue, Retry
from rq.job import Job, JobStatus

from tests.until import until
from tests.worker.support import Workers, family, patiently

KILLS = int(os.environ.get('RQ_LEVELDB_TEST_KILLS', '20'))
JOBS = int(os.environ.get('RQ_LEVELDB_TEST_JOBS', '300'))
_SEED = 20261124


@pytest.mark.needs_store('it kills the server, which nobody starts again')
@pytest.mark.timeout(120 + KILLS * 10)
def test_random_kills_lose_nothing(workers: Workers, queue: Queue, tmp_path: Path) -> None:
    chance = random.Random(_SEED)
    trace = tmp_path / 'trace'
    trace.touch()
    arguments = ('--max-children', '3', '--quiet', '--import', 'worker_jobs')
    names = iter(f'worker{number}' for number in range(10_000))
    alive = [workers.launch(*arguments, name=next(names)) for _ in range(2)]
    enqueued: list[str] = []
    unknown: list[str] = []
    killed: Counter[str] = Counter()

    def enqueue(count: int) -> None:
        for _ in range(count):
            job_id = f'job{len(enqueued) + len(unknown)}'
            try:
                queue.enqueue(worker_jobs.append, str(trace), job_id, job_id=job_id, retry=Retry(max=2), result_ttl=-1)
                enqueued.append(job_id)
            except ConnectionError:
                # The store was killed before it answered: it may have been enqueued or not, and both are right.
                unknown.append(job_id)

    def kill_one() -> None:
        kind = chance.choice(['worker', 'forker', 'child', 'child', 'store'])
        if kind == 'store':
            pid = patiently(lambda: queue.connection.info('server')['process_id'])
        else:
            worker = chance.choice(alive)
            forkers = [one for one in family(worker.pid) if one.ppid() == worker.pid]
            children = [one for one in family(worker.pid) if one.ppid() != worker.pid]
            candidates = {'worker': [worker], 'forker': forkers, 'child': children}[kind]
            if not candidates:
                return
            pid = chance.choice(candidates).pid
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        killed[kind] += 1

    while sum(killed.values()) < KILLS:
        enqueue(5)
        time.sleep(chance.uniform(0, 0.15))
        try:
            kill_one()
        except psutil.NoSuchProcess:
            continue
        for index, worker in enumerate(alive):
            if worker.poll() is not None:
                alive[index] = workers.launch(*arguments, name=next(names))

    ended = (JobStatus.FINISHED, JobStatus.FAILED)
    until(lambda: patiently(lambda: queue.count + queue.started_job_registry.count) == 0, 200)

    states: Counter[JobStatus] = Counter()
    for job_id in enqueued:
        job = patiently(lambda job_id=job_id: Job.fetch(job_id, connection=queue.connection))
        states[job.get_status()] += 1
        assert job.get_status() in ended, f'{job_id} is {job.get_status()}'
        if job.get_status() == JobStatus.FAILED:
            assert job.latest_result().exc_string
    runs = Counter(trace.read_text().split())
    twice = sum(1 for count in runs.values() if count > 1)
    print(
        f'{dict(killed)} killed; {len(enqueued)} jobs: {states[JobStatus.FINISHED]} finished, '
        f'{states[JobStatus.FAILED]} failed with a reason, 0 lost; {twice} ran to their end more than once'
    )
    for job_id in enqueued:
        job = patiently(lambda job_id=job_id: Job.fetch(job_id, connection=queue.connection))
        if job.get_status() == JobStatus.FINISHED:
            assert runs[job_id] >= 1
    # A job runs to its end twice only if something was killed between its end and the record of it.
    assert twice <= sum(killed.values())
    assert queue.intermediate_queue.get_job_ids() == []


@pytest.mark.timeout(60 + JOBS // 2)
def test_many_jobs_leave_no_trace_in_the_worker(workers: Workers, queue: Queue) -> None:
    worker = workers.start('--max-children', '4', '--quiet', '--import', 'worker_jobs')
    process = psutil.Process(worker.pid)

    def run(count: int) -> None:
        before = queue.finished_job_registry.count
        for start in range(0, count, 500):
            size = min(500, count - start)
            queue.enqueue_many([Queue.prepare_data(worker_jobs.nothing, result_ttl=5000) for _ in range(size)])
        until(lambda: queue.finished_job_registry.count == before + count, 30 + count / 2)
        until(lambda: len(family(worker.pid)) == 5)

    def size() -> tuple[int, int, int, int]:
        forker = process.children()[0]
        private = sum(one.memory_full_info().uss for one in (process, forker))
        return private >> 10, process.num_fds(), forker.num_fds(), len(forker.children())

    # The first jobs fill caches.
    run(100)
    memory, *rest = size()
    run(JOBS)
    memory_after, *rest_after = size()

    print(f'{JOBS} jobs: private memory {memory} -> {memory_after} kB, descriptors and children {rest} -> {rest_after}')
    assert rest_after == rest
    assert memory_after - memory < 4096
    assert not [one for one in family(worker.pid) if one.status() == psutil.STATUS_ZOMBIE]

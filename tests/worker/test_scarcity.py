"""A worker that gets too few descriptors or too little memory: fewer jobs at a time, none lost, none twice."""

from __future__ import annotations

import os
import resource
from collections import Counter
from pathlib import Path

import worker_jobs
from rq import Queue
from rq.job import Job, JobStatus

from tests.until import until
from tests.worker.support import Workers, family

MANY = resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def limit(pid: int, kind: int, value: int) -> None:
    _, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, hard))


def finished(jobs: list[Job]) -> bool:
    return all(job.get_status() == JobStatus.FINISHED for job in jobs)


def test_a_worker_with_few_descriptors_runs_fewer_jobs_at_a_time(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    log, traces, gate = tmp_path / 'log', tmp_path / 'traces', tmp_path / 'gate'
    worker = workers.launch('--max-children', '12', log=log)
    until(lambda: workers.state() == 'idle')
    processes = [worker.pid, *(one.pid for one in family(worker.pid) if one.ppid() == worker.pid)]
    for pid in processes:
        limit(pid, resource.RLIMIT_NOFILE, len(os.listdir(f'/proc/{pid}/fd')) + 4)
    jobs = [queue.enqueue(worker_jobs.trace_and_wait, str(traces), str(gate)) for _ in range(12)]
    until(lambda: 'no child can be forked now' in log.read_text())
    until(lambda: traces.exists())
    assert 'Too many open files' in log.read_text()
    assert worker.poll() is None
    assert not finished(jobs)

    for pid in processes:
        limit(pid, resource.RLIMIT_NOFILE, MANY)
    until(lambda: len(traces.read_text().split()) == len(jobs))
    gate.touch()
    until(lambda: finished(jobs))
    assert set(Counter(traces.read_text().split()).values()) == {1}
    assert 'Traceback' not in log.read_text()


def test_a_job_that_is_too_large_for_the_supervisor_fails_and_stays_whole(
    workers: Workers, queue: Queue, tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    worker = workers.launch('--max-children', '2', log=log)
    until(lambda: workers.state() == 'idle')
    small = queue.enqueue(worker_jobs.add, 1, 2)
    until(lambda: finished([small]))
    status = Path(f'/proc/{worker.pid}/status').read_text()
    (size,) = (int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith('VmData'))
    limit(worker.pid, resource.RLIMIT_DATA, size + (1 << 19))
    large = queue.enqueue(len, bytes(16 << 20))
    until(lambda: large.get_status() == JobStatus.FAILED)
    assert 'MemoryError' in large.latest_result().exc_string
    later = queue.enqueue(worker_jobs.add, 1, 2)
    until(lambda: finished([later]))
    assert worker.poll() is None
    assert 'Traceback' not in log.read_text()

    limit(worker.pid, resource.RLIMIT_DATA, resource.RLIM_INFINITY)
    large.requeue()
    until(lambda: finished([large]))
    assert large.return_value() == 16 << 20

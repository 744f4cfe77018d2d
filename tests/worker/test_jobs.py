"""What a job may expect: RQ's contract, with several at once and a process for each."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import worker_jobs
from rq import Callback, Queue, Repeat, Retry
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job, JobStatus
from rq.rate_limit import RateLimit
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.worker import DequeueStrategy

from rq_leveldb.worker import Worker
from rq_leveldb.worker.settings import Settings
from tests.worker.support import work


def test_as_many_jobs_at_once_as_there_may_be_children(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / 'marks').mkdir()
    jobs = [queue.enqueue(worker_jobs.overlap, str(tmp_path / 'marks'), 0.4) for _ in range(7)]

    work(queue, max_children=3)

    assert max(cast(int, job.return_value()) for job in jobs) == 3


def test_each_job_has_a_process_of_its_own(queue: Queue) -> None:
    jobs = [queue.enqueue(worker_jobs.own_pid) for _ in range(12)]

    work(queue)

    pids = {job.return_value() for job in jobs}
    assert len(pids) == 12
    assert os.getpid() not in pids


def test_a_process_leads_its_group_and_shares_no_socket(queue: Queue) -> None:
    group = queue.enqueue(worker_jobs.process_group)
    opened = queue.enqueue(worker_jobs.descriptors)
    # What other tests left open in this process is the application's own affair.
    inherited = set(worker_jobs.descriptors())

    work(queue)

    pid, pgrp = cast(Any, group.return_value())
    assert pid == pgrp
    found = [name for name in cast(Any, opened.return_value()) if name not in inherited]
    assert [name for name in found if name.startswith('socket:')] == []
    assert not [name for name in found if 'eventpoll' in name or 'pidfd' in name]


def test_random_numbers_differ(queue: Queue) -> None:
    jobs = [queue.enqueue(worker_jobs.random_number) for _ in range(6)]

    work(queue)

    assert len({job.return_value() for job in jobs}) == 6


def test_results_and_states(queue: Queue) -> None:
    good, bad = queue.enqueue(worker_jobs.add, 2, 3), queue.enqueue(worker_jobs.fail)

    worker = work(queue)

    assert good.get_status() == JobStatus.FINISHED
    assert good.return_value() == 5
    assert good.id in queue.finished_job_registry
    assert bad.get_status() == JobStatus.FAILED
    assert 'as expected' in bad.latest_result().exc_string
    assert bad.id in queue.failed_job_registry
    assert queue.started_job_registry.count == 0
    worker.refresh()
    assert (worker.successful_job_count, worker.failed_job_count) == (1, 1)
    assert worker.total_working_time > 0


def test_environment_names_worker_and_job(queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.environment)

    worker = work(queue)

    assert job.return_value() == {'RQ_WORKER_ID': worker.name, 'RQ_JOB_ID': job.id}
    assert os.environ.get('RQ_JOB_ID') is None


def test_large_and_unserializable_results(queue: Queue) -> None:
    large = queue.enqueue(worker_jobs.big, 500_000)
    strange = queue.enqueue(worker_jobs.unserializable)

    work(queue)

    assert len(cast(Any, large.return_value())) == 500_000
    assert strange.get_status() == JobStatus.FINISHED
    assert strange.return_value() == 'Unserializable return value'


def test_large_arguments(queue: Queue) -> None:
    job = queue.enqueue(len, b'x' * 3_000_000)

    work(queue)

    assert job.return_value() == 3_000_000


def test_a_job_may_change_itself(queue: Queue) -> None:
    changed, noted = queue.enqueue(worker_jobs.change_itself), queue.enqueue(worker_jobs.meta, meta={'seen': 1})

    work(queue)

    assert Job.fetch(changed.id, connection=queue.connection).description == 'changed'
    assert changed.return_value() == 'ok'
    assert noted.get_meta()['seen'] == 2


def test_result_ttl(queue: Queue) -> None:
    gone = queue.enqueue(worker_jobs.nothing, result_ttl=0)
    kept = queue.enqueue(worker_jobs.nothing, result_ttl=-1)
    limited = queue.enqueue(worker_jobs.nothing, result_ttl=100)

    work(queue)

    with pytest.raises(NoSuchJobError):
        Job.fetch(gone.id, connection=queue.connection)
    assert queue.connection.keys(f'*{gone.id}*') == []
    assert queue.connection.ttl(kept.key) == -1
    assert 90 < queue.connection.ttl(limited.key) <= 100
    assert 90 < queue.connection.ttl(Result.get_key(limited.id)) <= 100


def test_dependents(queue: Queue) -> None:
    first = queue.enqueue(worker_jobs.add, 1, 2)
    second = queue.enqueue(worker_jobs.add, 3, 4, depends_on=first)
    bad = queue.enqueue(worker_jobs.fail)
    never = queue.enqueue(worker_jobs.nothing, depends_on=bad)
    anyway = queue.enqueue(worker_jobs.nothing, depends_on=Dependency(bad, allow_failure=True))

    work(queue)

    assert first.return_value() == 3
    assert second.return_value() == 7
    assert never.get_status() == JobStatus.DEFERRED
    assert anyway.get_status() == JobStatus.FINISHED


def test_callbacks(queue: Queue) -> None:
    good = queue.enqueue(worker_jobs.add, 1, 1, on_success=Callback(worker_jobs.on_success))
    bad = queue.enqueue(worker_jobs.fail, on_failure=Callback(worker_jobs.on_failure))

    work(queue)

    assert queue.connection.get(f'succeeded:{good.id}') == b'2'
    assert queue.connection.get(f'failed:{bad.id}') == b'as expected'


def test_exception_handlers(queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.fail)

    worker = Worker([queue], connection=queue.connection, exception_handlers=[worker_jobs.handle], max_children=2)
    worker.work(burst=True, logging_level='CRITICAL')

    assert queue.connection.get(f'handled:{job.id}') == b'as expected'


def test_retries(queue: Queue, tmp_path: Path) -> None:
    raised = queue.enqueue(worker_jobs.fail_until, str(tmp_path / 'tries'), 2, retry=Retry(max=3))
    returned = queue.enqueue(worker_jobs.once_again)

    work(queue)

    assert raised.return_value() == 'try 3'
    assert Job.fetch(raised.id, connection=queue.connection).retries_left == 1
    assert returned.return_value() == 'done'


def test_repeats(queue: Queue, tmp_path: Path) -> None:
    job = queue.enqueue(worker_jobs.append, str(tmp_path / 'trace'), repeat=Repeat(times=2))

    work(queue)

    assert (tmp_path / 'trace').read_text() == 'x\n' * 3
    assert job.get_status() == JobStatus.FINISHED


def test_rate_limits(queue: Queue, tmp_path: Path) -> None:
    (tmp_path / 'marks').mkdir()
    limit = RateLimit('one at a time', concurrency=1)
    jobs = [queue.enqueue(worker_jobs.overlap, str(tmp_path / 'marks'), 0.1, rate_limit=limit) for _ in range(4)]

    work(queue, max_children=4)

    assert [job.return_value() for job in jobs] == [1, 1, 1, 1]


def test_groups(queue: Queue) -> None:
    group = Group.create(connection=queue.connection)
    jobs = group.enqueue_many(queue, [Queue.prepare_data(worker_jobs.add, (n, n)) for n in range(4)])

    work(queue)

    assert sorted(job.return_value() for job in jobs) == [0, 2, 4, 6]


def test_json_serializer(redis: Any) -> None:
    queue = Queue('json', connection=redis, serializer=JSONSerializer)
    job = queue.enqueue(worker_jobs.add, 20, 22)

    Worker([queue], connection=redis, serializer=JSONSerializer).work(burst=True, logging_level='WARNING')

    assert job.return_value() == 42


def test_queues_in_order_of_importance(redis: Any, tmp_path: Path) -> None:
    low, high = Queue('low', connection=redis), Queue('high', connection=redis)
    for number in range(3):
        low.enqueue(worker_jobs.append, str(tmp_path / 'trace'), f'low {number}')
        high.enqueue(worker_jobs.append, str(tmp_path / 'trace'), f'high {number}')

    Worker([high, low], connection=redis, max_children=1).work(burst=True, logging_level='WARNING')

    assert (tmp_path / 'trace').read_text().split('\n')[:-1] == [
        'high 0', 'high 1', 'high 2', 'low 0', 'low 1', 'low 2'
    ]  # fmt: skip


def test_round_robin(redis: Any, tmp_path: Path) -> None:
    queues = [Queue(name, connection=redis) for name in ('a', 'b')]
    for number in range(2):
        for queue in queues:
            queue.enqueue(worker_jobs.append, str(tmp_path / 'trace'), f'{queue.name} {number}')

    worker = Worker(queues, connection=redis, max_children=1)
    # A string, as RQ's own command passes it.
    strategy = cast(DequeueStrategy, 'round_robin')
    worker.work(burst=True, logging_level='WARNING', dequeue_strategy=strategy)

    assert (tmp_path / 'trace').read_text().split() == ['a', '0', 'b', '0', 'a', '1', 'b', '1']


def test_scheduled_jobs_run_by_themselves(queue: Queue) -> None:
    job = queue.enqueue_in(timedelta(seconds=1), worker_jobs.nothing)

    worker = Worker([queue], connection=queue.connection, max_children=2)
    worker.work(max_jobs=1, with_scheduler=True, logging_level='WARNING')

    assert job.get_status() == JobStatus.FINISHED
    assert queue.connection.keys('rq:scheduler*') == []


def test_max_jobs(queue: Queue) -> None:
    for _ in range(5):
        queue.enqueue(worker_jobs.nothing)

    Worker([queue], connection=queue.connection, max_children=4).work(max_jobs=2, logging_level='WARNING')

    assert queue.count == 3
    assert queue.finished_job_registry.count == 2


def test_max_idle_time(queue: Queue) -> None:
    queue.enqueue(worker_jobs.nothing)
    began = time.monotonic()

    Worker([queue], connection=queue.connection).work(max_idle_time=1, logging_level='WARNING')

    assert queue.finished_job_registry.count == 1
    assert 1 <= time.monotonic() - began < 10


def test_max_idle_time_of_a_worker_that_may_run_nothing(queue: Queue) -> None:
    job = queue.enqueue(worker_jobs.nothing)
    worker = Worker([queue], connection=queue.connection, settings=Settings(max_children=0))
    worker.work(max_idle_time=1, logging_level='WARNING')
    assert job.get_status() == JobStatus.QUEUED


def test_a_subclass_is_asked_as_in_rq(queue: Queue) -> None:
    class Own(Worker):
        def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
            super().prepare_job_execution(job, remove_from_intermediate_queue)
            self.connection.set(f'prepared:{job.id}', '1')

        def execute_job(self, job: Job, queue: Queue) -> None:
            self.connection.set(f'executed:{job.id}', '1')
            super().execute_job(job, queue)

    jobs = [queue.enqueue(worker_jobs.add, number, 1) for number in range(3)]

    Own([queue], connection=queue.connection, max_children=2).work(burst=True, logging_level='WARNING')

    assert [job.return_value() for job in jobs] == [1, 2, 3]
    for job in jobs:
        assert queue.connection.exists(f'prepared:{job.id}', f'executed:{job.id}') == 2
    assert queue.intermediate_queue.get_job_ids() == []
    assert queue.connection.keys('rq:worker:*:claims') == []


def test_the_store_looks_as_after_rqs_own_worker(queue: Queue, redis: Any) -> None:
    import rq

    ours, theirs = Queue('ours', connection=redis), Queue('theirs', connection=redis)
    kinds: list[dict[str, Any]] = [
        {'f': worker_jobs.add, 'args': (1, 2)},
        {'f': worker_jobs.nothing, 'result_ttl': -1},
        {'f': worker_jobs.nothing, 'job_timeout': 17, 'meta': {'a': 1}, 'failure_ttl': 9, 'ttl': 400},
        {'f': worker_jobs.fail},
    ]
    pairs = [(ours.enqueue(**kind), theirs.enqueue(**kind)) for kind in kinds]

    Worker([ours], connection=redis, max_children=2).work(burst=True, logging_level='CRITICAL')
    rq.SimpleWorker([theirs], connection=redis).work(burst=True, logging_level='CRITICAL')

    own_fields = {b'usage'}
    differ = {b'created_at', b'enqueued_at', b'started_at', b'ended_at', b'last_heartbeat', b'worker_name', b'origin'}
    for mine, its in pairs:
        left, right = redis.hgetall(mine.key), redis.hgetall(its.key)
        assert set(left) - own_fields == set(right)
        assert {k: v for k, v in left.items() if k not in differ | own_fields} == {
            k: v for k, v in right.items() if k not in differ
        }
        assert abs(redis.ttl(mine.key) - redis.ttl(its.key)) <= 5
        assert abs(redis.ttl(Result.get_key(mine.id)) - redis.ttl(Result.get_key(its.id))) <= 5
        mine_result, its_result = mine.latest_result(), its.latest_result()
        assert mine_result.type == its_result.type
        assert mine_result.return_value == its_result.return_value
        keys = {key.replace(mine.id.encode(), b'ID') for key in redis.keys(f'*{mine.id}*')}
        assert keys == {key.replace(its.id.encode(), b'ID') for key in redis.keys(f'*{its.id}*')}
    for registry in ('finished_job_registry', 'failed_job_registry', 'started_job_registry'):
        assert getattr(ours, registry).count == getattr(theirs, registry).count


def test_hooks(queue: Queue) -> None:
    jobs = [queue.enqueue(worker_jobs.hooks) for _ in range(3)]

    work(
        queue,
        max_children=1,
        before_first_fork=[worker_jobs.before_first_fork],
        before_fork=[worker_jobs.before_fork],
        after_fork=[worker_jobs.after_fork],
    )

    seen: list[Any] = [job.return_value() for job in jobs]
    assert len({hook['WORKER_TEST_FIRST'] for hook in seen}) == 1
    assert [hook['WORKER_TEST_FORKS'] for hook in seen] == ['1', '2', '3']
    assert all(hook['WORKER_TEST_AFTER'] == hook['pid'] for hook in seen)

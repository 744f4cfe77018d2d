"""rq-leveldb check --jobs: what it finds, what it repairs, and that it leaves alone what is in order."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from redis import Redis as PlainRedis
from rq import Queue, Repeat, Retry
from rq import Worker as RQWorker
from rq.job import JobStatus
from rq.rate_limit import RateLimit

from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from rq_leveldb.soundness import Check, Report
from tests.soundness.spoiled import UNFIXABLE, make_old, spoil
from tests.until import until
from tests.worker.support import Workers, work

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def queue(redis: Redis) -> Queue:
    return Queue(connection=redis)


@pytest.fixture
def call(store_dir: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return what runs the command in this process, and returns its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        try:
            code = main(['check', '--jobs', '--url', f'leveldb://{store_dir}', *arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, capfd.readouterr().out

    return run


@pytest.fixture
def workers(redis: Redis, store_dir: Path) -> Iterator[Workers]:
    started = Workers(f'leveldb://{store_dir}', redis)
    yield started
    started.close()


def check(connection: PlainRedis, *, fix: bool = False) -> Report:
    return Check(connection, lambda name: False, fix=fix, progress=lambda *_: None).run()


def kinds(report: Report) -> set[tuple[str, str]]:
    return {(finding.kind, finding.key) for finding in report.findings}


def contents(redis: Any) -> dict[bytes, Any]:
    reads: dict[bytes, Callable[[bytes], Any]] = {
        b'hash': redis.hgetall,
        b'list': lambda key: redis.lrange(key, 0, -1),
        b'set': redis.smembers,
        b'stream': redis.xrange,
        b'string': redis.get,
        b'zset': lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    return {key: (redis.expiretime(key), reads[redis.type(key)](key)) for key in redis.keys('*')}


def test_everything_that_is_wrong_is_found_repaired_once_and_then_sound(redis: Redis, call: Call) -> None:
    expected = spoil(redis)
    before = contents(redis)
    code, text = call('--json')
    found = json.loads(text)
    assert {(finding['kind'], finding['key']) for finding in found['findings']} == set(expected)
    assert (code, found['sound'], found['mended']) == (1, False, False)
    assert contents(redis) == before

    code, text = call('--fix', '--json')
    found = json.loads(text)
    assert {(f['kind'], f['key']) for f in found['findings'] if not f['fixed']} == UNFIXABLE
    assert code == 1
    assert {problem for problem, is_repaired in expected.items() if not is_repaired()} == UNFIXABLE
    assert kinds(check(redis)) == UNFIXABLE
    redis.zrem('rq:scheduled:default', 'sound')
    redis.delete('rq:failed:other', 'rq:job:strange', 'rq:job:unreadable')
    redis.lrem('rq:queue:default', 0, 'unreadable')
    code, text = call()
    assert (code, text.split(':')[0]) == (0, 'Sound')


def test_an_empty_place_is_sound_and_not_made(store_dir: Path, call: Call) -> None:
    assert call()[0] == 0
    assert not store_dir.exists()


def test_what_harms_nothing_is_no_alarm(redis: Redis, queue: Queue, call: Call) -> None:
    redis.sadd('rq:queues', queue.key)
    redis.rpush(queue.key, 'nobody')
    code, text = call()
    assert code == 0
    assert 'note: rq:queue:default: nobody is in queue default, but there is no such job' in text
    assert 'check --jobs --fix' in text
    assert call('--fix')[0] == 0
    assert redis.llen(queue.key) == 0


def test_a_repaired_job_runs(redis: Redis, queue: Queue, workers: Workers) -> None:
    lost = queue.enqueue(worker_jobs.add, 1, 2)
    make_old(lost)
    redis.lrem(queue.key, 0, lost.id)
    first = queue.enqueue(worker_jobs.nothing)
    met = queue.enqueue(worker_jobs.add, 3, 4, depends_on=first)
    redis.delete(first.key, first.dependents_key)
    assert check(redis, fix=True).unfixed == 0
    work(queue)
    assert (lost.return_value(), met.return_value()) == (3, 7)


def test_a_job_whose_execution_is_lost_is_retried_or_fails_as_abandoned(redis: Redis, queue: Queue) -> None:
    retried = queue.enqueue(worker_jobs.add, 1, 2, retry=Retry(1))
    failed = queue.enqueue(worker_jobs.add, 1, 2)
    for job in (retried, failed):
        redis.lrem(queue.key, 0, job.id)
        redis.hset(job.key, mapping={'status': 'started', 'worker_name': 'dead'})
    work(queue)
    assert retried.get_status() == failed.get_status() == JobStatus.STARTED
    assert check(redis, fix=True).counts == {'abandoned': 2}
    work(queue)
    assert retried.return_value() == 3
    assert failed.get_status() == JobStatus.FAILED


def test_a_job_that_a_worker_may_have_in_hand_is_left(redis: Redis, queue: Queue, workers: Workers, call: Call) -> None:
    workers.start('default')
    lost = queue.create_job(worker_jobs.nothing, status=JobStatus.STARTED)
    lost.worker_name = 'one'
    lost.save()
    code, text = call('--fix')
    assert code == 1
    assert 'worker one may be alive' in text
    assert redis.zcard('rq:wip:default') == 0


def test_no_job_is_put_back_while_one_of_rqs_own_workers_may_have_popped_it(
    redis: Redis, queue: Queue, call: Call
) -> None:
    """RQ's worker on several queues pops a job and only then writes that it has it."""
    job = queue.enqueue(worker_jobs.nothing)
    make_old(job)
    worker = RQWorker([queue, Queue('other', connection=redis)], connection=redis, name='own')
    worker.register_birth()
    assert redis.lpop(queue.key) == job.id.encode()
    code, text = call('--fix')
    assert code == 1
    assert "worker own, one of RQ's own, may just have taken it" in text
    assert redis.llen(queue.key) == 0
    worker.register_death()
    redis.delete(worker.key)
    assert call('--fix')[0] == 0
    assert redis.lrange(queue.key, 0, -1) == [job.id.encode()]


def test_what_is_wrong_for_a_moment_only_is_not_reported(redis: Redis, queue: Queue) -> None:
    """Between the first look and the second the job comes to where it belongs."""
    job = queue.enqueue(worker_jobs.nothing)
    make_old(job)
    redis.lpop(queue.key)
    timer = threading.Timer(0.5, redis.rpush, (queue.key, job.id))
    timer.start()
    report = check(redis, fix=True)
    timer.join()
    assert report.findings == []
    assert redis.llen(queue.key) == 1


def test_a_job_that_runs_where_it_was_enqueued_is_not_lost(redis: Redis, tmp_path: Path) -> None:
    """RQ says that such a job is queued, and puts it into no queue."""
    gate, started = tmp_path / 'gate', tmp_path / 'started'
    here = Queue(connection=redis, is_async=False)
    thread = threading.Thread(target=here.enqueue, args=(worker_jobs.wait_for, str(gate), str(started)))
    thread.start()
    try:
        until(started.exists)
        assert check(redis, fix=True).findings == []
        assert redis.llen(here.key) == 0
    finally:
        gate.touch()
        thread.join()


def test_two_repairs_at_the_same_time_put_a_job_back_once(redis: Redis, queue: Queue, store_dir: Path) -> None:
    ids = set()
    for job in queue.enqueue_many([Queue.prepare_data(worker_jobs.nothing) for _ in range(300)]):
        make_old(job)
        ids.add(job.id.encode())
    redis.delete(queue.key)
    reports: list[Report] = []

    def repair() -> None:
        with Redis.from_url(f'leveldb://{store_dir}') as connection:
            reports.append(check(connection, fix=True))

    threads = [threading.Thread(target=repair) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(redis.lrange(queue.key, 0, -1)) == sorted(ids)
    assert sum(report.counts['nowhere'] for report in reports) == len(ids)


def test_a_busy_place_is_sound(redis: Redis, queue: Queue, workers: Workers, tmp_path: Path) -> None:
    workers.start('--max-children', '4', '--with-scheduler', 'default')
    over = threading.Event()

    def load() -> None:
        mine = Queue(connection=Redis.from_url(workers.url))
        for number in range(100_000):
            if over.is_set():
                return
            first = mine.enqueue(worker_jobs.nothing, result_ttl=number % 3 - 1, at_front=bool(number % 2))
            mine.enqueue(worker_jobs.nothing, depends_on=first)
            mine.enqueue('worker_jobs.no_such_function', retry=Retry(2, interval=number % 2))
            mine.enqueue(worker_jobs.nothing, repeat=Repeat(2, interval=number % 2))
            mine.enqueue(worker_jobs.nothing, rate_limit=RateLimit('slow', 2))
            mine.enqueue_in(timedelta(seconds=number % 2), worker_jobs.nothing)
            mine.enqueue(worker_jobs.nothing).cancel()

    thread = threading.Thread(target=load)
    thread.start()
    try:
        until(lambda: redis.zcard('rq:finished:default') > 20)
        for fix in (False, True, True):
            report = check(redis, fix=fix)
            assert report.findings == []
            assert report.jobs > 20
    finally:
        over.set()
        thread.join()


def test_memory_does_not_grow_with_the_jobs(redis: Redis, queue: Queue, store_dir: Path) -> None:
    program = (
        'import resource, sys; from rq_leveldb.cli.main import main\n'
        'try: main(sys.argv[1:])\n'
        'except SystemExit: pass\n'
        'print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)'
    )

    def run() -> tuple[dict[str, Any], int]:
        """Return the report and the memory at its highest, bytes."""
        arguments = [sys.executable, '-c', program, 'check', '--jobs', '--json', '--url', f'leveldb://{store_dir}']
        text = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        report, end = json.JSONDecoder().raw_decode(text)
        return report, int(text[end:]) * (1 if sys.platform == 'darwin' else 1024)

    job = queue.enqueue(worker_jobs.nothing)
    make_old(job)
    template: Any = redis.hgetall(job.key)
    _, small = run()
    ids = [f'job-{number}' for number in range(30_000)]
    pipe = redis.pipeline(transaction=False)
    for start in range(0, len(ids), 5000):
        for job_id in ids[start : start + 5000]:
            pipe.hset(f'rq:job:{job_id}', mapping=template)
        pipe.rpush(queue.key, *ids[start : start + 5000])
        pipe.execute()
    redis.lrem(queue.key, 0, 'job-7777')
    report, large = run()
    assert report['jobs'] == len(ids) + 1
    assert [finding['key'] for finding in report['findings']] == ['rq:job:job-7777']
    assert large - small < 10 << 20

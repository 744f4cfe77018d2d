"""rq-leveldb check --jobs on a real Redis, with RQ's own workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import worker_jobs
from rq import Queue, Repeat, Retry

from compat_tests.real_redis import RealRedis
from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from rq_leveldb.soundness import Check, Report
from tests.places import APPLICATIONS
from tests.soundness.spoiled import UNFIXABLE, spoil
from tests.until import until


@pytest.fixture
def server() -> Iterator[RealRedis]:
    with RealRedis() as running:
        yield running


@pytest.fixture
def redis(server: RealRedis) -> Iterator[Any]:
    with Redis.from_url(f'unix://{server.socket_path}') as client:
        yield client


def check(connection: Any, *, fix: bool) -> Report:
    return Check(connection, lambda name: False, fix=fix, progress=lambda *_: None).run()


def test_everything_that_is_wrong_is_found_and_repaired(
    redis: Any, server: RealRedis, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = spoil(redis)
    report = check(redis, fix=False)
    assert {(finding.kind, finding.key) for finding in report.findings} == set(expected)
    with pytest.raises(SystemExit) as end:
        main(['check', '--fix', '--url', f'unix://{server.socket_path}'])
    assert end.value.code == 1
    assert 'redis-check-aof' in capfd.readouterr().out
    assert {problem for problem, is_repaired in expected.items() if not is_repaired()} == UNFIXABLE
    report = check(redis, fix=True)
    assert {(finding.kind, finding.key) for finding in report.findings} == UNFIXABLE


def test_a_place_with_busy_workers_of_rq_is_sound(redis: Any, server: RealRedis) -> None:
    arguments = ['--url', f'unix://{server.socket_path}', '--with-scheduler', '-P', str(APPLICATIONS), 'one', 'two']
    worker = subprocess.Popen([sys.executable, '-m', 'rq.cli', 'worker', *arguments], stderr=subprocess.DEVNULL)
    over = threading.Event()

    def load() -> None:
        with Redis.from_url(f'unix://{server.socket_path}') as connection:
            queues = [Queue(name, connection=connection) for name in ('one', 'two')]
            for number in range(10_000):
                if over.wait(0.02):
                    return
                queue = queues[number % 2]
                first = queue.enqueue(worker_jobs.nothing, result_ttl=number % 3 - 1)
                queue.enqueue(worker_jobs.nothing, depends_on=first)
                queue.enqueue(os.abort, retry=Retry(2, interval=number % 2))
                queue.enqueue(worker_jobs.nothing, repeat=Repeat(2, interval=number % 2))
                queue.enqueue_in(timedelta(seconds=1), worker_jobs.nothing)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        until(lambda: redis.zcard('rq:finished:one') > 5)
        for _ in range(2):
            report = check(redis, fix=True)
            assert report.findings == []
            assert report.jobs > 5
    finally:
        over.set()
        thread.join()
        worker.kill()
        worker.wait()

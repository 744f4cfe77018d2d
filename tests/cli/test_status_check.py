"""rq-leveldb status --check, as a monitoring system runs it."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.suspension import suspend

from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from tests.cli.support import Call, add_worker, work

# The disk that the tests run on may be nearly full.
CHECK = ('status', '--check', '--min-free', '0,0')


def problems(call: Call, *arguments: str) -> tuple[int, list[str]]:
    code, text = call(*CHECK, *arguments, '--json')
    report = json.loads(text)
    assert report['state'] == ('ok', 'warning', 'critical')[code]
    return code, [f'{problem["level"]}: {problem["what"]}' for problem in report['problems']]


def test_all_is_well(redis: Redis, call: Call) -> None:
    redis.ping()
    code, text = call(*CHECK)
    assert code == 0
    assert text.startswith('OK: all jobs are served | disk_free=')
    assert text.rstrip().endswith('oldest_wait=0s;600;3600 failed=0;1;10')


def test_a_queue_without_a_worker(redis: Redis, call: Call) -> None:
    Queue('mail', connection=redis).enqueue('cli_jobs.add')
    assert problems(call) == (2, ['critical: no worker serves the queue mail (1 job)'])
    add_worker(redis, 'lives')
    assert problems(call) == (0, [])
    suspend(redis)
    assert problems(call) == (1, ['warning: all workers are suspended'])


def test_workers_that_died(redis: Redis, call: Call) -> None:
    add_worker(redis, 'died', started='1')
    assert problems(call) == (2, ['critical: all workers died: died'])


def test_jobs_that_wait_for_long(redis: Any, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    add_worker(redis, 'lives')
    job = queue.enqueue('cli_jobs.add')
    redis.hset(job.key, 'enqueued_at', '2020-01-01T00:00:00.000000Z')
    code, found = problems(call)
    assert code == 2
    assert 'critical: a job of the queue mail waits for ' in found[0]
    assert problems(call, '--max-wait', '1h')[0] == 1
    queue.empty()
    later = queue.enqueue_in(timedelta(hours=1), 'cli_jobs.add')
    assert problems(call) == (0, [])
    redis.zincrby('rq:scheduled:mail', -4500, later.id)
    assert problems(call) == (1, ['warning: a job of the queue mail waits for 15 min'])


def test_jobs_that_failed_lately(redis: Any, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    for number in range(3):
        queue.enqueue('cli_jobs.fail', job_id=f'bad-{number}')
    work(redis, 'mail')
    redis.hset('rq:job:bad-0', 'ended_at', '2020-01-01T00:00:00.000000Z')
    assert problems(call) == (1, ['warning: 2 jobs failed in the last 15 min'])
    assert problems(call, '--max-failed', '1,2')[0] == 2
    assert problems(call, '--max-failed', '3')[0] == 0
    assert problems(call, '--within', '36500d')[1] == ['warning: 3 jobs failed in the last 36500 d']


def test_a_full_disk(redis: Redis, call: Call) -> None:
    redis.ping()
    code, text = call('status', '--check', '--min-free', '100,0')
    assert code == 1
    assert 'WARNING: the disk has ' in text
    assert call('status', '--check', '--min-free', '100,100')[0] == 2


def test_what_does_not_answer(store_dir: Path, call: Call, capfd: pytest.CaptureFixture[str]) -> None:
    code, text = call('status', '--check')
    assert code == 1
    assert 'there is no store in' in text
    assert not store_dir.exists()
    assert main(['status', '--check', '--url', 'redis://localhost:1']) == 2
    assert capfd.readouterr().out.startswith('CRITICAL: ')
    store_dir.mkdir()
    (store_dir / 'notes').write_text('mine')
    code, text = call('status', '--check')
    assert code == 2
    assert 'is not a store' in text


@pytest.mark.parametrize(
    'option',
    [
        ['--max-wait', '5x'],
        ['--max-wait', '1h,5m'],
        ['--max-failed', 'many'],
        ['--min-free', '5,10'],
        ['--within', ''],
    ],
)
def test_limits_that_cannot_be_read(option: list[str], call: Call) -> None:
    code, text = call('status', '--check', *option)
    assert code == 2
    assert option[0] in text

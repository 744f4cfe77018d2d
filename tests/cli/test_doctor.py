"""rq-leveldb doctor: each thing that can be wrong is named with its remedy."""

from __future__ import annotations

import json
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.job import Dependency
from rq.suspension import suspend

from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from rq_leveldb.process import is_alive
from rq_leveldb.version import __version__
from tests.cli.support import Call, add_worker, work
from tests.until import until


def findings(call: Call, *levels: str) -> list[str]:
    """Return what doctor finds of some levels, with the remedies."""
    code, text = call('doctor', '--json')
    report = json.loads(text)
    assert code == (0 if report['is_well'] else 1)
    return [f'{item["what"]}. {item["remedy"]}' for item in report['findings'] if item['level'] in levels]


def test_nothing_is_wrong(redis: Redis, call: Call) -> None:
    add_worker(redis, 'lives')
    Queue('mail', connection=redis).enqueue('cli_jobs.add', 1, 2)
    assert findings(call, 'note', 'warning', 'error') == []
    code, text = call('doctor')
    assert code == 0
    assert 'fine     1 worker alive' in text
    assert 'fine     The store runs' in text


def test_no_store_is_made(store_dir: Path, call: Call) -> None:
    assert 'There is no store in' in findings(call, 'note')[0]
    assert not store_dir.exists()


def test_a_directory_that_others_can_write(redis: Redis, store_dir: Path, call: Call) -> None:
    redis.ping()
    store_dir.chmod(0o777)
    try:
        (found,) = findings(call, 'error')
    finally:
        store_dir.chmod(0o700)
    assert 'Others can write to the data directory' in found
    assert 'chmod 700' in found


def test_a_socket_that_was_left(redis: Redis, store_dir: Path, call: Call) -> None:
    redis.ping()
    running = autostart.running_store(DataDirectory(store_dir))
    assert running is not None
    os.kill(running[0].pid, signal.SIGKILL)
    until(lambda: not is_alive(running[0]))
    assert 'store.sock was left by a store that was killed' in findings(call, 'note')[0]


def test_a_server_that_does_not_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(['doctor', '--url', 'redis://localhost:1']) == 1
    text = capfd.readouterr().out
    assert 'error    The store does not answer' in text
    assert 'is this its URL?' in text


def test_workers(redis: Any, call: Call) -> None:
    redis.ping()
    assert 'No worker is running' in findings(call, 'note')[0]
    add_worker(redis, 'died', started='1')
    assert 'The worker died died' in findings(call, 'warning')[0]
    redis.delete('rq:worker:died')
    add_worker(redis, 'old', rq_leveldb_version='0.0.1', version='2.0')
    assert 'The worker old has rq-leveldb 0.0.1 and RQ 2.0' in findings(call, 'warning')[0]
    add_worker(redis, 'old', rq_leveldb_version='', version='', last_heartbeat='2999-01-01T00:00:00.000000Z')
    assert 'the worker old is in the future' in findings(call, 'warning')[0]
    suspend(redis)
    assert 'rq-leveldb resume' in findings(call, 'warning')[0]


def test_a_worker_records_its_version(redis: Any, call: Call) -> None:
    assert call('worker', '--burst', '--no-http', '--quiet', '--name', 'ended')[0] == 0
    assert redis.hget('rq:worker:ended', 'rq_leveldb_version') == __version__.encode()


def test_jobs_that_are_stuck(redis: Any, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    first = queue.enqueue('cli_jobs.fail', job_id='first')
    queue.enqueue('cli_jobs.add', depends_on=Dependency([first]), job_id='then')
    work(redis, 'mail')
    job = queue.enqueue_in(timedelta(hours=1), 'cli_jobs.add', job_id='late')
    redis.zincrby('rq:scheduled:mail', -7200, job.id)
    queue.enqueue('cli_jobs.add', job_id='lost')
    redis.hset('rq:job:lost', mapping={'status': 'started', 'worker_name': 'died'})
    redis.zadd('rq:wip:mail', {'lost:1': 9e9})
    redis.lpush('rq:queue:mail:intermediate', 'taken')
    redis.lpush('rq:queue:mail', 'gone')
    found = '\n'.join(findings(call, 'warning', 'note'))
    assert 'No worker serves the queue mail, which has 2 jobs. Start one: rq-leveldb worker mail' in found
    assert 'Jobs of the queue mail that count as started, but that no worker runs (1): lost' in found
    assert 'that were taken from it and not started (1): taken' in found
    assert 'that are due, but that no worker enqueues (1): late' in found
    assert 'that wait for jobs that failed or were canceled (1): then' in found
    assert 'that are in it, but whose records are gone (1): gone' in found


def test_functions_that_cannot_be_found(redis: Redis, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    queue.enqueue('cli_jobs.ad')
    queue.enqueue('cli_jobs.ad')
    queue.enqueue_in(timedelta(hours=1), 'no_such_module.work')
    found = findings(call, 'warning')
    assert any('2 waiting jobs call cli_jobs.ad: there is no ad in ' in text for text in found)
    assert any('1 waiting job calls no_such_module.work: there is no module no_such_module' in text for text in found)

"""The commands that show and change jobs do the same with a real Redis server as with a store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from rq import Queue, SimpleWorker

from compat_tests.real_redis import RealRedis
from rq_leveldb.cli.main import main


@pytest.fixture(scope='module')
def server() -> Iterator[RealRedis]:
    """Return a running Redis server."""
    with RealRedis() as running:
        yield running


def test_jobs_are_shown_and_changed(server: RealRedis, capfd: pytest.CaptureFixture[str]) -> None:
    url = f'unix://{server.socket_path}'
    connection: Any = Redis.from_url(url)

    def call(*arguments: str, code: int = 0) -> Any:
        capfd.readouterr()
        assert main([*arguments, '--json', '--url', url]) == code
        return json.loads(capfd.readouterr().out)

    queue = Queue('mail', connection=connection)
    queue.enqueue('json.loads', '{', job_id='bad')
    queue.enqueue('json.dumps', [1], job_id='good')
    SimpleWorker([queue], connection=connection).work(burst=True)
    queue.enqueue('json.dumpz', job_id='next')
    queue.enqueue_in(timedelta(hours=1), 'json.dumps', job_id='later')

    shown = call('job', 'good')
    assert (shown['status'], shown['result'], shown['call']) == ('finished', '[1]', 'json.dumps([1])')
    assert 'no worker serves the queue mail' in call('job', 'next')['waits_because'][0]
    assert {job['id']: job['status'] for job in call('jobs')['jobs']} == {
        'bad': 'failed',
        'good': 'finished',
        'later': 'scheduled',
        'next': 'queued',
    }
    assert call('jobs', '--group')['groups'][0]['function'] == 'json.loads'
    assert call('status', '--check', code=2)['failed'] == 1
    assert 'there is no dumpz in' in str(call('doctor', code=1)['findings'])
    assert call('top')['queues'][0]['queued'] == 1
    assert call('requeue', '--all')['requeued'] == ['bad']
    assert call('cancel', '--queue', 'mail', '--yes')['canceled'] == ['next', 'bad', 'later']
    assert call('retry', 'later')['requeued'] == ['later']
    assert call('delete', 'later', 'good')['deleted'] == ['later', 'good']
    assert queue.job_ids == []

"""rq-leveldb cancel, delete, retry and requeue."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pytest
from rq import Queue
from rq.job import Job

from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from tests.cli.support import Call, work


@pytest.fixture
def stored(redis: Redis) -> Redis:
    """Return a store with failed jobs of two queues and two functions, and waiting ones."""
    for name in ('mail', 'other'):
        queue = Queue(name, connection=redis)
        queue.enqueue('cli_jobs.fail', job_id=f'{name}-fail')
        queue.enqueue('cli_jobs.add', job_id=f'{name}-add')
    work(redis, 'mail', 'other')
    for name in ('mail', 'other'):
        queue = Queue(name, connection=redis)
        queue.enqueue('cli_jobs.add', 1, 2, job_id=f'{name}-next')
        queue.enqueue_in(timedelta(hours=1), 'cli_jobs.fail', job_id=f'{name}-later')
    return redis


def state(redis: Any, job_id: str) -> str:
    return str(Job.fetch(job_id, connection=redis).get_status().value)


def test_requeue_by_function_queue_and_all(stored: Redis, call: Call) -> None:
    assert call('requeue', '--queue', 'mail')[1].startswith('Nothing to do')
    code, text = call('requeue', '--function', 'cli_jobs.fail', '--queue', 'mail')
    assert (code, text) == (0, 'Requeueing 1 jobs from failed queue\nRequeued mail-fail.\n')
    assert state(stored, 'mail-fail') == 'queued'
    assert state(stored, 'other-fail') == 'failed'
    shown = json.loads(call('requeue', '--all', '--json')[1])
    assert sorted(shown['requeued']) == ['mail-add', 'other-add', 'other-fail']
    assert shown['not_done'] == {}


def test_stopped_jobs_are_requeued_with_the_failed_ones(stored: Redis, call: Call) -> None:
    stored.hset('rq:job:mail-fail', 'status', 'stopped')
    stored.set('rq:failed:strange', 'text')
    stored.sadd('rq:queues', 'rq:queue:strange')
    code, text = call('requeue', '--all')
    assert code == 1
    assert 'rq:failed:strange contains something that is not a list of jobs' in text
    assert 'Requeued 4 jobs.' in text
    assert state(stored, 'mail-fail') == 'queued'


def test_retry(stored: Redis, call: Call) -> None:
    assert call('retry', 'mail-fail', '--at-front') == (0, 'Requeued mail-fail.\n')
    assert Queue('mail', connection=stored).job_ids[0] == 'mail-fail'
    code, text = call('retry', 'mail-fail', 'gone', 'mail-next')
    assert code == 1
    assert 'job mail-fail: it is queued' in text
    assert 'job gone: there is no such job' in text


def test_cancel(stored: Redis, call: Call) -> None:
    assert call('cancel', 'mail-next', 'mail-later') == (0, 'Canceled 2 jobs.\n')
    assert state(stored, 'mail-later') == 'canceled'
    code, text = call('cancel', 'mail-next', 'mail-fail')
    assert code == 1
    assert 'job mail-next: it is canceled' in text
    assert 'job mail-fail: it is failed' in text
    assert call('retry', 'mail-next')[0] == 0
    stored.hset('rq:job:mail-next', 'status', 'started')
    assert '--stop stops it' in call('cancel', 'mail-next')[1]
    assert call('cancel', '--all', '--function', 'cli_jobs.fail', '--yes') == (0, 'Canceled other-later.\n')
    assert state(stored, 'other-next') == 'queued'


def test_delete(stored: Redis, call: Call) -> None:
    assert call('delete', 'mail-fail') == (0, 'Deleted mail-fail.\n')
    assert call('delete', 'mail-fail')[0] == 1
    assert call('delete', '--state', 'failed', '--function', 'cli_jobs.add', '--yes') == (0, 'Deleted 2 jobs.\n')
    assert Job.exists('other-fail', connection=stored)
    assert call('delete', '--state', 'scheduled', '-q', 'mail', '-y', '--json')[0] == 0
    assert not Job.exists('mail-later', connection=stored)
    assert Job.exists('other-later', connection=stored)


@pytest.mark.parametrize(
    'arguments', [['delete', '--state', 'failed'], ['cancel', '--all'], ['cancel', '--queue', 'mail']]
)
def test_many_are_not_changed_without_an_answer(arguments: list[str], stored: Redis, call: Call) -> None:
    code, text = call(*arguments)
    assert code == 2
    assert 'give --yes' in text
    assert len(list(stored.scan_iter('rq:job:*'))) == 8
    assert state(stored, 'mail-next') == 'queued'


@pytest.mark.parametrize(('answer', 'left'), [(b'n\n', 8), (b'y\n', 4)])
def test_the_terminal_is_asked(
    answer: bytes, left: int, stored: Redis, store_dir: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(ours, 'wb') as keyboard, os.fdopen(theirs) as stdin:
        monkeypatch.setattr('sys.stdin', stdin)
        keyboard.write(answer)
        keyboard.flush()
        code = main(['delete', '--state', 'failed', '--url', f'leveldb://{store_dir}'])
    assert code == (0 if left == 4 else 130)
    assert len(list(stored.scan_iter('rq:job:*'))) == left


@pytest.mark.parametrize(
    'arguments',
    [['delete'], ['cancel'], ['retry'], ['delete', 'mail-fail', '--state', 'failed'], ['delete', '--queue', 'mail']],
    ids=' '.join,
)
def test_what_is_not_said_clearly(arguments: list[str], stored: Redis, call: Call) -> None:
    assert call(*arguments)[0] == 2
    assert len(list(stored.scan_iter('rq:job:*'))) == 8


def test_requeueing_a_job_that_is_not_there(redis: Redis, call: Call) -> None:
    for arguments in (['requeue', 'gone'], ['requeue', '--queue', 'mail', 'gone']):
        code, text = call(*arguments)
        assert code == 1
        assert 'job gone: there is no such job' in text
    Queue(connection=redis).enqueue('cli_jobs.add', job_id='waits')
    assert 'it is not among the failed jobs of default' in call('requeue', 'waits')[1]

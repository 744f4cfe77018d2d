"""rq-leveldb job: what became of one job, and why it waits."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from rq import Queue, Retry
from rq.job import Dependency
from rq.suspension import suspend

from rq_leveldb import Redis
from rq_leveldb.cli.traceback_text import fold
from tests.cli.support import Call, add_worker, fields, work


def test_a_finished_job_shows_its_result_and_arguments(redis: Redis, call: Call) -> None:
    queue = Queue(connection=redis)
    job = queue.enqueue('cli_jobs.add', 'a\x1b[2J', right='b', job_id='sum', meta={'user': (1, 2)})
    work(redis, 'default')
    code, text = call('job', job.id)
    assert code == 0
    shown = fields(text)
    assert shown['Result'] == r"'a\x1b[2Jb'"
    assert shown['Call'] == r"cli_jobs.add('a\x1b[2J', right='b')"
    assert shown['Meta'] == "{'user': (1, 2)}"
    assert 'Took' in shown
    assert '\x1b' not in text
    shown = json.loads(call('job', job.id, '--json')[1])
    assert (shown['result'], shown['result_repr']) == ('a\x1b[2Jb', None)
    assert (shown['args'], shown['kwargs'], shown['meta']) == (['a\x1b[2J'], {'right': 'b'}, {'user': [1, 2]})
    assert shown['waits_because'] == []


@pytest.mark.parametrize(
    ('meta', 'shown'),
    [
        ({'progress': 40, 'progress_text': 'half\x1b[2J'}, r'40 %, half\x1b[2J'),
        ({'progress': 7}, '7 %'),
        ({'progress': 'much'}, None),
    ],
)
def test_progress(redis: Redis, call: Call, meta: dict[str, object], shown: str | None) -> None:
    Queue(connection=redis).enqueue('cli_jobs.fail', job_id='slow', meta=meta)
    assert fields(call('job', 'slow')[1]).get('Progress') == shown


def test_a_result_that_is_long_is_cut(redis: Redis, call: Call) -> None:
    Queue(connection=redis).enqueue('cli_jobs.add', 'x' * 5000, 'y', job_id='long')
    work(redis, 'default')
    _, text = call('job', 'long')
    assert '…' in text
    assert max(map(len, text.splitlines())) < 2100


def test_the_traceback_shows_the_frames_of_the_application(redis: Redis, call: Call) -> None:
    Queue(connection=redis).enqueue('cli_jobs.fail', job_id='bad')
    work(redis, 'default')
    _, text = call('job', 'bad')
    assert 'cli_jobs.py", line' in text
    assert 'ValueError: on purpose' in text
    assert 'rq/job.py' not in text
    assert 'frames of RQ; --verbose shows them' in text
    assert 'rq/job.py' in call('job', 'bad', '--verbose')[1]
    assert 'rq/job.py' in json.loads(call('job', 'bad', '--json')[1])['error']


def test_folding_keeps_the_causes_of_a_chain() -> None:
    text = (
        'Traceback (most recent call last):\n'
        '  File "/v/site-packages/rq/job.py", line 1, in perform\n    go()\n    ~~^^\n'
        '  File "/srv/rq/tasks.py", line 2, in work\n    1 / 0\n'
        'ZeroDivisionError: division by zero\n\n'
        'During handling of the above exception, another exception occurred:\n\n'
        'Traceback (most recent call last):\n'
        '  File "/src/rq_leveldb/worker/performing.py", line 3, in perform\n    go()\n'
        'KeyError: 1\n'
    )
    shown = fold(text)
    assert '/srv/rq/tasks.py' in shown
    assert '    1 / 0\nZeroDivisionError: division by zero' in shown
    assert shown.count('(1 frame of RQ') == 2
    assert 'go()' not in shown
    assert shown.endswith('KeyError: 1')
    assert fold('Work-horse terminated unexpectedly') == 'Work-horse terminated unexpectedly'


def test_why_a_queued_job_waits(redis: Redis, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    for number in range(3):
        queue.enqueue('cli_jobs.add', number, 1, job_id=f'job-{number}')

    def reasons(job_id: str) -> list[str]:
        found: list[str] = json.loads(call('job', job_id, '--json')[1])['waits_because']
        return found

    alone = 'no worker serves the queue mail; start one: rq-leveldb worker mail'
    assert reasons('job-0') == [alone]
    assert reasons('job-2') == [alone, 'behind 2 other jobs in the queue mail']
    assert fields(call('job', 'job-0')[1])['Waits because'] == alone
    add_worker(redis, 'died', started='1')
    assert reasons('job-0') == [alone]
    add_worker(redis, 'lives', max_children=1)
    assert reasons('job-0') == ['it is next in the queue mail']
    redis.sadd('rq:worker:lives:executions', 'other:1')
    assert reasons('job-0') == ['it is next, but the workers of the queue mail run as many jobs as they may (1)']
    suspend(redis)
    assert reasons('job-1')[0] == 'all workers are suspended; rq-leveldb resume lets them go on'
    redis.hset('rq:job:job-1', mapping={'status': 'started', 'worker_name': 'died'})
    assert 'its worker died died' in reasons('job-1')[0]


def test_what_a_deferred_job_waits_for(redis: Redis, call: Call) -> None:
    queue = Queue('mail', connection=redis)
    first = queue.enqueue('cli_jobs.fail', job_id='first')
    other = queue.enqueue_in(timedelta(hours=1), 'cli_jobs.add', job_id='other')
    queue.enqueue('cli_jobs.add', 1, 2, depends_on=Dependency([first, other]), job_id='then')
    work(redis, 'mail')
    shown = json.loads(call('job', 'then', '--json')[1])
    assert shown['waits_because'] == [
        'it depends on job first, which failed; rq-leveldb retry first runs that again',
        'it depends on job other, which is scheduled',
    ]
    assert shown['depends_on'] == [{'id': 'first', 'status': 'failed'}, {'id': 'other', 'status': 'scheduled'}]
    assert fields(call('job', 'first')[1])['Waiting for it'] == 'then (deferred)'
    assert 'it is due in 59 min' in call('job', 'other')[1]


def test_an_overdue_job_without_a_worker(redis: Redis, call: Call) -> None:
    job = Queue('mail', connection=redis).enqueue_in(timedelta(hours=1), 'cli_jobs.add', retry=Retry(max=1))
    redis.zincrby('rq:scheduled:mail', -7200, job.id)
    assert 'ago, and no worker has enqueued it: none is running' in call('job', job.id)[1]


@pytest.mark.parametrize('arguments', [['job', 'gone'], ['logs', 'gone'], ['logs', 'gone', '-f']])
def test_a_job_that_is_not_there(arguments: list[str], call: Call) -> None:
    code, text = call(*arguments)
    assert code == 1
    assert 'there is no job gone' in text


def test_logs(redis: Redis, call: Call) -> None:
    job = Queue(connection=redis).enqueue('cli_jobs.add', 1, 2)
    assert 'Run its worker with --capture-output' in call('logs', job.id)[1]
    redis.set(f'rq:output:{job.id}', 'one line\n')
    assert call('logs', job.id) == (0, 'one line\n')
    work(redis, 'default')
    assert call('logs', job.id, '-f') == (0, 'one line\n')
    assert f'rq-leveldb logs {job.id}' in call('job', job.id)[1]

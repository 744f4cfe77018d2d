"""rq-leveldb jobs: lists that are narrowed, go on page by page, and group what fails."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rq import Queue
from rq.job import Job

from rq_leveldb import Redis
from rq_leveldb.jobs.listing import TIMES
from rq_leveldb.jobs.moment import timestamp
from rq_leveldb.records import output_key
from tests.cli.support import Call, fields, work


@pytest.fixture
def stored(redis: Redis) -> Redis:
    """Return a store with jobs in several states."""
    mail, other = Queue('mail', connection=redis), Queue('other', connection=redis)
    for number in range(3):
        mail.enqueue('cli_jobs.fail', job_id=f'bad-{number}', failure_ttl=-1 if number else None)
        other.enqueue('cli_jobs.add', number, job_id=f'short-{number}')
    other.enqueue('cli_jobs.add', 1, 2, job_id='good')
    work(redis, 'mail', 'other')
    mail.enqueue('cli_jobs.add', 'alice', 2, job_id='next')
    other.enqueue('cli_jobs.add', 3, 4, job_id='waits')
    mail.enqueue_in(timedelta(hours=1), 'cli_jobs.add', job_id='later')
    return redis


def ids(call: Call, *arguments: str) -> list[str]:
    code, text = call('jobs', *arguments, '--json')
    assert code == 0, text
    return [job['id'] for job in json.loads(text)['jobs']]


@pytest.mark.usefixtures('stored')
def test_lists_are_narrowed(call: Call) -> None:
    assert ids(call, 'queued') == ['next', 'waits']
    assert ids(call, 'queued', '--search', 'ALICE') == ['next']
    assert ids(call, 'finished') == ['good']
    assert sorted(ids(call, 'failed')) == [*(f'bad-{n}' for n in range(3)), *(f'short-{n}' for n in range(3))]
    assert sorted(ids(call, 'failed', '-q', 'mail')) == ['bad-0', 'bad-1', 'bad-2']
    assert sorted(ids(call, 'failed', '--function', 'cli_jobs.add')) == ['short-0', 'short-1', 'short-2']
    assert sorted(ids(call, 'failed', '--error', 'ValueError')) == ['bad-0', 'bad-1', 'bad-2']
    assert len(ids(call, 'failed', '--since', '1h')) == 6
    assert json.loads(call('status', '--json')[1])['queues']['mail']['failed'] == 3
    assert ids(call, 'failed', '--since', '0') == []
    assert ids(call, '--queue', 'mail')[:2] == ['next', 'later']
    assert call('jobs', 'canceled') == (0, 'No such jobs.\n')


def test_what_jobs_printed_is_searched(stored: Redis, call: Call) -> None:
    stored.set(output_key('bad-1'), 'connecting\nNo such host: Örtlich')
    stored.set(output_key('good'), 'done')
    stored.rpush(output_key('bad-2'), 'no such host')

    assert ids(call, '--output', 'no such host: ÖRT') == ['bad-1']
    assert ids(call, 'failed', '--output', 'done') == []


def test_the_newest_failure_of_all_queues_comes_first(stored: Redis, call: Call) -> None:
    for age, (queue, job_id) in enumerate([('other', 'short-1'), ('mail', 'bad-0'), ('other', 'short-0')]):
        stored.zadd(f'rq:failed:{queue}', {job_id: 9e9 - age})
    assert ids(call, 'failed')[:3] == ['short-1', 'bad-0', 'short-0']


@pytest.mark.parametrize('state', [[], ['failed']])
def test_pages_follow_one_another(state: list[str], stored: Redis, call: Call) -> None:
    # The same score in both queues.
    for queue, name in (('mail', 'bad'), ('other', 'short')):
        stored.zadd(f'rq:failed:{queue}', {f'{name}-{number}': 9e9 for number in range(3)})
    everything = ids(call, *state)
    found: list[str] = []
    after: list[str] = []
    while True:
        page = json.loads(call('jobs', *state, '--limit', '2', *after, '--json')[1])
        found += [job['id'] for job in page['jobs']]
        if page['next'] is None:
            break
        after = ['--after', page['next']]
    assert found == everything
    assert len(found) == len(set(found)) == (6 if state else 10)


@pytest.mark.usefixtures('stored')
def test_a_list_for_people(call: Call) -> None:
    code, text = call('jobs', 'failed', '-q', 'mail', '-n', '2')
    assert code == 0
    head, row, *_ = text.splitlines()
    assert head.split() == ['id', 'status', 'queue', 'when', 'call', 'error']
    assert re.match(r'bad-\d  failed  mail +\d+ s ago +cli_jobs.fail\(\) +ValueError: on purpose$', row)
    cursor = re.search(r"There are more. Go on with --after '?([^'\n]+)", text)
    assert cursor is not None
    _, rest = call('jobs', 'failed', '-q', 'mail', '-n', '2', '--after', cursor[1])
    assert len(rest.splitlines()) == 2
    assert 'in 59 min' in call('jobs', 'scheduled')[1]


@pytest.mark.usefixtures('stored')
def test_failures_in_groups(call: Call) -> None:
    shown = json.loads(call('jobs', '--group', '--json')[1])
    assert {(group['error_type'], group['function'], group['count']) for group in shown['groups']} == {
        ('ValueError', 'cli_jobs.fail', 3),
        ('TypeError', 'cli_jobs.add', 3),
    }
    text = call('jobs', 'failed', '--group', '-q', 'mail')[1]
    assert re.search(r'^3 +ValueError +cli_jobs.fail +mail .* bad-\d +on purpose$', text, re.MULTILINE)
    assert call('jobs', 'queued', '--group')[0] == 2


@pytest.mark.parametrize('arguments', [['--after', 'x'], ['--since', '5x'], ['gone'], ['--limit', '0']])
def test_what_cannot_be_understood(arguments: list[str], call: Call) -> None:
    code, text = call('jobs', *arguments)
    assert code == 2
    assert 'Traceback' not in text


def test_what_is_no_list_of_jobs_is_named(redis: Any, call: Call) -> None:
    Queue('mail', connection=redis).enqueue('cli_jobs.add')
    redis.set('rq:failed:mail', 'text')
    code, text = call('jobs')
    assert code == 0
    assert 'cli_jobs.add()' in text
    assert 'Cannot be read: rq:failed:mail' in text


def test_points_in_time_are_written_as_over_http(stored: Redis, call: Call) -> None:
    good = Job.fetch('good', connection=stored)
    due = datetime.fromtimestamp(stored.zscore('rq:scheduled:mail', 'later') or 0, timezone.utc)
    listed = {job['id']: job for job in json.loads(call('jobs', '--json')[1])['jobs']}
    shown = {job_id: json.loads(call('job', job_id, '--json')[1]) for job_id in ('good', 'later')}
    group, _ = json.loads(call('jobs', '--group', '--json')[1])['groups']
    for found in (listed, shown):
        for name in TIMES:
            assert found['good'][name] == timestamp(getattr(good, name))
        assert found['later']['due_at'] == timestamp(due)
    assert group['latest_at'] == timestamp(Job.fetch(group['latest_job'], connection=stored).ended_at)
    assert group['latest_at'].endswith('Z')
    assert good.ended_at is not None
    assert good.started_at is not None
    assert fields(call('job', 'good')[1])['Took'] == f'{(good.ended_at - good.started_at).total_seconds():.3f} s'

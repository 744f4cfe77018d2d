"""Why jobs failed, told at once for many of them, and what is done about them together."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rq import Queue
from rq.job import Job, JobStatus

from rq_leveldb.jobs.error_text import read_error
from tests.http.support import Api, FrontProcess, ask, fail, trace


@pytest.mark.parametrize(
    ('text', 'kind', 'line'),
    [
        (trace('ValueError: no such thing\nand more'), 'ValueError', 'ValueError: no such thing'),
        (trace('shop.errors.Gone'), 'shop.errors.Gone', 'shop.errors.Gone'),
        (trace('KeyError: 1') + '\nDuring:\n\n' + trace('OSError: [Errno 2] x'), 'OSError', 'OSError: [Errno 2] x'),
        ('Killed by signal 9, pid 123', 'Killed by signal N, pid N', 'Killed by signal 9, pid 123'),
        ('\n  Job was stuck.\n', 'Job was stuck.', 'Job was stuck.'),
        ('  File "x"', 'File "x"', 'File "x"'),
        ('', 'unknown', ''),
        (None, 'unknown', ''),
    ],
)  # fmt: skip
def test_an_error_in_one_line(text: str | None, kind: str, line: str) -> None:
    found = read_error(text)
    assert (found.kind, found.line) == (kind, line)


def test_failed_jobs_are_grouped_by_function_and_error(api: Api, connection: Any) -> None:
    now = datetime.now(timezone.utc)
    fail(connection, 'mail', 'echo', trace('ValueError: first'), ended_at=now - timedelta(hours=2, minutes=1))
    fail(connection, 'mail', 'echo', trace('ValueError: older'), ended_at=now - timedelta(days=3))
    latest = fail(connection, 'images', 'echo', trace('ValueError: second\nof two lines'), ended_at=now)
    fail(connection, 'mail', 'echo', trace('KeyError: 1'), ended_at=now)
    fail(connection, 'mail', 'add', trace('ValueError: third'), ended_at=now)
    found = api.get('/v1/failures').json
    assert (found['total'], found['looked_at'], found['groups']) == (5, 5, 3)
    first = found['items'][0]
    assert (first['error_type'], first['function'], first['count']) == ('ValueError', 'http_tasks.echo', 3)
    assert (first['error'], first['latest_job']) == ('ValueError: second', latest)
    assert sorted(first['queues']) == ['images', 'mail']
    assert (first['per_hour'][-1], first['per_hour'][-3], sum(first['per_hour'])) == (1, 1, 2)
    assert [item['count'] for item in found['items']] == [3, 1, 1]

    assert [item['count'] for item in api.get('/v1/failures?queue=images').json['items']] == [1]
    assert len(api.get('/v1/failures?search=keyerror').json['items']) == 1
    limited = api.get('/v1/failures?limit=1').json
    assert (len(limited['items']), limited['groups']) == (1, 3)


def test_a_list_of_failed_jobs_has_their_errors(api: Api, connection: Any) -> None:
    fail(connection, 'mail', 'echo', trace('ValueError: first\nand more'))
    (job,) = api.get('/v1/jobs?status=failed').json['items']
    assert (job['error'], job['error_type']) == ('ValueError: first', 'ValueError')
    shown = api.get(job['url']).json
    assert (shown['error'], shown['exception']) == (job['error'], trace('ValueError: first\nand more'))


@pytest.mark.parametrize(
    ('filters', 'found'),
    [
        ('search=INVOICE', {'a'}),
        ('search=report', {'b'}),
        ('search=connection%20refused', {'b'}),
        ('search=w1', {'a', 'b'}),
        ('search=nothing', set()),
        ('worker=w1&function=http_tasks.echo', {'a'}),
        ('worker=w2', set()),
        ('error_type=OSError', {'b'}),
        ('error_type=OSError&queue=default', set()),
    ],
)
def test_failed_jobs_are_searched(api: Api, connection: Any, filters: str, found: set[str]) -> None:
    fail(connection, 'default', 'echo', trace('ValueError: no'), args=('invoice 7',), id='a', description='send')
    fail(connection, 'other', 'add', trace('OSError: Connection refused'), id='b', description='the report')
    listed = api.get(f'/v1/jobs?status=failed&{filters}').json['items']
    assert {job['id'] for job in listed} == found


def test_waiting_jobs_are_searched(api: Api) -> None:
    wanted = api.enqueue('echo', 'Ünal')
    api.enqueue('echo', 'other')
    for text in ('ünal', wanted[:8], 'ECHO'):
        found = api.get('/v1/jobs', params={'status': 'queued', 'search': text}).json['items']
        assert wanted in [job['id'] for job in found]
    assert len(found) == 2
    assert api.get('/v1/jobs?status=queued&error_type=unknown').json['items'] == []


def test_a_group_is_requeued_and_another_deleted(api: Api, connection: Any) -> None:
    one = fail(connection, 'mail', 'echo', trace('ValueError: 1'))
    other = fail(connection, 'mail', 'echo', trace('KeyError: 2'))
    third = fail(connection, 'mail', 'add', trace('ValueError: 3'))
    group = {'function': 'http_tasks.echo', 'error_type': 'ValueError'}
    assert api.post('/v1/requeue-failed', group).json == {
        'requeued': [one], 'count': 1, 'looked_at': 3, 'is_complete': True, 'next': None,
    }  # fmt: skip
    assert Queue('mail', connection=connection).job_ids == [one]
    assert api.post('/v1/delete-failed', {'error_type': 'KeyError'}).json['deleted'] == [other]
    assert api.get(f'/v1/jobs/{other}').status_code == 404
    assert [job['id'] for job in api.get('/v1/jobs?status=failed').json['items']] == [third]


def test_a_selection_is_requeued_or_deleted(api: Api, connection: Any) -> None:
    failed = [fail(connection, 'mail', 'echo', trace('ValueError: 1')) for _ in range(3)]
    waiting = api.enqueue('add', 1)
    canceled = api.enqueue('add', 2)
    api.post(f'/v1/jobs/{canceled}/cancel')
    chosen = [failed[0], waiting, canceled, 'gone']
    assert api.post('/v1/requeue-failed', {'jobs': chosen}).json['requeued'] == [failed[0], canceled]
    # What waits is not deleted with the failed ones.
    assert api.post('/v1/delete-failed', {'jobs': [failed[1], waiting]}).json['deleted'] == [failed[1]]
    assert api.get(f'/v1/jobs/{waiting}').json['status'] == 'queued'
    for path in ('/v1/requeue-failed', '/v1/delete-failed'):
        refused = api.post(path, {'jobs': [failed[2]], 'queue': 'mail'})
        assert (refused.status_code, refused.json['errors'][0]['pointer']) == (422, '/jobs')
        assert api.post(path, {'jobs': []}).status_code == 422
        assert api.post(path, {'unknown': 1}).status_code == 422


def test_many_are_deleted_in_several_requests(api: Api, connection: Any) -> None:
    pipe = connection.pipeline(transaction=False)
    for number in range(2100):
        job = Job.create('http_tasks.add', (number,), connection=connection, origin='mail', status=JobStatus.FAILED)
        job.save(pipeline=pipe)
        job.failed_job_registry.add(job, ttl=86400, pipeline=pipe)
    pipe.sadd(Queue.redis_queues_keys, 'rq:queue:mail')
    pipe.execute()
    connection.config_resetstat()
    # Nothing is kept of why they failed, which is a kind of error as well.
    first = api.post('/v1/delete-failed', {'error_type': 'unknown'}).json
    assert (first['count'], first['is_complete']) == (1000, False)
    # Those that come later were not read.
    assert connection.info('commandstats')['cmdstat_xrevrange']['calls'] <= 1100
    assert api.post('/v1/delete-failed', {'error_type': 'unknown'}).json['count'] == 1000
    second = api.post('/v1/delete-failed', {'function': 'http_tasks.add', 'cursor': first['next']}).json
    assert (second['count'], second['is_complete'], second['next']) == (100, True, None)
    assert api.get('/v1/failures').json['total'] == 0


def test_a_search_looks_at_as_many_jobs_to_delete_as_to_list_them(api: Api, connection: Any) -> None:
    pipe = connection.pipeline(transaction=False)
    jobs = [
        Job.create('http_tasks.add', (text,), connection=connection, origin='mail', status=JobStatus.FAILED)
        for text in ('wanted', *['other'] * 2000, 'wanted')
    ]
    for number, job in enumerate(jobs, 1):
        job.save(pipeline=pipe)
        job.failed_job_registry.add(job, ttl=86400 + number, pipeline=pipe)
    pipe.sadd(Queue.redis_queues_keys, 'rq:queue:mail')
    pipe.execute()
    listed = api.get('/v1/jobs?status=failed&search=wanted').json
    assert ([job['id'] for job in listed['items']], listed['next'] is None) == ([jobs[-1].id], False)
    first = api.post('/v1/delete-failed', {'search': 'wanted'}).json
    assert (first['deleted'], first['looked_at'], first['is_complete']) == ([jobs[0].id], 2000, False)
    second = api.post('/v1/delete-failed', {'search': 'wanted', 'cursor': first['next']}).json
    assert (second['deleted'], second['looked_at'], second['is_complete']) == ([jobs[-1].id], 2, True)


def test_a_job_names_what_it_waits_for_and_what_waits_for_it(api: Api) -> None:
    first = api.enqueue('add', 1, description='the first')
    second = api.enqueue('add', 2, depends_on=[first], description='the second')
    held = api.get(f'/v1/jobs/{first}').json
    assert [(job['id'], job['status'], job['description']) for job in held['dependent_jobs']] == [
        (second, 'deferred', 'the second')
    ]
    waiting = api.get(f'/v1/jobs/{second}').json
    assert [(job['status'], job['description']) for job in waiting['dependency_jobs']] == [('queued', 'the first')]
    api.delete(f'/v1/jobs/{first}')
    assert api.get(f'/v1/jobs/{second}').json['dependency_jobs'][0]['status'] is None


def test_a_scheduled_job_says_in_the_list_when_it_is_due(api: Api) -> None:
    api.enqueue('add', 1, enqueue_at='2031-01-31T12:00:00Z')
    (job,) = api.get('/v1/jobs?status=scheduled').json['items']
    assert job['scheduled_at'] == '2031-01-31T12:00:00.000000Z'


def test_over_http(start_front: Callable[..., FrontProcess], connection: Any) -> None:
    front = start_front()
    one = fail(connection, 'mail', 'echo', trace('ValueError: 1'))
    assert ask(front, '/v1/failures')[1]['items'][0]['latest_job'] == one
    assert ask(front, '/v1/delete-failed', {'jobs': [one]}, token=None)[0] == 401
    assert ask(front, '/v1/delete-failed', {'jobs': [one]}) == (
        200, {'deleted': [one], 'count': 1, 'looked_at': 1, 'is_complete': True, 'next': None},
    )  # fmt: skip

"""Enqueueing and looking at jobs: what goes in, what comes out, what is refused and how."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from rq import Queue
from rq.job import Job

from rq_leveldb.http.application import Application
from tests.http.support import Api


def test_every_option_reaches_rq(api: Api, connection: Any) -> None:
    first = api.enqueue('add', 1)
    answer = api.post(
        '/v1/jobs',
        {
            'function': 'http_tasks.echo',
            'args': [1, 'two', {'three': [3.5, None, True]}],
            'kwargs': {'timeout': 'mine', 'queue': 'also mine'},
            'queue': 'other',
            'job_id': 'by-name',
            'timeout': '5m',
            'ttl': 100,
            'result_ttl': -1,
            'failure_ttl': '1d',
            'depends_on': {'jobs': [first], 'allow_failure': True, 'at_front': True},
            'retry': {'max': 3, 'intervals': [1, 2, '3s'], 'at_front': True},
            'repeat': {'times': 2, 'intervals': 10},
            'description': 'An echo',
            'meta': {'who': 'me'},
            'on_success': 'http_tasks.on_end',
            'on_failure': {'function': 'http_tasks.on_end', 'timeout': 9},
            'on_stopped': 'http_tasks.on_end',
        },
    )
    assert answer.status_code == 201
    assert answer.headers['location'] == '/v1/jobs/by-name'
    assert answer.json['status'] == 'deferred'
    job = Job.fetch('by-name', connection=connection)
    assert job.args == [1, 'two', {'three': [3.5, None, True]}]
    assert job.kwargs == {'timeout': 'mine', 'queue': 'also mine'}
    assert (job.origin, job.timeout, job.ttl, job.result_ttl, job.failure_ttl) == ('other', 300, 100, -1, 86400)
    assert (job.retries_left, job.retry_intervals, job.enqueue_at_front_on_retry) == (3, [1, 2, 3], True)
    assert (job.repeats_left, job.repeat_intervals) == (2, [10])
    assert (job.description, job.meta, job.allow_dependency_failures) == ('An echo', {'who': 'me'}, True)
    assert job._failure_callback_name == 'http_tasks.on_end'
    assert job._failure_callback_timeout == 9


def test_at_front_and_positions(api: Api) -> None:
    last = api.enqueue('add', 1)
    first = api.enqueue('add', 2, at_front=True)
    assert api.get(f'/v1/jobs/{first}').json['position'] == 0
    assert api.get(f'/v1/jobs/{last}').json['position'] == 1


def test_jobs_for_later(api: Api, connection: Any) -> None:
    at = datetime.now(timezone.utc) + timedelta(hours=2)
    one = api.enqueue('add', 1, enqueue_at=at.isoformat())
    two = api.enqueue('add', 1, enqueue_in='1h')
    assert api.get(f'/v1/jobs/{one}').json['scheduled_at'].startswith(at.strftime('%Y-%m-%dT%H:%M:%S'))
    listed = api.get('/v1/jobs?status=scheduled').json['items']
    assert [item['id'] for item in listed] == [two, one]
    schedule = api.get('/v1/schedules').json['items'][0]
    assert (schedule['queue'], schedule['count'], schedule['next_job']) == ('default', 2, two)


def test_a_scheduled_job_is_made_due(api: Api, connection: Any) -> None:
    later = api.enqueue('add', 1, enqueue_in='1h')
    assert api.post(f'/v1/jobs/{later}/run-now').status_code == 202
    registry = Queue(connection=connection).scheduled_job_registry
    assert registry.get_jobs_to_schedule() == [later]
    waiting = api.enqueue('add', 2)
    answer = api.post(f'/v1/jobs/{waiting}/run-now')
    assert (answer.status_code, answer.json['detail']) == (
        409,
        'A job that is queued cannot be run before it is due.',
    )
    # It has not been scheduled thereby.
    assert registry.get_jobs_to_schedule() == [later]


def test_a_unique_job_is_there_once(api: Api) -> None:
    api.enqueue('add', 1, job_id='one', unique=True)
    answer = api.post('/v1/jobs', {'function': 'http_tasks.add', 'args': [1], 'job_id': 'one', 'unique': True})
    assert answer.status_code == 409
    assert answer.headers['location'] == '/v1/jobs/one'
    assert answer.json['errors'][0]['pointer'] == '/job_id'
    assert api.get('/v1/queues/default').json['counts']['queued'] == 1


def test_results_and_exceptions(api: Api, work: Callable[..., None]) -> None:
    names = {name: api.enqueue(name) for name in ('price', 'money', 'fail')}
    good = api.enqueue('echo', 1)
    work()
    assert api.get(f'/v1/jobs/{good}/result').json['result']['value'] == {'args': [1], 'kwargs': {}}
    price = api.get(f'/v1/jobs/{names["price"]}').json
    assert (price['result'], price['result_repr']) == (None, "Decimal('1.50')")
    money = api.get(f'/v1/jobs/{names["money"]}/result').json['result']
    assert (money['value'], money['value_repr']) == (None, 'http_tasks.Money(amount=7)')
    failed = api.get(f'/v1/jobs/{names["fail"]}').json
    assert failed['status'] == 'failed'
    assert 'ValueError: no' in failed['exception']
    assert failed['wait_seconds'] >= 0
    assert failed['duration_seconds'] >= 0


def test_what_a_job_holds_is_looked_at_and_never_run(api: Api, connection: Any, tmp_path: Any) -> None:
    import os

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / 'sprung'),)

    job = Queue('default', connection=connection).enqueue('http_tasks.echo', Trap(), meta={'trap': Trap()})
    document = api.get(f'/v1/jobs/{job.id}').json
    assert 'posix.mkdir' in document['args_repr']
    assert 'posix.mkdir' in document['meta_repr']
    for path in ('/v1/jobs?status=queued&function=x', f'/v1/jobs/{job.id}/result', '/v1/queues', '/metrics'):
        assert api.get(path).status_code in (200, 202)
    assert not (tmp_path / 'sprung').exists()
    # And what could not be read here is still there afterwards, byte for byte.
    before = connection.hget(job.key, 'meta')
    api.post(f'/v1/jobs/{job.id}/cancel')
    api.post(f'/v1/jobs/{job.id}/requeue')
    assert connection.hget(job.key, 'meta') == before


@pytest.mark.parametrize(
    ('fields', 'pointer'),
    [
        ({'args': 5}, '/args'),
        ({'kwargs': []}, '/kwargs'),
        ({'queue': 'a b'}, '/queue'),
        ({'queue': ''}, '/queue'),
        ({'job_id': 'a:b'}, '/job_id'),
        ({'unique': True}, '/unique'),
        ({'unique': 1}, '/unique'),
        ({'timeout': 0}, '/timeout'),
        ({'timeout': '5 minutes'}, '/timeout'),
        ({'ttl': -5}, '/ttl'),
        ({'result_ttl': 1.5}, '/result_ttl'),
        ({'failure_ttl': 10**12}, '/failure_ttl'),
        ({'depends_on': []}, '/depends_on'),
        ({'depends_on': ['a', 5]}, '/depends_on/1'),
        ({'at_front': 'yes'}, '/at_front'),
        ({'retry': 3}, '/retry'),
        ({'retry': {'max': 0}}, '/retry/max'),
        ({'retry': {}}, '/retry/max'),
        ({'retry': {'max': 1, 'intervals': [1, -1]}}, '/retry/intervals/1'),
        ({'retry': {'max': 1, 'often': True}}, '/retry/often'),
        ({'repeat': {'times': 'x'}}, '/repeat/times'),
        ({'description': 5}, '/description'),
        ({'meta': 'x'}, '/meta'),
        ({'enqueue_at': 'tomorrow'}, '/enqueue_at'),
        ({'enqueue_at': '2030-02-30T00:00:00Z'}, '/enqueue_at'),
        ({'enqueue_at': '2030-01-01T00:00:00'}, '/enqueue_at'),
        ({'enqueue_in': -1}, '/enqueue_in'),
        ({'enqueue_in': 1, 'enqueue_at': '2030-01-01T00:00:00Z'}, '/enqueue_in'),
        ({'enqueue_in': 1, 'depends_on': 'a'}, '/depends_on'),
        ({'on_success': 'os'}, '/on_success'),
        ({'function': 'nodots'}, '/function'),
        ({'function': None}, '/function'),
        ({'color': 'red'}, '/color'),
        ({'a/b~c': 1}, '/a~1b~0c'),
    ],
)
def test_a_field_that_is_not_accepted_is_named(api: Api, fields: dict[str, Any], pointer: str) -> None:
    answer = api.post('/v1/jobs', {'function': 'http_tasks.add', **fields})
    assert answer.status_code == 422
    assert answer.headers['content-type'] == 'application/problem+json'
    assert answer.json['status'] == 422
    assert [error['pointer'] for error in answer.json['errors']] == [pointer]
    assert api.get('/v1/queues').json['items'] == []


@pytest.mark.parametrize(
    ('body', 'content_type', 'status'),
    [
        ('{"function": "http_tasks.add"', 'application/json', 400),
        ('', 'application/json', 400),
        ('{"args": [NaN]}', 'application/json', 400),
        ('[' * 100_000, 'application/json', 400),
        ('{"args": ["\\ud800"]}', 'application/json', 400),
        ('{"args": [' + '9' * 5000 + ']}', 'application/json', 400),
        (b'{"args": ["\xff"]}', 'application/json', 400),
        ('[]', 'application/json', 422),
        ('"x"', 'application/json', 422),
        ('{"function": "http_tasks.add"}', None, 415),
        ('{"function": "http_tasks.add"}', 'text/plain', 415),
        ('{"function": "http_tasks.add"}', 'application/json; charset=latin-1', 415),
        ('function=http_tasks.add', 'application/x-www-form-urlencoded', 415),
        (b'\x80\x04K\x01.', 'application/octet-stream', 415),
        (' ' * 2000 + '{}', 'application/json', 413),
    ],
)
def test_a_body_that_is_not_accepted(
    make_front: Callable[..., Application], body: Any, content_type: str | None, status: int
) -> None:
    api = Api(
        make_front(
            max_body=200_000 if isinstance(body, str) and body.startswith('[[') else 6000 if status != 413 else 1000
        )
    )
    headers = {'Content-Type': content_type} if content_type else {}
    answer = api.client.simulate_post('/v1/jobs', body=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.json['type'].startswith('urn:rq-leveldb:problem:')


def nested(depth: int, opening: str, closing: str) -> str:
    return f'{opening * depth}1{closing * depth}'


@pytest.mark.parametrize('pair', [('[', ']'), ('{"a":', '}')], ids=['arrays', 'objects'])
@pytest.mark.parametrize('depth', [190, 240])
def test_what_is_nested_deeply_runs_and_is_shown(
    api: Api, work: Callable[..., None], pair: tuple[str, str], depth: int
) -> None:
    value = nested(depth, *pair)
    body = f'{{"function": "http_tasks.echo", "args": [{value}], "kwargs": {{"x": {value}}}, "meta": {{"x": {value}}}}}'
    headers = {'Content-Type': 'application/json', 'Idempotency-Key': 'deep'}
    job_id = api.client.simulate_post('/v1/jobs', body=body, headers=headers).json['id']
    work()
    shown = api.get(f'/v1/jobs/{job_id}').json
    assert shown['status'] == 'finished'
    if depth > 200:
        # As Python writes it, shortened.
        assert shown['args_repr'].endswith(']')
        return
    result = api.get(f'/v1/jobs/{job_id}/result').json['result']['value']
    for held in (shown['args'][0], shown['kwargs']['x'], shown['meta']['x'], result['args'][0], result['kwargs']['x']):
        assert held == json.loads(value)


@pytest.mark.parametrize('depth', [250, 400, 500, 700, 900, 100_000])
@pytest.mark.parametrize('pair', [('[', ']'), ('{"a":', '}')], ids=['arrays', 'objects'])
@pytest.mark.parametrize('field', ['args', 'kwargs', 'meta', 'timeout', 'retry'])
def test_what_is_nested_too_deeply_is_named(api: Api, depth: int, pair: tuple[str, str], field: str) -> None:
    value = nested(depth, *pair)
    job = f'{{"function": "http_tasks.echo", "{field}": {f"[{value}]" if field == "args" else value}}}'
    for path, body, pointer in (
        ('/v1/jobs', job, f'/{field}'),
        ('/v1/batch', f'{{"jobs": [{{"function": "http_tasks.add"}}, {job}]}}', f'/jobs/1/{field}'),
    ):
        for more in ({}, {'Idempotency-Key': 'deep'}):
            answer = api.client.simulate_post(path, body=body, headers={'Content-Type': 'application/json', **more})
            assert answer.status_code == 400
            assert answer.json['type'] == 'urn:rq-leveldb:problem:nested-too-deeply'
            # Where JSON's own reader gives up, no field is known yet.
            assert answer.json['errors'][0]['pointer'] == ('' if depth > 900 else pointer)


@pytest.mark.parametrize('function', ['os.system', 'http_tasks.os.system', 'subprocess.run', 'http_tasks.a.b'])
def test_a_function_that_is_not_allowed(api: Api, function: str) -> None:
    answer = api.post('/v1/jobs', {'function': function})
    assert answer.status_code == 403
    assert '--allow' in answer.json['hint']
    assert answer.json['errors'] == [{'detail': 'is not allowed', 'pointer': '/function'}]
    callback = api.post('/v1/jobs', {'function': 'http_tasks.add', 'on_failure': function})
    assert callback.status_code == 403
    assert callback.json['errors'][0]['pointer'] == '/on_failure'


def test_without_patterns_only_decorated_functions_are_allowed(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(allow=()))
    assert api.get('/v1/functions').json == {'functions': ['http_tasks.add'], 'patterns': []}
    assert api.post('/v1/jobs', {'function': 'http_tasks.add'}).status_code == 201
    refused = api.post('/v1/jobs', {'function': 'http_tasks.ad'})
    assert refused.status_code == 403
    assert 'Did you mean http_tasks.add?' in refused.json['hint']


def test_a_batch_is_enqueued_whole_or_not_at_all(api: Api, work: Callable[..., None]) -> None:
    good = [{'function': 'http_tasks.add', 'args': [number]} for number in range(50)]
    answer = api.post('/v1/batch', {'jobs': [*good, {'function': 'http_tasks.add', 'timeout': 0}]})
    assert answer.status_code == 422
    assert answer.json['errors'][0]['pointer'] == '/jobs/50/timeout'
    assert api.get('/v1/queues').json['items'] == []
    assert api.post('/v1/batch', {'jobs': [*good, {'function': 'os.system'}]}).status_code == 403
    assert api.get('/v1/queues').json['items'] == []
    answer = api.post(
        '/v1/batch',
        {
            'jobs': [
                *good,
                {'function': 'http_tasks.add', 'args': [1], 'job_id': 'a', 'queue': 'other'},
                {'function': 'http_tasks.add', 'args': [2], 'depends_on': ['a'], 'job_id': 'b'},
                {'function': 'http_tasks.add', 'args': [3], 'unique': True, 'job_id': 'c'},
            ]
        },
    )
    assert answer.status_code == 201
    assert [item['status'] for item in answer.json['jobs']] == ['queued'] * 51 + ['deferred', 'queued']
    again = api.post('/v1/batch', {'jobs': [{'function': 'http_tasks.add', 'unique': True, 'job_id': 'c'}]})
    assert again.json['jobs'][0] == {
        'id': 'c',
        'url': '/v1/jobs/c',
        'status': None,
        'queue': 'default',
        'is_duplicate': True,
    }
    work('default', 'other')
    assert api.get('/v1/jobs/b/result').json['result']['value'] == 2


def test_a_batch_has_a_limit(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(max_batch=3))
    answer = api.post('/v1/batch', {'jobs': [{'function': 'http_tasks.add'}] * 4})
    assert answer.status_code == 413
    assert api.post('/v1/batch', {'jobs': []}).status_code == 422
    twice = api.post('/v1/batch', {'jobs': [{'function': 'http_tasks.add', 'job_id': 'x'}] * 2})
    assert twice.status_code == 409


def test_waiting_for_a_job_that_does_not_exist(api: Api) -> None:
    answer = api.post('/v1/jobs', {'function': 'http_tasks.add', 'depends_on': ['nobody']})
    assert answer.status_code == 409
    assert answer.json['errors'][0]['pointer'] == '/depends_on'


def test_an_idempotency_key_makes_a_repeated_request_harmless(api: Api) -> None:
    job = {'function': 'http_tasks.add', 'args': [1, 2]}
    headers = {'Idempotency-Key': 'order-17'}
    first = api.post('/v1/jobs', job, headers=headers)
    second = api.post('/v1/jobs', job, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json['id'] == second.json['id']
    assert first.headers['location'] == second.headers['location']
    assert second.headers['idempotency-replayed'] == 'true'
    assert 'idempotency-replayed' not in first.headers
    assert api.get('/v1/queues/default').json['counts']['queued'] == 1
    other = api.post('/v1/jobs', {**job, 'args': [1]}, headers=headers)
    assert other.status_code == 422
    assert other.json['errors'] == [{'detail': 'was used for another request', 'parameter': 'Idempotency-Key'}]
    assert api.post('/v1/jobs', job, headers={'Idempotency-Key': 'a b'}).status_code == 400


def test_an_idempotency_key_covers_a_batch_and_a_race(api: Api) -> None:
    document = {'jobs': [{'function': 'http_tasks.add', 'args': [number]} for number in range(5)]}
    answers: list[Any] = []

    def send() -> None:
        answers.append(api.post('/v1/batch', document, headers={'Idempotency-Key': 'once'}))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({json.dumps([job['id'] for job in answer.json['jobs']]) for answer in answers}) == 1
    assert sum('idempotency-replayed' in answer.headers for answer in answers) == 7
    assert api.get('/v1/queues/default').json['counts']['queued'] == 5


def test_a_request_that_was_refused_does_not_use_up_its_key(api: Api) -> None:
    headers = {'Idempotency-Key': 'retry-me'}
    assert api.post('/v1/jobs', {'function': 'os.system'}, headers=headers).status_code == 403
    waits = {'function': 'http_tasks.add', 'depends_on': ['nobody']}
    assert api.post('/v1/jobs', waits, headers=headers).status_code == 409
    assert api.post('/v1/jobs', {'function': 'http_tasks.add'}, headers=headers).status_code == 201


def test_lists_come_in_pages(api: Api, work: Callable[..., None]) -> None:
    ids = [api.enqueue('add', number, queue=name) for name in ('a', 'b') for number in range(7)]

    def pages(status: str, limit: int, **more: str) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            params = {'status': status, 'limit': str(limit), **more, **({'cursor': cursor} if cursor else {})}
            page = api.get('/v1/jobs', params=params).json
            assert len(page['items']) <= limit
            found += [item['id'] for item in page['items']]
            cursor = page['next']
            if cursor is None:
                return found

    assert pages('queued', 4) == ids
    assert pages('queued', 3, queue='b') == ids[7:]
    work('a', 'b')
    assert sorted(pages('finished', 4)) == sorted(ids)
    assert pages('queued', 4) == []


def test_lists_can_be_filtered(api: Api, work: Callable[..., None]) -> None:
    add, fail = api.enqueue('add', 1), api.enqueue('fail')
    before = datetime.now(timezone.utc)
    work()
    assert [item['id'] for item in api.get('/v1/jobs?status=failed').json['items']] == [fail]
    by_function = api.get('/v1/jobs', params={'status': 'finished', 'function': 'http_tasks.add'}).json['items']
    assert [item['id'] for item in by_function] == [add]
    assert api.get('/v1/jobs', params={'status': 'finished', 'function': 'http_tasks.echo'}).json['items'] == []
    since = {'status': 'finished', 'since': before.isoformat()}
    assert len(api.get('/v1/jobs', params=since).json['items']) == 1
    until = {'status': 'finished', 'until': before.isoformat()}
    assert api.get('/v1/jobs', params=until).json['items'] == []


@pytest.mark.parametrize(
    ('path', 'parameter'),
    [
        ('/v1/jobs', 'status'),
        ('/v1/jobs?status=odd', 'status'),
        ('/v1/jobs?status=queued&limit=0', 'limit'),
        ('/v1/jobs?status=queued&limit=1&limit=2', 'limit'),
        ('/v1/jobs?status=queued&cursor=x', 'cursor'),
        ('/v1/jobs?status=queued&since=now', 'since'),
        ('/v1/jobs?status=queued&colour=red', 'colour'),
        ('/v1/queues?limit=501', 'limit'),
        ('/healthz?x=1', 'x'),
    ],
)
def test_a_query_that_is_not_accepted_is_named(api: Api, path: str, parameter: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 400
    assert [error['parameter'] for error in answer.json['errors']] == [parameter]


def test_cancel_stop_requeue_delete(api: Api, work: Callable[..., None]) -> None:
    job = api.enqueue('fail')
    assert api.post(f'/v1/jobs/{job}/cancel').json['status'] == 'canceled'
    assert api.post(f'/v1/jobs/{job}/cancel').status_code == 409
    assert api.post(f'/v1/jobs/{job}/stop').status_code == 409
    assert api.post(f'/v1/jobs/{job}/requeue', {'at_front': True}).json['status'] == 'queued'
    assert api.post(f'/v1/jobs/{job}/requeue').status_code == 409
    work()
    more = [api.enqueue('fail') for _ in range(3)]
    work()
    answer = api.post('/v1/requeue-failed', {'function': 'http_tasks.fail'}).json
    assert sorted(answer['requeued']) == sorted([job, *more])
    assert answer['is_complete'] is True
    assert api.delete(f'/v1/jobs/{job}').status_code == 204
    assert api.get(f'/v1/jobs/{job}').status_code == 404
    assert api.delete(f'/v1/jobs/{job}').status_code == 404
    assert api.post(f'/v1/jobs/{job}/requeue').status_code == 404


@pytest.mark.parametrize('path', ['/v1/jobs/no', '/v1/jobs/%00', '/v1/queues/no', '/v1/workers/no', '/v1/odd', '/odd'])
def test_what_is_not_there(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.headers['content-type'] == 'application/problem+json'


def test_a_wait_is_bounded(api: Api) -> None:
    job = api.enqueue('add', 1)
    answer = api.get(f'/v1/jobs/{job}/result?wait=1')
    assert answer.json == {'id': job, 'status': 'queued', 'is_final': False, 'result': None, 'faults': []}
    assert api.get(f'/v1/jobs/{job}/result?wait=61').status_code == 400


def test_too_many_waits_are_refused_and_others_served(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(max_waiting=1, max_wait=5))
    job = api.enqueue('add', 1)
    answers: queue.Queue[Any] = queue.Queue()
    for _ in range(3):
        threading.Thread(target=lambda: answers.put(api.get(f'/v1/jobs/{job}/result?wait=5'))).start()
    # Whichever of them came first is waiting; the two others are answered at once.
    for refused in (answers.get(timeout=30), answers.get(timeout=30)):
        assert refused.status_code == 503
        assert refused.headers['retry-after'] == '5'
    assert api.get(f'/v1/jobs/{job}').status_code == 200
    api.delete(f'/v1/jobs/{job}')
    assert answers.get(timeout=30).status_code != 503


def test_a_wait_outlives_the_store(api: Api, connection: Any, url: str, work: Callable[..., None]) -> None:
    import os
    import signal

    from rq_leveldb.client import autostart
    from rq_leveldb.location import parse

    if not url.startswith('leveldb:'):
        pytest.skip('a real Redis is not killed')
    job = api.enqueue('add', 2, 3)
    answers: list[Any] = []
    waiter = threading.Thread(target=lambda: answers.append(api.get(f'/v1/jobs/{job}/result?wait=30')))
    waiter.start()
    while not any(client['cmd'] == 'xread' for client in connection.client_list()):
        pass
    running = autostart.running_store(parse(url).directory)
    assert running is not None
    os.kill(running[0].pid, signal.SIGKILL)
    # The connections of this client are dead as well, and each says so once.
    connection.connection_pool.disconnect()
    work()
    waiter.join(30)
    assert answers[0].json['result']['value'] == 5


def test_many_failed_jobs_are_requeued_at_once(api: Api, connection: Any) -> None:
    queue = Queue('default', connection=connection)
    jobs = queue.enqueue_many([Queue.prepare_data('http_tasks.fail') for _ in range(1050)])
    for job in jobs:
        queue.remove(job)
        queue.failed_job_registry.add(job, ttl=1000)
        job.set_status('failed')  # type: ignore[arg-type]
    oldest = jobs[500].id
    connection.zadd(queue.failed_job_registry.key, {oldest: time.time() + 100})
    first = api.post('/v1/requeue-failed').json
    assert (first['count'], first['is_complete']) == (1000, False)
    assert first['requeued'][0] == oldest
    second = api.post('/v1/requeue-failed').json
    assert (second['count'], second['is_complete']) == (50, True)
    assert len(set(first['requeued']) | set(second['requeued'])) == 1050

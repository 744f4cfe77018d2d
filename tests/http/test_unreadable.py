"""Whatever is stored, the front shows what it can: one broken record is named, all else is there as usual."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import redis
from broken_records import STATES, Damage, Records, damages
from hypothesis import HealthCheck, given, settings
from rq import Queue, Retry

from rq_leveldb.http.application import Application
from rq_leveldb.http.resources.observer import _Look
from rq_leveldb.unreadable import list_aside
from tests.http.support import Api

# What the names of the sound queue or worker are kept in: broken, they can only be found by those who know them.
INDEXES = (b'rq:queues', b'rq:workers')


def routes() -> list[str]:
    found = ['/healthz', '/metrics', '/v1/queues', '/v1/workers', '/v1/schedules', '/v1/cron', '/v1/suspension']
    found += [
        '/v1/history',
        '/v1/history?step=1h',
        '/v1/functions',
        '/v1/unreadable',
        '/v1/queues/spoiled',
        '/v1/workers/spoiled-worker',
    ]
    for state in STATES:
        found += [f'/v1/jobs?status={state}', f'/v1/jobs/spoiled-{state}', f'/v1/jobs/spoiled-{state}/result?wait=0']
        found.append(f'/v1/jobs/spoiled-{state}/log')
    return [*found, '/v1/jobs?status=stopped']


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
def check(records: Records, api: Api, look: Callable[[], Any], damage: Damage) -> None:
    with records.broken(damage) as key:
        for route in routes():
            answer = api.get(route)
            assert answer.status_code < 500, (key, route, answer.text)
        look()
        if key not in INDEXES:
            sound_is_shown(api)
        sound = api.get('/v1/jobs/sound-queued').json
        assert sound['status'] == 'queued'
        assert sound['faults'] == []
        assert api.get('/v1/queues/sound').json['counts'] == dict.fromkeys(STATES, 1)
        assert api.get('/v1/workers/sound-worker').json['children'][0]['job'] == 'sound-started'
        assert 'rq_leveldb_jobs_started_total{queue="sound"} 3.0' in api.get('/metrics').text or key.endswith(b'tally')


def sound_is_shown(api: Api) -> None:
    for state in STATES:
        assert f'sound-{state}' in [item['id'] for item in api.get(f'/v1/jobs?status={state}').json['items']]
    assert 'sound' in [item['name'] for item in api.get('/v1/queues').json['items']]
    assert 'sound-worker' in [item['name'] for item in api.get('/v1/workers').json['items']]


def test_any_damage_is_shown_and_nothing_else_suffers(
    connection: redis.Redis, make_front: Callable[..., Application]
) -> None:
    records = Records(connection)
    front = make_front()
    look = _Look(front.observer._backend)
    check(records, Api(front), look.news)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
def act(connection: redis.Redis, api: Api, damage: Damage) -> None:
    connection.flushdb()
    records = Records(connection)
    with records.broken(damage) as key:
        for path, document in actions():
            answer = api.delete(path) if document is None else api.post(path, document)
            assert answer.status_code < 500, (key, path, document, answer.text)
        assert api.post('/v1/jobs/sound-queued/cancel', {}).json['status'] == 'canceled' or key in INDEXES


def actions() -> Iterator[tuple[str, dict[str, Any] | None]]:
    function = {'function': 'http_tasks.add'}
    yield '/v1/jobs', {**function, 'queue': 'spoiled', 'job_id': 'spoiled-more', 'unique': True}
    yield '/v1/jobs', {**function, 'queue': 'spoiled', 'enqueue_in': 60}
    for state in STATES:
        yield '/v1/jobs', {**function, 'queue': 'spoiled', 'depends_on': f'spoiled-{state}'}
        for action in ('requeue', 'stop'):
            yield f'/v1/jobs/spoiled-{state}/{action}', {}
        yield f'/v1/jobs/spoiled-{state}/cancel', {'enqueue_dependents': True}
    yield '/v1/requeue-failed', {}
    for state in STATES:
        yield f'/v1/jobs/spoiled-{state}?dependents=true', None
        yield f'/v1/jobs/spoiled-{state}', None
    yield '/v1/queues/spoiled/empty', {}
    yield '/v1/queues/spoiled', None
    yield '/v1/workers/spoiled-worker/shutdown', {}


def test_whatever_is_done_with_damaged_records_is_no_defect(connection: redis.Redis, api: Api) -> None:
    act(connection, api)


def test_a_broken_field_is_named_with_its_value(api: Api, connection: redis.Redis) -> None:
    queue = Queue(connection=connection)
    bad = queue.enqueue('http_tasks.add', 1, retry=Retry(max=2.0))  # type: ignore[arg-type]
    connection.hset(bad.key, 'description', b'\xff')
    good = queue.enqueue('http_tasks.add', 1)
    shown = {item['id']: item for item in api.get('/v1/jobs?status=queued').json['items']}
    assert shown[good.id]['faults'] == []
    faults = {fault['field']: fault for fault in shown[bad.id]['faults']}
    assert set(faults) == {'retries_left', 'description'}
    assert faults['retries_left']['value'] == "'2.0'"
    assert shown[bad.id]['function'] == 'http_tasks.add'
    assert shown[bad.id]['status'] == 'queued'


def test_nothing_is_done_with_a_job_that_cannot_be_read_but_deleting_it(api: Api, connection: redis.Redis) -> None:
    job = Queue(connection=connection).enqueue('http_tasks.add', 1)
    connection.hset(job.key, 'status', 'sleeping')
    answer = api.post(f'/v1/jobs/{job.id}/cancel')
    assert answer.status_code == 409
    assert 'sleeping' in answer.json['detail']
    assert api.get(f'/v1/jobs/{job.id}').json['status'] == 'unreadable'
    assert api.delete(f'/v1/jobs/{job.id}').status_code == 204
    assert api.get(f'/v1/jobs/{job.id}').status_code == 404
    assert connection.llen('rq:queue:default') == 0


def test_a_key_of_another_type_is_no_job_and_can_be_deleted(api: Api, connection: redis.Redis) -> None:
    connection.set('rq:job:odd', 'text')
    connection.rpush('rq:queue:default', 'odd')
    connection.sadd('rq:queues', 'rq:queue:default', 'rq:queue:\xff'.encode('latin-1'))
    (item,) = api.get('/v1/jobs?status=queued').json['items']
    assert (item['id'], item['status']) == ('odd', 'unreadable')
    assert 'another type' in item['faults'][0]['error']
    assert api.delete('/v1/jobs/odd').status_code == 204
    assert not connection.exists('rq:job:odd')
    (strange,) = api.get('/v1/queues').json['unreadable']
    assert 'not UTF-8' in strange['reason']


def test_a_queue_of_another_type_is_listed_with_what_can_be_counted(api: Api, connection: redis.Redis) -> None:
    queue = Queue('odd', connection=connection)
    queue.enqueue_in(
        queue.enqueue('http_tasks.add', 1).created_at - queue.enqueue('http_tasks.add', 1).created_at, 'x.y'
    )
    connection.set(queue.key, 'text')
    shown = api.get('/v1/queues/odd').json
    assert shown['counts']['queued'] is None
    assert shown['counts']['scheduled'] == 1
    assert shown['faults'][0]['field'] == 'queued'
    (strange,) = api.get('/v1/jobs?status=queued').json['unreadable']
    assert strange['key'] == 'rq:queue:odd'
    assert api.post('/v1/jobs', {'function': 'http_tasks.add', 'queue': 'odd'}).status_code == 409


def test_what_was_set_aside_is_listed_and_counted(api: Api, connection: redis.Redis) -> None:
    connection.set('rq:job:odd', 'text')
    list_aside(connection, 'rq:job:odd', 'no hash')
    (item,) = api.get('/v1/unreadable').json['items']
    assert (item['key'], item['reason']) == ('rq:job:odd', 'no hash')
    assert 'rq_leveldb_unreadable 1.0' in api.get('/metrics').text


def test_jobs_between_their_dependency_and_their_queue_are_counted(api: Api, connection: redis.Redis) -> None:
    Records(connection)
    assert api.get('/v1/queues/sound').json['counts']['ready_to_enqueue'] == 1
    (first, second) = api.get('/v1/jobs?status=ready_to_enqueue').json['items']
    assert {first['id'], second['id']} == {'sound-ready_to_enqueue', 'spoiled-ready_to_enqueue'}
    assert 'rq_leveldb_jobs{queue="sound",state="ready_to_enqueue"} 1.0' in api.get('/metrics').text


def test_a_broken_record_of_a_key_is_told(api: Api, connection: redis.Redis) -> None:
    job, headers = {'function': 'http_tasks.add', 'args': [1]}, {'Idempotency-Key': 'k'}
    api.post('/v1/jobs', job, headers=headers)
    (record,) = connection.keys('rq-leveldb:http:idempotency:*')
    for broken in (b'', b'\xff', b'5', b'[]', b'[1, 2, 3, 4]', b'{"a": 1}', b'[' * 9000):
        connection.set(record, broken)
        answer = api.post('/v1/jobs', job, headers=headers)
        assert (answer.status_code, answer.json['type'].rpartition(':')[2]) == (409, 'unreadable-record'), broken
    connection.delete(record)
    connection.rpush(record, 'x')
    assert api.post('/v1/jobs', job, headers=headers).status_code == 409
    assert connection.llen('rq:queue:default') == 1

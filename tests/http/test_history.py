"""What workers have ended is counted by the minute and by the hour, by queue and by function."""

from __future__ import annotations

import time
from typing import Any

from rq import Queue, Retry

from rq_leveldb.records import ENDED_KEY
from rq_leveldb.worker.worker import Worker
from tests.http.support import Api, ended, fold, look_at_depths


def run(connection: Any, *names: str) -> None:
    queues = [Queue(name, connection=connection) for name in names]
    Worker(queues, connection=connection, max_children=2).work(burst=True)


def total(items: list[dict[str, Any]], name: str) -> int:
    return sum(item[name] for item in items)


def test_every_end_is_counted_once_with_its_queue_and_function(api: Api, connection: Any) -> None:
    for _ in range(3):
        api.enqueue('add', 1)
    api.enqueue('nap', 0.2, queue='mail')
    api.enqueue('fail', queue='mail')
    # It ends twice: once to be retried.
    Queue('mail', connection=connection).enqueue('http_tasks.fail', retry=Retry(max=1))
    # Written by RQ's methods, since others depend on it.
    first = Queue('default', connection=connection).enqueue('http_tasks.add', 1)
    Queue('default', connection=connection).enqueue('http_tasks.add', 2, depends_on=first)
    # Its process ends, and cannot say what it ran.
    Queue('default', connection=connection).enqueue('os._exit', 1)
    run(connection, 'default', 'mail')
    found = api.get('/v1/history').json
    assert found['step_seconds'] == 60
    assert [total(found['items'], name) for name in ('finished', 'failed', 'retried')] == [6, 3, 1]
    functions = {item['name']: (item['finished'], item['failed'], item['retried']) for item in found['functions']}
    assert functions == {
        'http_tasks.add': (5, 0, 0),
        'http_tasks.nap': (1, 0, 0),
        'http_tasks.fail': (0, 2, 1),
        'os._exit': (0, 1, 0),
    }
    assert [item['name'] for item in found['queues']] == ['default', 'mail']
    mail = api.get('/v1/history?queue=mail&function=http_tasks.nap&step=1d').json
    assert [total(mail['items'], name) for name in ('finished', 'failed')] == [1, 0]
    assert mail['functions'][0]['mean_duration_seconds'] >= 0.2
    assert mail['functions'][0]['mean_wait_seconds'] > 0
    # Nobody has it twice, however often it is added up.
    run(connection, 'default')
    assert total(api.get('/v1/history?step=6h').json['items'], 'finished') == 6


def test_what_a_killed_worker_left_is_counted_when_it_happened(api: Api, connection: Any) -> None:
    now = time.time()
    for age, runs in ((90, 2), (3 * 3600, 3), (40 * 3600, 4), (29 * 86400, 5)):
        ended(connection, *[(now - age, 'default', 'tasks.add', 1, 500, 1500)] * runs)
    ended(connection, (now - 90, 'mail', 'tasks.add', 2, 0, 0))
    connection.rpush(ENDED_KEY, b'\xff', '', '1 2 3 4 5', '1700000000 9 1 1 ["x"]\n')
    fold(connection)
    assert connection.llen(ENDED_KEY) == 0
    day = api.get('/v1/history?step=1m').json
    assert [(item['finished'], item['failed']) for item in day['items']] == [(3, 0), (2, 1)]
    assert day['items'][0]['mean_wait_seconds'] == 0.5
    assert day['items'][0]['mean_duration_seconds'] == 1.5
    month = api.get('/v1/history?step=1h&queue=default').json
    assert [item['finished'] for item in month['items']] == [5, 4, 3, 2]
    since = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(now - 50 * 3600))
    assert total(api.get(f'/v1/history?step=1d&since={since}').json['items'], 'finished') == 9
    # It goes away by itself.
    keys = connection.keys('rq-leveldb:history:*')
    assert all(0 < connection.ttl(key) <= 31 * 86400 for key in keys)
    minutes = connection.keys('rq-leveldb:history:minutes:*')
    assert 0 < len(minutes) <= 2
    assert all(connection.ttl(key) <= 25 * 3600 for key in minutes)


def test_what_is_beyond_the_bound_is_counted_together(api: Api, connection: Any) -> None:
    at = time.time() - 120
    names = [('busy' if number % 2 else f'queue {number}', f'tasks.f{number}') for number in range(300)]
    ended(connection, *[(at, *name, 1, 0, 0) for name in names], (at, 'busy', 'tasks.' + 'f' * 300, 2, 0, 0))
    fold(connection)
    found = api.get('/v1/history').json
    assert (total(found['items'], 'finished'), total(found['items'], 'failed')) == (300, 1)
    for kind in ('queues', 'functions'):
        assert len(found[kind]) <= 101
        assert found[kind][-1]['name'] is None
        assert total(found[kind], 'finished') == 300
    assert sum(connection.hlen(key) for key in connection.keys('rq-leveldb:history:names:*')) <= 100


def test_keys_of_other_types_keep_no_job_from_ending(api: Api, connection: Any) -> None:
    now = int(time.time())
    connection.set(ENDED_KEY, 'not a list')
    for later in (0, 3600):
        day, hour = (now + later) // 86400, (now + later) // 3600
        for key in (f'names:{day}', f'hours:{day}', f'minutes:{hour}'):
            connection.set(f'rq-leveldb:history:{key}', 'not a hash')
    jobs = [api.enqueue('add', 1), api.enqueue('fail')]
    run(connection, 'default')
    assert [api.get(f'/v1/jobs/{job}').json['status'] for job in jobs] == ['finished', 'failed']
    assert api.get('/v1/history').json['items'] == []


def test_how_many_jobs_waited_at_most(api: Api, connection: Any) -> None:
    own, other = Queue('default', connection=connection), Queue('a|b', connection=connection)
    own.enqueue('http_tasks.add', 1)
    first, *_ = [other.enqueue('http_tasks.add', number) for number in range(3)]
    Queue('empty', connection=connection).enqueue('http_tasks.add', 1).delete()
    look_at_depths(own)
    first.delete()
    look_at_depths(own)
    for step in ('1m', '1h', '1d'):
        found = api.get(f'/v1/history?step={step}').json['items']
        # The second look may be in the next minute or hour.
        assert [item['most_waiting'] for item in found] in ([4], [4, 3])
        assert total(found, 'finished') == 0
        assert found[0]['mean_wait_seconds'] is None
    assert api.get('/v1/history?queue=a%7Cb').json['items'][0]['most_waiting'] == 3
    assert api.get('/v1/history?queue=empty').json['items'] == []
    run(connection, 'default')
    of_function = api.get('/v1/history?function=http_tasks.add').json['items']
    assert [item['most_waiting'] for item in of_function] == [None]
    keys = connection.keys('rq-leveldb:history:waiting-*')
    assert 2 <= len(keys) <= 4
    assert all(0 < connection.ttl(key) <= 31 * 86400 for key in keys)


def test_what_is_no_queue_or_too_much_keeps_no_worker_from_noting_the_rest(api: Api, connection: Any) -> None:
    own = Queue('default', connection=connection)
    own.enqueue('http_tasks.add', 1)
    connection.set('rq:queue:text', 'not a list')
    for number in range(300):
        connection.rpush(f'rq:queue:q{number}', 'x')
    connection.sadd('rq:queues', 'rq:queue:text', *(f'rq:queue:q{number}' for number in range(300)))
    look_at_depths(own)
    assert api.get('/v1/history?queue=default').json['items'][0]['most_waiting'] == 1
    assert 50 < api.get('/v1/history').json['items'][0]['most_waiting'] <= 101
    for key in connection.keys('rq-leveldb:history:waiting-*'):
        connection.set(key, 'not a hash')
    connection.set('rq:queues', 'not a set')
    look_at_depths(own)
    assert api.get('/v1/history').json['items'] == []

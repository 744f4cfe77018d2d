"""The rest of the service: who may speak to it, queues, workers, events, metrics, health."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from falcon.testing import TestClient
from rq import Queue, Worker
from rq.cron import CronScheduler

from rq_leveldb import Worker as OurWorker
from rq_leveldb.cli.main import main
from rq_leveldb.cron_due import Due, due_key
from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.http.access.sessions import SESSION_SECONDS
from rq_leveldb.http.access.token import load_token
from rq_leveldb.http.access.tries import Tries
from rq_leveldb.http.application import Application
from rq_leveldb.paused_queues import is_paused
from rq_leveldb.unreadable import list_aside
from rq_leveldb.version import __version__
from rq_leveldb.worker.cron import WorkerCron
from tests.http.support import TOKEN, Api
from tests.places import APPLICATIONS
from tests.worker.support import site_of


@pytest.mark.parametrize(
    ('host', 'status'),
    [
        ('localhost', 200),
        ('LOCALHOST:80', 200),
        ('127.0.0.1:7753', 200),
        ('[::1]:7753', 200),
        ('10.1.2.3', 200),
        ('jobs.localhost', 200),
        ('jobs.example', 200),
        ('evil.example', 403),
        ('localhost.evil.example', 403),
        ('127.0.0.1.evil.example', 403),
        ('a b', 400),
        ('', 400),
    ],
)
def test_the_host_header_is_checked(make_front: Callable[..., Application], host: str, status: int) -> None:
    api = Api(make_front(hosts=('jobs.example',)))
    answer = api.get('/healthz', headers={'Host': host})
    assert answer.status_code == status


@pytest.mark.parametrize('given', ['', 'Bearer', 'Bearer x', f'Basic {TOKEN}', f'bearer {TOKEN}x', TOKEN])
def test_the_token_is_asked_for(make_front: Callable[..., Application], given: str) -> None:
    api = Api(make_front(), token=None)
    for path in ('/v1/queues', '/v1/jobs/x', '/metrics', '/v1/events', '/v1/nothing'):
        answer = api.get(path, headers={'Authorization': given} if given else {})
        assert answer.status_code == 401
        assert answer.headers['www-authenticate'].startswith('Bearer')
    for path in ('/', '/healthz', '/openapi.json', '/page/app.js', '/v1/session'):
        assert api.get(path).status_code == 200


def test_the_page_logs_in_once_and_other_sites_cannot_use_it(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(), token=None)
    assert api.get('/v1/session').json == {'is_authenticated': False, 'needs_token': True}
    assert api.post('/v1/session', {'token': 'guess'}).status_code == 403
    login = api.post('/v1/session', {'token': TOKEN}, headers={'Sec-Fetch-Site': 'same-origin'})
    assert login.status_code == 204
    header = login.headers['set-cookie']
    assert 'HttpOnly' in header
    assert 'SameSite=Strict' in header
    assert TOKEN not in header
    cookie = header.partition(';')[0]
    assert api.get('/v1/queues', headers={'Cookie': cookie}).status_code == 200
    good = {'Cookie': cookie, 'Origin': 'http://localhost:7753'}
    assert api.client.simulate_put('/v1/suspension', headers=good).status_code == 200
    for bad in (
        {},
        {'Origin': 'http://evil.example'},
        {'Origin': 'http://localhost:9999'},
        {'Origin': 'null'},
        {'Sec-Fetch-Site': 'cross-site'},
        {'Sec-Fetch-Site': 'same-site', 'Origin': 'http://localhost:7753'},
    ):
        answer = api.client.simulate_delete('/v1/suspension', headers={'Cookie': cookie, **bad})
        assert answer.status_code == 403, bad
    assert api.post('/v1/session', {'token': TOKEN}, headers={'Origin': 'http://evil.example'}).status_code == 403
    for forged in ('rq_leveldb_session=1.2.3', f'{cookie}x', 'rq_leveldb_session=9999999999.x.' + '0' * 64, 'x' * 4000):
        assert api.get('/v1/queues', headers={'Cookie': forged}).status_code == 401
    assert api.delete('/v1/session', headers=good).headers['set-cookie'].startswith('rq_leveldb_session=""')


def log_in(api: Api) -> str:
    """Return the Cookie header of a new login."""
    login = api.post('/v1/session', {'token': TOKEN}, headers={'Sec-Fetch-Site': 'same-origin'})
    return login.headers['set-cookie'].partition(';')[0]


def test_a_cookie_ends_at_logout(make_front: Callable[..., Application], connection: redis.Redis) -> None:
    api = Api(make_front(), token=None)
    ended, other = log_in(api), log_in(api)
    good = {'Cookie': ended, 'Origin': 'http://localhost:7753'}
    assert api.delete('/v1/session', headers=good).status_code == 204
    # Also for another process that serves, and for one that is started later.
    for front in (api, Api(make_front(), token=None)):
        assert front.get('/v1/queues', headers={'Cookie': ended}).status_code == 401
        assert front.get('/v1/session', headers={'Cookie': ended}).json['is_authenticated'] is False
        assert front.get('/v1/queues', headers={'Cookie': other}).status_code == 200
    (key,) = connection.keys('rq-leveldb:http:ended-session:*')
    assert 0 < connection.ttl(key) <= SESSION_SECONDS + 2
    # What was never a session leaves nothing behind.
    api.delete('/v1/session', headers={**good, 'Cookie': f'{other}x'})
    api.delete('/v1/session')
    assert connection.keys('rq-leveldb:http:ended-session:*') == [key]


def test_wrong_logins_are_slowed_down(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(), token=None)

    def status(address: str, token: str) -> int:
        answer = api.post('/v1/session', {'token': token}, extras={'REMOTE_ADDR': address})
        if answer.status_code == 429:
            assert int(answer.headers['retry-after']) >= 1
        return answer.status_code

    for _ in range(20):
        assert status('10.0.0.1', TOKEN) == 204
    statuses = [status('10.0.0.1', f'guess{number}') for number in range(40)]
    assert statuses[:10] == [403] * 10
    assert statuses.count(403) < 20
    assert status('10.0.0.1', TOKEN) == 429
    assert status('10.0.0.2', TOKEN) == 204
    # Programs with the right token go on.
    programs = {'Authorization': f'Bearer {TOKEN}'}
    assert api.get('/v1/queues', headers=programs, extras={'REMOTE_ADDR': '10.0.0.1'}).status_code == 200


def test_tries_come_back_and_take_little_memory_and_few_threads() -> None:
    now = 1000.0
    slept: list[float] = []
    tries = Tries(lambda: now, slept.append)
    assert [tries.take('a') for _ in range(12)] == [0] * 10 + [1, 1]
    now += 0.25
    assert tries.take('a') == 0.75
    now += 2.75
    assert [tries.take('a') for _ in range(4)] == [0, 0, 0, 1]
    now += 3600
    assert [bool(tries.take('a')) for _ in range(12)] == [False] * 10 + [True] * 2
    assert all(tries.take('2001:db8::1') == 0 for _ in range(10))
    assert tries.take('2001:db8::ffff:2')
    assert all(tries.take('::ffff:10.0.0.1') == 0 for _ in range(10))
    assert tries.take('10.0.0.1')
    assert tries.take('::ffff:10.0.0.2') == 0
    for number in range(5000):
        tries.take(f'b{number}')
    assert len(tries._full_at) == 1000

    waits: list[float] = []

    def another_comes(seconds: float) -> None:
        waits.append(seconds)
        tries.hold_up()

    tries = Tries(sleep=another_comes)
    tries.hold_up()
    assert waits == [0.5, 0.5]


def test_a_wrong_bearer_is_slowed_down(make_front: Callable[..., Application]) -> None:
    api = Api(make_front(), token=None)
    wrong = {'Authorization': 'Bearer guess'}
    started = time.monotonic()
    assert {api.get('/v1/queues', headers=wrong).status_code for _ in range(13)} == {401}
    assert time.monotonic() - started > 1


def test_other_origins_only_where_configured(make_front: Callable[..., Application]) -> None:
    preflight = {'Origin': 'https://app.example', 'Access-Control-Request-Method': 'POST'}
    closed = Api(make_front(), token=None)
    assert 'access-control-allow-origin' not in closed.client.simulate_options('/v1/jobs', headers=preflight).headers
    assert 'access-control-allow-origin' not in closed.get('/healthz', headers=preflight).headers
    opened = Api(make_front(origins=('https://app.example',)))
    answer = opened.client.simulate_options('/v1/jobs', headers=preflight)
    assert answer.status_code == 204
    assert answer.headers['access-control-allow-origin'] == 'https://app.example'
    assert 'access-control-allow-credentials' not in answer.headers
    other = opened.get('/v1/queues', headers={'Origin': 'https://evil.example'})
    assert 'access-control-allow-origin' not in other.headers


def test_the_token_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / 'http.token'
    token = load_token(path)
    assert len(token) >= 40
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_token(path) == token
    path.chmod(0o644)
    with pytest.raises(StoreError, match='can be read by others'):
        load_token(path)


def test_queues(api: Api) -> None:
    for _ in range(3):
        api.enqueue('add', 1, queue='b')
    api.enqueue('add', 1, queue='a')
    names = [item['name'] for item in api.get('/v1/queues').json['items']]
    assert names == ['a', 'b']
    page = api.get('/v1/queues?limit=1').json
    assert [item['name'] for item in page['items']] == ['a']
    assert [item['name'] for item in api.get(f'/v1/queues?cursor={page["next"]}').json['items']] == ['b']
    queue = api.get('/v1/queues/b').json
    assert queue['counts']['queued'] == 3
    assert queue['oldest_waiting_seconds'] >= 0
    assert api.post('/v1/queues/b/empty').json == {'name': 'b', 'removed': 3}
    assert api.delete('/v1/queues/b').status_code == 204
    assert api.get('/v1/queues/b').status_code == 404


def test_lists_by_name_come_in_pages(api: Api, connection: redis.Redis) -> None:
    names = [f'q{number}' for number in range(7)]
    for name in names:
        api.enqueue('add', 1, queue=name, enqueue_in=60)
        Worker([name], connection=connection, name=name).register_birth()
        connection.set(f'odd:{name}', 'text')
        list_aside(connection, f'odd:{name}', 'no hash')
    for path, field, expected in (
        ('/v1/queues', 'name', names),
        ('/v1/workers', 'name', names),
        ('/v1/schedules', 'queue', names),
        ('/v1/unreadable', 'key', [f'odd:{name}' for name in names]),
    ):
        found: list[str] = []
        cursor = ''
        for size in (3, 3, 1):
            page = api.get(f'{path}?limit=3{cursor}').json
            found += [item[field] for item in page['items']]
            assert len(page['items']) == size
            cursor = f'&cursor={page["next"]}'
        assert page['next'] is None
        assert found == expected
        assert api.get(f'{path}?limit=0').status_code == 400


def test_suspend_and_resume(api: Api, connection: Any) -> None:
    assert api.client.simulate_put('/v1/suspension', json={'ttl': '1h'}).json['is_suspended'] is True
    assert 3500 < api.get('/v1/suspension').json['seconds_left'] <= 3600
    assert api.delete('/v1/suspension').status_code == 204
    assert api.get('/v1/suspension').json == {'is_suspended': False, 'seconds_left': None}
    assert api.client.simulate_put('/v1/suspension', json={'ttl': 0}).status_code == 422


def test_a_queue_is_paused_and_resumed(api: Api, connection: Any) -> None:
    api.enqueue('add', 1, queue='mail')
    assert api.post('/v1/queues/nothing/pause').status_code == 404
    paused = api.post('/v1/queues/mail/pause')
    assert (paused.status_code, paused.json['is_paused']) == (200, True)
    assert is_paused(Queue('mail', connection=connection))
    assert [queue['is_paused'] for queue in api.get('/v1/queues').json['items']] == [True]
    assert 'rq_leveldb_queue_paused{queue="mail"} 1.0' in api.get('/metrics').text
    assert api.post('/v1/queues/mail/resume').json['is_paused'] is False
    api.post('/v1/queues/mail/pause')
    assert api.delete('/v1/queues/mail').status_code == 204
    api.enqueue('add', 1, queue='mail')
    assert api.get('/v1/queues/mail').json['is_paused'] is False
    connection.set('rq:paused-queues', 'something else')
    assert api.get('/v1/queues').json['unreadable'][0]['key'] == 'rq:paused-queues'
    assert api.post('/v1/queues/mail/pause').status_code == 409


def test_a_cron_entry_is_run_disabled_and_enabled(
    api: Api, connection: Any, url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workers = WorkerCron(site_of(OurWorker(['default'], connection=connection)), str(APPLICATIONS / 'cron_config.py'))
    workers.step()
    theirs = CronScheduler(connection, name='theirs')
    theirs.register(json.dumps, 'default', interval=60)
    theirs.register_birth()
    listed = api.get('/v1/cron').json['items']
    assert main(['cron-jobs', '--json', '--url', url]) == 0
    assert json.loads(capfd.readouterr().out)['entries'] == listed
    ours, other = sorted(listed, key=lambda item: item['scheduler'])
    assert (ours['name'], ours['is_enabled'], other['id']) == ('cli_jobs.add', True, None)
    assert ours['next_at'] > ours['last_at']
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', ours['last_at'])
    path = f'/v1/cron/{ours["id"]}'
    disabled = api.post(f'{path}/disable').json
    assert (disabled['is_enabled'], disabled['next_at']) == (False, None)
    assert api.post(f'{path}/run-now').status_code == 202
    assert Due.decode(connection.get(due_key(ours['id']))).is_wanted
    assert api.post(f'{path}/enable').json['is_enabled'] is True
    assert api.post('/v1/cron/nothing/run-now').json['type'] == 'urn:rq-leveldb:problem:no-such-cron-entry'
    connection.set(due_key(ours['id']), 'something else')
    assert api.post(f'{path}/disable').status_code == 409


def test_workers(api: Api, connection: Any) -> None:
    worker = Worker([Queue('default', connection=connection)], connection=connection, name='mine')
    worker.register_birth()
    shown = api.get('/v1/workers').json['items']
    assert [item['name'] for item in shown] == ['mine']
    assert shown[0]['queues'] == ['default']
    assert shown[0]['max_children'] is None
    assert api.client.simulate_patch('/v1/workers/mine', json={'max_children': 3}).status_code == 409
    connection.hset(worker.key, 'max_children', 2)
    listener = connection.pubsub(ignore_subscribe_messages=True)
    listener.subscribe('rq:pubsub:mine')
    listener.get_message(timeout=5)
    assert api.client.simulate_patch('/v1/workers/mine', json={'max_children': 3}).status_code == 202
    message = listener.get_message(timeout=5)
    assert json.loads(message['data']) == {'command': 'children', 'children': 3}
    assert api.client.simulate_patch('/v1/workers/mine', json={'max_children': -1}).status_code == 422
    assert api.client.simulate_patch('/v1/workers/mine', json={}).status_code == 422
    assert api.post('/v1/workers/mine/shutdown').status_code == 202
    assert json.loads(listener.get_message(timeout=5)['data']) == {'command': 'shutdown'}
    listener.close()
    worker.register_death()
    assert api.get('/v1/workers/mine').status_code == 404


def test_events_come_as_they_happen(
    make_front: Callable[..., Application], work: Callable[..., None], connection: Any
) -> None:
    front = make_front()
    api = Api(front)
    before = api.enqueue('add', 0)
    subscription = front.observer.subscribe()
    seen: list[Any] = []

    def until(name: str) -> None:
        for _ in range(60):
            events, lost = subscription.take(1.0)
            assert lost == 0
            seen.extend(events)
            if any(event.name == name for event in events):
                return
        raise AssertionError(f'no {name}')

    until('counts')
    good, bad = api.enqueue('add', 1), api.enqueue('fail')
    work()
    until('job.failed')
    stages = [(event.name, event.data['job']) for event in seen if event.name.startswith('job.')]
    for stage in ('job.enqueued', 'job.started', 'job.finished'):
        assert (stage, good) in stages
    assert ('job.failed', bad) in stages
    assert ('job.enqueued', before) not in stages
    assert stages.index(('job.enqueued', good)) < stages.index(('job.started', good))
    assert stages.index(('job.started', good)) < stages.index(('job.finished', good))
    assert len(stages) == len(set(stages))
    worker = Worker([Queue('default', connection=connection)], connection=connection, name='w')
    worker.register_birth()
    until('worker.up')
    worker.register_death()
    until('worker.down')
    front.observer.unsubscribe(subscription)


def test_the_stream_is_server_sent_events_and_bounded(make_front: Callable[..., Application]) -> None:
    front = make_front(max_streams=1)
    client = TestClient(front.app, headers={'Host': 'localhost', 'Authorization': f'Bearer {TOKEN}'})
    first = client.simulate_get('/v1/events?limit=1')
    assert first.headers['content-type'] == 'text/event-stream'
    assert first.headers['cache-control'] == 'no-store'
    lines = first.text.splitlines()
    assert lines[0].startswith('retry: ')
    assert 'event: counts' in lines
    # The first stream has ended and gave its place back.
    assert client.simulate_get('/v1/events?limit=1').status_code == 200
    front.close()


def test_metrics(api: Api, work: Callable[..., None], url: str) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    api.enqueue('add', 1)
    api.enqueue('add', 1, queue='idle')
    work()
    answer = api.get('/metrics')
    assert answer.headers['content-type'].startswith('text/plain')
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples['rq_leveldb_jobs', ('queue', 'default'), ('state', 'finished')] == 1
    assert samples['rq_leveldb_jobs', ('queue', 'idle'), ('state', 'queued')] == 1
    assert samples['rq_leveldb_oldest_waiting_seconds', ('queue', 'idle')] >= 0
    assert samples['rq_leveldb_store_ping_seconds',] > 0
    assert samples['rq_leveldb_info', ('place', mask_password(url)), ('version', __version__)] == 1


def test_what_the_examples_of_monitoring_ask_for_is_there(api: Api) -> None:
    kinds = dict(re.findall('^# TYPE (\\w+) (\\w+)', api.get('/metrics').text, re.MULTILINE))
    examples = Path(__file__).parents[2] / 'examples' / 'monitoring'
    for path in (examples / 'alerts.yml', examples / 'dashboard.json'):
        names = set(re.findall('rq_leveldb_\\w+', path.read_text()))
        assert names
        assert {name.removesuffix('_bucket') for name in names} <= kinds.keys()


def test_health(api: Api) -> None:
    for path in ('/healthz', '/healthz/live', '/healthz/ready'):
        assert api.get(path).json['status'] == 'ok'


def test_the_page_allows_nothing_from_elsewhere(api: Api) -> None:
    answer = api.get('/')
    policy = answer.headers['content-security-policy']
    assert "default-src 'none'" in policy
    assert 'unsafe' not in policy
    assert 'http' not in policy
    again = api.get('/', headers={'If-None-Match': answer.headers['etag']})
    assert again.status_code == 304
    assert api.get('/page/nothing.js').status_code == 404
    assert api.get('/page/__init__.py').status_code == 404


def test_methods_that_are_not_there(api: Api) -> None:
    answer = api.client.simulate_put('/v1/jobs')
    assert answer.status_code == 405
    assert answer.json['type'] == 'urn:rq-leveldb:problem:method-not-allowed'


@pytest.mark.parametrize('path', ['/', '/healthz/live', '/openapi.json', '/v1/queues', '/v1/jobs/nothing'])
def test_head_is_get_without_content(api: Api, path: str) -> None:
    whole, head = api.get(path), api.client.simulate_head(path)
    assert head.status_code == whole.status_code
    assert head.content == b''
    assert head.headers['content-type'] == whole.headers['content-type']
    assert head.headers['content-length'] == str(len(whole.content))


def test_the_event_stream_has_no_head(api: Api) -> None:
    assert api.client.simulate_head('/v1/events').status_code == 405


def test_it_can_be_mounted_in_another_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rq_leveldb.http import create_app
    from rq_leveldb.location import front_directory

    monkeypatch.setenv('RQ_LEVELDB_URL', url)
    monkeypatch.setenv('RQ_LEVELDB_ALLOW', 'http_tasks.*')
    client = TestClient(create_app(), headers={'Host': 'localhost'})
    assert client.simulate_get('/healthz').status_code == 200
    assert client.simulate_get('/v1/functions').status_code == 401
    token = front_directory(url).token.read_text().strip()
    answer = client.simulate_get('/v1/functions', headers={'Authorization': f'Bearer {token}'})
    assert answer.json == {'functions': [], 'patterns': ['http_tasks.*']}

"""rq_leveldb.Redis does what redis.Redis does, and sends nothing twice."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from datetime import timedelta
from inspect import Parameter, signature
from pathlib import Path
from urllib.parse import unquote

import pytest
import redis as redis_py
import rq
from rq.cli.helpers import get_redis_from_config
from rq.connections import parse_connection
from rq.scheduler import RQScheduler
from worker_jobs import add

from rq_leveldb import AsyncRedis, Queue, Redis, UnusedSettingWarning, Worker, default_connection, errors, job
from rq_leveldb.client.connection import StoreConnection
from rq_leveldb.location import DataDirectory, Location
from tests.client.support import kill, pid_of


def test_the_everyday_things_of_redis_py(redis: Redis) -> None:
    redis.mset({f'key:{number}': number for number in range(20)})
    assert sorted(redis.scan_iter('key:1?')) == [b'key:%d' % number for number in range(10, 20)]
    with redis.pipeline() as pipeline:
        pipeline.rpush('list', 'a', 'b').lrange('list', 0, -1).expire('list', 10)
        assert pipeline.execute() == [2, [b'a', b'b'], True]
    with redis.lock('lock', timeout=5):
        assert redis.exists('lock')
    script = redis.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    assert script(keys=['number'], args=[5]) == 5

    def increase(pipe: redis_py.client.Pipeline) -> None:
        pipe.multi()
        pipe.incr('number')

    assert redis.transaction(increase, 'number') == [6]


def test_decoded_responses_and_databases(store_dir: Path, redis: Redis) -> None:
    with Redis.from_url(f'leveldb://{store_dir}?db=3&decode_responses=true') as third:
        third.set('name', 'värde')
        assert third.get('name') == 'värde'
    assert redis.get('name') is None
    with Redis.from_url(f'leveldb://{store_dir}', db=3, decode_responses=True) as third:
        assert third.get('name') == 'värde'
    with Redis.from_url(f'leveldb://{store_dir}?protocol=2&db=3') as third:
        assert third.get('name') == 'värde'.encode()


def test_fsync_always_is_asked_of_a_running_store(redis: Redis, store_dir: Path) -> None:
    assert redis.config_get('appendfsync') == {'appendfsync': 'everysec'}
    with Redis.from_url(f'leveldb://{store_dir}?fsync=always') as strict:
        assert strict.config_get('appendfsync') == {'appendfsync': 'always'}
    with Redis.from_url(f'leveldb://{store_dir}?fsync=everysec') as lax:
        assert lax.config_get('appendfsync') == {'appendfsync': 'always'}


def test_an_unknown_option_is_refused(store_dir: Path) -> None:
    with pytest.raises(errors.BadAddress, match='no option ssl_cert'):
        Redis.from_url(f'leveldb://{store_dir}?ssl_cert=x')
    with pytest.raises(errors.BadAddress, match='protocol'):
        Redis.from_url(f'leveldb://{store_dir}?protocol=x')


def test_a_misspelt_option_is_refused(store_dir: Path) -> None:
    with pytest.raises(TypeError, match='decode_response'):
        Redis(decode_response=True)
    with pytest.raises(TypeError, match='decode_response'):
        Redis.from_url(f'leveldb://{store_dir}', decode_response=True)


def test_settings_for_a_server_are_accepted_and_warned_of() -> None:
    with pytest.warns(UnusedSettingWarning, match='host, port, password'):
        Redis('queue.example.com', 6380, password='secret')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        Redis('localhost', 6379, db=0, password=None, ssl=False)


def test_an_application_may_put_it_in_the_place_of_redis_py_s(
    redis: Redis, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.set('name', 'value')
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')
    monkeypatch.setattr(redis_py, 'Redis', Redis)
    settings = {'REDIS_HOST': 'localhost', 'REDIS_PORT': 6379, 'REDIS_DB': 0}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert get_redis_from_config(settings, redis_py.Redis).get('name') == b'value'
    with pytest.warns(UnusedSettingWarning, match='ssl, ssl_ca_certs: not used') as said:
        client = get_redis_from_config({'REDIS_SSL': 'yes', 'REDIS_SSL_CA_CERTS': '/ca'}, redis_py.Redis)
    assert len(said) == 1
    assert client.get('name') == b'value'
    assert redis_py.Redis('localhost', 6379, 1, None, 5.0).get('name') is None


@pytest.mark.parametrize('kind', [Redis, AsyncRedis])
@pytest.mark.parametrize('url', ['leveldb', 'redis://example.org', 'rediss://example.org', 'unix:///run/redis.sock'])
def test_every_option_of_redis_py_is_taken(
    kind: type[Redis | AsyncRedis], url: str, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f'leveldb://{store_dir}' if url == 'leveldb' else url
    monkeypatch.setenv('RQ_LEVELDB_URL', url)
    options = {
        name: parameter.default
        for name, parameter in signature(kind.__mro__[1]).parameters.items()
        if parameter.default is not Parameter.empty and name != 'from_pool'
    }
    with warnings.catch_warnings():
        warnings.simplefilter('error', UnusedSettingWarning)
        for name, value in options.items():
            kind(**{name: value})
        made = kind(**options)
        if url.startswith('leveldb'):
            kind.from_url(url, **{name: value for name, value in options.items() if name != 'connection_pool'})
    # They can be used for a connection.
    made.connection_pool.make_connection()
    with pytest.raises(TypeError, match='hosts'):
        kind(hosts='x')


def test_what_a_url_says_of_a_server_is_told_where_options_say_another_thing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', 'redis://example.org')
    with pytest.warns(UnusedSettingWarning, match='ssl, unix_socket_path: not used, the configured URL'):
        Redis(unix_socket_path='/run/other.sock', ssl=True)
    monkeypatch.setenv('RQ_LEVELDB_URL', 'rediss://example.org')
    made = Redis(ssl=True, ssl_ca_certs='/ca', db=3, password='secret')
    assert made.connection_pool.connection_kwargs['ssl_ca_certs'] == '/ca'
    assert made.connection_pool.connection_kwargs['db'] == 3


def test_the_place_comes_from_the_environment(store_dir: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    redis.set('name', 'value')
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')
    assert Redis().get('name') == b'value'
    assert Redis(db=1).get('name') is None
    monkeypatch.setenv('RQ_LEVELDB_URL', 'redis://queue.example.com:6380/2')
    kwargs = Redis().connection_pool.connection_kwargs
    assert (kwargs['host'], kwargs['port'], kwargs['db']) == ('queue.example.com', 6380, 2)
    assert isinstance(Redis.from_url('unix:///run/redis.sock'), Redis)
    monkeypatch.setenv('RQ_LEVELDB_URL', 'nonsense')
    with pytest.raises(errors.BadAddress):
        Redis()


def test_a_command_that_was_sent_is_not_sent_again(store_dir: Path, redis: Redis) -> None:
    pid = pid_of(redis)
    impatient = Redis.from_url(f'leveldb://{store_dir}', socket_timeout=0.2)
    impatient.ping()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(redis_py.TimeoutError):
            impatient.rpush('list', 'once')
        with pytest.raises(redis_py.TimeoutError), impatient.pipeline() as pipeline:
            pipeline.rpush('list', 'twice').execute()
    finally:
        os.kill(pid, signal.SIGCONT)
    redis.ping()
    assert redis.lrange('list', 0, -1) in ([b'once', b'twice'], [b'once'])


def test_a_store_that_dies_while_it_is_waited_for(store_dir: Path, redis: Redis) -> None:
    identity_known = threading.Event()
    outcome: list[object] = []

    def wait() -> None:
        with Redis.from_url(f'leveldb://{store_dir}') as client:
            client.ping()
            identity_known.set()
            try:
                outcome.append(client.blpop('nothing', 4))
            except redis_py.ConnectionError as error:
                outcome.append(error)
            outcome.append(client.ping())

    thread = threading.Thread(target=wait)
    thread.start()
    assert identity_known.wait(20)
    while not redis.info('clients')['blocked_clients']:
        pass
    kill(redis)
    thread.join()
    assert isinstance(outcome[0], redis_py.ConnectionError)
    assert outcome[1] is True


def test_a_watched_transaction_is_not_continued_elsewhere(redis: Redis) -> None:
    with redis.pipeline() as pipeline:
        pipeline.watch('number')
        kill(redis)
        pipeline.multi()
        pipeline.incr('number')
        with pytest.raises(redis_py.WatchError):
            pipeline.execute()
    assert redis.get('number') is None


def test_a_client_with_one_connection_survives_the_store(store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}', single_connection_client=True) as client:
        client.set('name', 'value')
        with Redis.from_url(f'leveldb://{store_dir}') as other:
            kill(other)
        assert client.get('name') == b'value'


def test_a_subscription_survives_the_store(redis: Redis) -> None:
    with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe('news')
        pubsub.get_message(timeout=5)
        kill(redis)
        # The loss is noticed while reading, and everything subscribed to again. Before redis-py 6 it is told once.
        with contextlib.suppress(redis_py.ConnectionError):
            pubsub.get_message(timeout=0.1)
        while not redis.pubsub_numsub('news')[0][1]:
            pubsub.get_message(timeout=0.1)
        redis.publish('news', 'hello')
        message = None
        while message is None:
            message = pubsub.get_message(timeout=5)
        assert message['data'] == b'hello'


def count_in_child(client: Redis, times: int) -> None:
    for _ in range(times):
        client.incr('count')


def test_parent_and_children_use_one_client(redis: Redis) -> None:
    redis.incr('count')
    context = multiprocessing.get_context('fork')
    children = [context.Process(target=count_in_child, args=(redis, 50)) for _ in range(4)]
    for child in children:
        child.start()
    count_in_child(redis, 50)
    for child in children:
        child.join()
    assert redis.get('count') == b'251'


def test_threads_use_one_client(redis: Redis) -> None:
    threads = [threading.Thread(target=count_in_child, args=(redis, 50)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert redis.get('count') == b'400'


def test_a_connection_is_rebuilt_as_rq_does(store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}?db=2&fsync=always&idle=5', decode_responses=True) as client:
        client.set('name', 'value')
        client_class, connection_class, kwargs = pickle.loads(pickle.dumps(parse_connection(client)))
        assert connection_class is StoreConnection
        pool = redis_py.ConnectionPool(connection_class=connection_class, **kwargs)
        with client_class(connection_pool=pool) as rebuilt:
            assert rebuilt.get('name') == 'value'
            kill(rebuilt)
            assert rebuilt.get('name') == 'value'
        # What is told to redis.Redis in the source of SpawnWorker's child.
        kwargs = eval(repr(kwargs))
        kwargs['unix_socket_path'] = kwargs.pop('path')
        with redis_py.Redis(**kwargs) as plain:
            assert plain.get('name') == 'value'
        pool.disconnect()


@pytest.mark.parametrize('worker_class', [rq.SimpleWorker, rq.SpawnWorker, rq.Worker])
def test_rqs_own_workers(worker_class: type[rq.worker.BaseWorker], redis: Redis) -> None:
    queue = rq.Queue(connection=redis)
    enqueued = queue.enqueue(add, 2, 3)
    worker_class([queue], connection=redis).work(burst=True)
    assert enqueued.return_value() == 5


def test_rqs_scheduler(redis: Redis) -> None:
    queue = rq.Queue(connection=redis)
    enqueued = queue.enqueue_in(timedelta(seconds=-1), add, 2, 3)
    scheduler = RQScheduler([queue], connection=redis)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    assert queue.job_ids == [enqueued.id]


@job('default')
def decorated(left: int, right: int) -> int:
    return left + right


def test_the_connection_may_be_left_out(store_dir: Path, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')
    assert default_connection() is default_connection()
    jobs = [decorated.delay(1, 2), Queue().enqueue(add, 3, 4)]
    assert [queue.name for queue in Queue.all()] == ['default']
    assert Worker.count() == 0
    rq.SimpleWorker(['default'], connection=redis).work(burst=True)
    assert [one.return_value() for one in jobs] == [3, 7]
    worker = Worker(['default'])
    assert worker.connection is default_connection()
    assert Worker(rq.Queue(connection=redis)).connection is redis


@pytest.mark.parametrize(
    'name', ['Application Support', 'a=b,c', 'line\nend', '\x85\u2028\u3000ä', 'percent%20', os.fsdecode(b'\xff')]
)
def test_any_path_can_be_told(tmp_path: Path, name: str) -> None:
    place = Location(DataDirectory(tmp_path / name), idle=1)
    with Redis.from_url(place.url, client_name='worker=1') as client:
        told = client.client_info()
        assert unquote(told['addr'], errors='surrogateescape') == f'{tmp_path}/{name}/store.sock:0'
        assert (told['laddr'], told['name']) == (told['addr'], 'worker%3D1')
        assert client.client_list()[0]['addr'] == told['addr']
        assert client.client_getname() in (b'worker=1', 'worker=1')
        assert unquote(client.info('server')['data_directory'], errors='surrogateescape') == f'{tmp_path}/{name}'
        assert client.config_get('dir')['dir'].startswith(str(tmp_path))
        assert client.client_kill_filter(addr=told['addr'], skipme=False) == 1
    with Redis.from_url(place.url) as client:
        client.shutdown()

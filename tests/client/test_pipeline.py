"""Our pipelines do what redis-py's do, on the same store, only faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.client import Pipeline as RedisPipeline

import rq_leveldb
from rq_leveldb.client.pipeline import Pipeline

Script = Callable[[Any], Any]


@pytest.fixture(scope='module')
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """Ours and redis-py's own client of one store."""
    directory = tmp_path_factory.mktemp('pipelines') / 'jobs'
    ours = rq_leveldb.Redis.from_url(f'leveldb://{directory}')
    ours.ping()
    theirs = redis.Redis(unix_socket_path=str(directory / 'store.sock'))
    assert type(ours.pipeline()) is Pipeline
    assert type(theirs.pipeline()) is RedisPipeline
    yield ours, theirs
    ours.shutdown(nosave=True)


def outcome(client: redis.Redis, script: Script) -> Any:
    client.flushall()
    try:
        found = script(client)
    except Exception as error:
        found = error
    rest = sorted((key, client.type(key), client.ttl(key)) for key in client.scan_iter())
    return described(found), rest


def described(found: Any) -> Any:
    """Errors compare by kind and words."""
    if isinstance(found, Exception):
        return type(found), str(found)
    if isinstance(found, list):
        return [described(one) for one in found]
    return found


def common_commands(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        pipe.hset('h', mapping={'a': 1, 'b': 2.5, 'c': b'\x00\xff', 'd': 'gr\xfc\xdfe'})
        pipe.hgetall('h').expire('h', 100).ttl('h')
        pipe.zadd('z', {'m': 1.5, 'n': float('inf')}).zrange('z', 0, -1, withscores=True).zscore('z', 'm')
        pipe.rpush('l', 1, 2, 3).lrange('l', 0, -1).get('missing').exists('h', 'z')
        pipe.sadd('s', 'x').smembers('s').incrbyfloat('f', 0.5).type('s')
        pipe.eval('return {1, 2, {3, redis.call("GET", KEYS[1])}}', 1, 'f')
        return pipe.execute()


def nothing_at_all(client: redis.Redis, transaction: bool) -> Any:
    return client.pipeline(transaction=transaction).execute()


def error_in_the_middle(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.set('s', 1).lpush('s', 2).set('t', 3).execute()


def error_that_is_kept(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.set('s', 1).lpush('s', 2).set('t', 3).execute(raise_on_error=False)


def unknown_command(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.set('s', 1).execute_command('NOSUCHTHING', 'x').execute()


def unknown_command_that_is_kept(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.set('s', 1).execute_command('NOSUCHTHING', 'x').execute(raise_on_error=False)


def names_of_two_words(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.config_get('databases').object('encoding', 'missing').set('a', 1).execute(raise_on_error=False)


def unusual_arguments(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        pipe.set('view', memoryview(b'view')).set('array', bytearray(b'array')).execute_command(b'GET', 'view')
        return pipe.get('array').execute()


def what_cannot_be_sent(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.set('fine', 1).set('wrong', None).execute()


def values_of_a_megabyte(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        for number in range(3):
            pipe.set(f'big{number}', b'x' * 1_000_000).get(f'big{number}')
        return [one if one is True else len(one) for one in pipe.execute()]


def many_commands(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        for number in range(5_000):
            pipe.rpush('l', number)
        return sum(pipe.execute())


def dump_is_never_decoded(client: redis.Redis, transaction: bool) -> Any:
    client.set('a', '\xe9')
    with client.pipeline(transaction=transaction) as pipe:
        return pipe.dump('a').get('a').execute()


def undone_watch(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        pipe.watch('k')
        client.set('k', 'changed meanwhile')
        pipe.multi()
        return pipe.set('k', 'mine').execute()


def watch_that_holds(client: redis.Redis, transaction: bool) -> Any:
    with client.pipeline(transaction=transaction) as pipe:
        pipe.watch('k')
        before = pipe.get('k')
        pipe.multi()
        found = pipe.set('k', 'mine').get('k').execute()
        return [before, *found, pipe.watching, pipe.get('k').execute()]


def transaction_with_a_function(client: redis.Redis, transaction: bool) -> Any:
    client.set('n', 4)

    def double(pipe: Any) -> Any:
        number = int(pipe.get('n'))
        pipe.multi()
        pipe.set('n', 2 * number)
        return number

    return [client.transaction(double, 'n', value_from_callable=True), client.get('n')]


def registered_script(client: redis.Redis, transaction: bool) -> Any:
    script = client.register_script('return {KEYS[1], ARGV[1]}')
    with client.pipeline(transaction=transaction) as pipe:
        script(keys=['k'], args=['v'], client=pipe)
        return pipe.execute()


SCRIPTS = [
    common_commands,
    nothing_at_all,
    error_in_the_middle,
    error_that_is_kept,
    unknown_command,
    unknown_command_that_is_kept,
    names_of_two_words,
    unusual_arguments,
    what_cannot_be_sent,
    values_of_a_megabyte,
    many_commands,
    dump_is_never_decoded,
    undone_watch,
    watch_that_holds,
    transaction_with_a_function,
    registered_script,
]


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.__name__)
@pytest.mark.parametrize('transaction', [True, False], ids=['transaction', 'plain'])
def test_same_as_redis_py(
    clients: tuple[redis.Redis, redis.Redis], script: Callable[[Any, bool], Any], transaction: bool
) -> None:
    ours, theirs = (outcome(client, lambda one: script(one, transaction)) for client in clients)
    assert ours == theirs


@pytest.mark.parametrize('protocol', [2, 3])
def test_decoded_replies(tmp_path: Path, protocol: int) -> None:
    url = f'leveldb://{tmp_path / "jobs"}?protocol={protocol}'
    client = rq_leveldb.Redis.from_url(url, decode_responses=True)
    with client.pipeline() as pipe:
        assert pipe.set('a', 'gr\xfc\xdfe').get('a').hgetall('none').execute() == [True, 'gr\xfc\xdfe', {}]
    client.shutdown(nosave=True)


def test_connection_survives_what_a_pipeline_refused(clients: tuple[redis.Redis, redis.Redis]) -> None:
    """After an error no reply is left over for the next command on the same connection."""
    ours, _ = clients
    ours.flushall()
    for script in (error_in_the_middle, unknown_command, what_cannot_be_sent, undone_watch):
        for transaction in (True, False):
            with pytest.raises((redis.RedisError, redis.DataError)):
                script(ours, transaction)
            assert ours.echo('still in step') == b'still in step'

"""Channels and patterns: who gets which message."""

from __future__ import annotations

import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.pubsub import PubSub
from rq_leveldb.store.replies import Push, Status


class Listener:
    """A client that keeps what it is sent."""

    def __init__(self, number: int) -> None:
        self.got: list[Push | Status] = []
        self.state = ClientState(number, '', -1, send=self.got.append, close=lambda: None)


def test_a_message_goes_to_those_who_listen_by_name_and_by_pattern() -> None:
    hub = PubSub()
    by_name, by_pattern, other = Listener(1), Listener(2), Listener(3)
    assert hub.subscribe(by_name.state, b'news.a') == 1
    assert hub.psubscribe(by_pattern.state, b'news.*') == 1
    assert hub.psubscribe(by_pattern.state, b'*.a') == 2
    assert hub.subscribe(other.state, b'other') == 1
    assert hub.publish(b'news.a', b'hello') == 3
    assert by_name.got == [[b'message', b'news.a', b'hello']]
    assert by_pattern.got == [
        [b'pmessage', b'news.*', b'news.a', b'hello'],
        [b'pmessage', b'*.a', b'news.a', b'hello'],
    ]
    assert other.got == []


def test_nothing_is_kept_of_a_client_that_left() -> None:
    hub = PubSub()
    listener = Listener(1)
    hub.subscribe(listener.state, b'a')
    hub.psubscribe(listener.state, b'b*')
    hub.leave(listener.state)
    assert hub.publish(b'a', b'x') == hub.publish(b'b', b'x') == 0
    assert hub.channel_count() == hub.pattern_count() == 0
    assert not listener.state.channels
    assert not listener.state.patterns


def test_counts() -> None:
    hub = PubSub()
    one, two = Listener(1), Listener(2)
    for listener in (one, two):
        hub.subscribe(listener.state, b'shared')
        hub.subscribe(listener.state, b'shared')
        hub.psubscribe(listener.state, b'pattern*')
    assert hub.listener_count(b'shared') == 2
    assert hub.channels() == [b'shared']
    assert hub.channels(b'x*') == []
    assert hub.pattern_count() == 1
    assert hub.unsubscribe(one.state, b'shared') == 1
    assert hub.unsubscribe(one.state, b'never') == 1
    assert hub.listener_count(b'shared') == 1


@pytest.mark.parametrize('protocol', [2, 3])
def test_a_client_hears_what_another_publishes(redis: Redis, store_dir: object, protocol: int) -> None:
    with Redis.from_url(f'leveldb://{store_dir}', protocol=protocol) as client, client.pubsub() as pubsub:
        pubsub.subscribe('a', 'b')
        pubsub.psubscribe('a*')
        kinds = [pubsub.get_message(timeout=20)['type'] for _ in range(3)]
        assert kinds == ['subscribe', 'subscribe', 'psubscribe']
        assert redis.pubsub_numsub('a', 'b', 'c') == [(b'a', 1), (b'b', 1), (b'c', 0)]
        assert sorted(redis.pubsub_channels()) == [b'a', b'b']
        assert redis.pubsub_numpat() == 1
        assert redis.publish('a', 'first') == 2
        assert redis.publish('b', 'second') == 1
        messages = [pubsub.get_message(timeout=20) for _ in range(3)]
        assert [(message['type'], message['channel'], message['data']) for message in messages] == [
            ('message', b'a', b'first'),
            ('pmessage', b'a', b'first'),
            ('message', b'b', b'second'),
        ]
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        # Which channel goes first is not said.
        assert [pubsub.get_message(timeout=20)['data'] for _ in range(3)] == [2, 1, 0]
    assert redis.publish('a', 'nobody') == 0


def test_subscribing_and_publishing_in_a_transaction(redis: Redis) -> None:
    with redis.pubsub() as pubsub:
        pubsub.subscribe('channel')
        assert pubsub.get_message(timeout=20)['type'] == 'subscribe'
        with redis.pipeline() as pipeline:
            pipeline.set('k', 'v')
            pipeline.publish('channel', 'message')
            assert pipeline.execute() == [True, 1]
        assert pubsub.get_message(timeout=20)['data'] == b'message'


def test_publishing_from_a_script(redis: Redis) -> None:
    with redis.pubsub() as pubsub:
        pubsub.subscribe('channel')
        pubsub.get_message(timeout=20)
        assert redis.eval("return redis.call('publish', 'channel', 'hi')", 0) == 1
        assert pubsub.get_message(timeout=20)['data'] == b'hi'
        with pytest.raises(redis_py.ResponseError, match='This Redis command is not allowed from script'):
            redis.eval("return redis.call('subscribe', 'channel')", 0)


def test_the_words_of_redis(redis: Redis) -> None:
    with pytest.raises(redis_py.ResponseError, match=r"unknown subcommand 'X'\. Try PUBSUB HELP\."):
        redis.execute_command('PUBSUB', 'X')
    with pytest.raises(redis_py.ResponseError, match=r"wrong number of arguments for 'pubsub\|numpat' command"):
        redis.execute_command('PUBSUB', 'NUMPAT', 'x')

"""Other users of Redis than RQ: Django's caches by the name of our pool, and kombu by the path of the socket."""

from __future__ import annotations

import pytest

from compat_tests.tools.place import Place, need

CACHE = """
import os, sys
from django.conf import settings
url = os.environ['RQ_LEVELDB_URL'] + '?db=2'
settings.configure(CACHES={{'default': {{'BACKEND': {backend!r}, 'LOCATION': url, 'OPTIONS': {options!r}}}}})
from django.core.cache import cache
cache.set('name', ['value'], timeout=60)
cache.set_many({{'a': 1, 'b': 2}})
cache.incr('a')
cache.delete('b')
print(cache.get('name'), cache.get_many(['a', 'b']))
"""


@pytest.mark.parametrize(
    ('backend', 'options'),
    [
        ('django.core.cache.backends.redis.RedisCache', {'pool_class': 'rq_leveldb.ConnectionPool'}),
        ('django_redis.cache.RedisCache', {'CONNECTION_POOL_CLASS': 'rq_leveldb.ConnectionPool'}),
    ],
    ids=['Django', 'django-redis'],
)
def test_a_cache_of_django(store: Place, backend: str, options: dict[str, str]) -> None:
    need('django', 'django_redis')
    done = store.run('python', '-c', CACHE.format(backend=backend, options=options))
    assert done.stdout == "['value'] {'a': 2}\n"
    assert store.client.info('keyspace').keys() == {'db2'}


def test_messages_of_kombu(store: Place) -> None:
    need('kombu')
    from kombu import Connection

    with Connection(store.address.replace('unix://', 'redis+socket://')) as connection:
        queue = connection.SimpleQueue('numbers')
        for number in (1, 2):
            queue.put({'number': number})
        first = queue.get(timeout=30)
        first.requeue()
        numbers = []
        for _ in range(2):
            message = queue.get(timeout=30)
            numbers.append(message.payload['number'])
            message.ack()
        assert sorted(numbers) == [1, 2]
        queue.close()

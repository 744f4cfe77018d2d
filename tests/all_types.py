"""Keys of all types, short and long, with what is easily lost on the way to another place."""

from __future__ import annotations

import math
import os
import time

from rq_leveldb import Redis


def fill(redis: Redis) -> None:
    """Put keys of all types, short and long, into a place."""
    soon = int(time.time() * 1000) + 3_600_123
    redis.set('rq:text', b'\x00\xff\r\n')
    redis.set('rq:empty', b'', pxat=soon)
    redis.set('rq:long text', os.urandom(5_000_000))
    redis.hset('rq:job:one', mapping={'data': b'\x80\x04', 'status': 'queued', '': 'no name'})
    redis.pexpireat('rq:job:one', soon)
    redis.hset('rq:many fields', mapping={f'field {number}': os.urandom(40) for number in range(12_000)})
    redis.rpush('rq:queue:default', *(f'job {number % 7}' for number in range(100)))
    redis.rpush('rq:queue:long', *(f'{number:060}' for number in range(9_000)))
    redis.pexpireat('rq:queue:long', soon + 5)
    redis.sadd('rq:queues', 'rq:queue:default', 'rq:queue:long')
    redis.sadd('rq:numbers', *range(3_000))
    redis.sadd('rq:many members', *(f'{number:050}' for number in range(9_000)))
    redis.zadd('rq:scores', {'-inf': -math.inf, 'inf': math.inf, 'a': 0.1 + 0.2, 'b': 1e-320, 'c': 2.0**53 + 2})
    redis.zadd('rq:equal', {f'{number:04}': 1.5 for number in range(300)})
    redis.zadd('rq:many scores', {f'{number:050}': number / 7 for number in range(9_000)})
    redis.xadd('rq:results:one', {'type': 1, 'return_value': b'\xff'}, id='1700000000000-3')
    redis.pexpireat('rq:results:one', soon)
    for number in range(1, 2_000):
        redis.xadd('rq:stream', {'field': f'{number:0100}'}, id=f'{number}-1')
    redis.xgroup_create('rq:stream', 'readers', '0')
    redis.xgroup_create('rq:stream', 'idle', '7-1')
    redis.xgroup_createconsumer('rq:stream', 'readers', 'nobody')
    redis.xreadgroup('readers', 'ann', {'rq:stream': '>'}, count=700)
    redis.xreadgroup('readers', 'bob', {'rq:stream': '>'}, count=20)
    redis.xack('rq:stream', 'readers', '3-1')
    redis.xdel('rq:stream', '5-1', '710-1', '1999-1')
    redis.xadd('rq:emptied', {'a': 'b'}, id='9-9')
    redis.xdel('rq:emptied', '9-9')
    redis.xgroup_create('rq:made', 'group', '0', mkstream=True)
    redis.hset('rq-leveldb:tally', mapping={'started|default': 4})
    redis.set(b'rq:\xff\xfe', 'a name that is no text')
    redis.set('other', 'of another program')

"""The URL of a real Redis server: whether redis-py can make something of it, before anything connects."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

from redis import ConnectionPool
from redis.connection import to_bool
from redis.exceptions import RedisError

from rq_leveldb.errors import BadAddress
from rq_leveldb.location import is_redis_url

__all__ = ['check_for_rq', 'check_server_url']

_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")


def check_server_url(url: str) -> None:
    """Check that a URL is one that redis-py understands, with options that it knows.

    Args:
        url: redis://, rediss:// or unix://.

    Raises:
        BadAddress: it is not; says what is wrong.
    """
    title = 'This URL of a Redis server cannot be read'
    try:
        parts = urlsplit(url)
        database = parts.path.strip('/')
        if parts.scheme.lower() != 'unix' and database and not (database.isascii() and database.isdigit()):
            # redis-py takes database 0 then, which may be somebody else's.
            raise BadAddress(url, title=title, advice='What follows the host is the number of a database, such as /0.')
        # Neither of them connects; the second one reads the options.
        ConnectionPool.from_url(url).make_connection()
    except BadAddress:
        raise
    except TypeError as error:
        unknown = _UNKNOWN.search(str(error))
        advice = f'redis-py has no option {unknown[1]} for it. Remove it.' if unknown else f'{error}.'
        raise BadAddress(url, title=title, advice=advice) from error
    except (ValueError, LookupError, RedisError) as error:
        raise BadAddress(url, title=title, advice=f'{str(error).rstrip(".")}.') from error


def check_for_rq(url: str) -> None:
    """Check the URL of a place that RQ is to work on, as far as that can be done without connecting.

    Args:
        url: of a store or a server.

    Raises:
        BadAddress: it cannot be used.
    """
    if is_redis_url(url):
        check_server_url(url)
    # What else is wrong with the URL of a store is found when it is opened.
    _, _, query = url.partition('?')
    if to_bool(dict(parse_qsl(query)).get('decode_responses', '')):
        raise BadAddress(
            url,
            title='RQ cannot work with replies that are text',
            advice='Remove decode_responses from the URL: jobs and results are bytes.',
        )

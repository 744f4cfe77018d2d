"""A pool for settings that name a class and a URL."""

from __future__ import annotations

from typing import Any

import redis

from rq_leveldb.client.connection import connection_options
from rq_leveldb.client.options import for_server, warn_of_unused
from rq_leveldb.client.pool import StorePool
from rq_leveldb.location import is_redis_url, parse

__all__ = ['ConnectionPool']


class ConnectionPool(StorePool):
    """redis.ConnectionPool on the store, for settings that name a pool's class, as those of Django's caches.

    Args:
        options: as redis.ConnectionPool; `from_url` sets those that lead to a store.
    """

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Any:
        """Return a pool for a URL.

        Args:
            url: as Redis.from_url. The pool for a real server is redis-py's own.
            options: as redis.Redis; those in the URL win.

        Raises:
            BadAddress: the URL names no place, or has an option that does not apply to a store.
        """
        if is_redis_url(url):
            return redis.ConnectionPool.from_url(url, **for_server(url, options))
        warn_of_unused(options)
        return cls(**connection_options(parse(url), options))

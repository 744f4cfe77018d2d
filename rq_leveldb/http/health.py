"""Whether the service lives and can serve; which functions it takes."""

from __future__ import annotations

import time

import falcon
from redis.exceptions import RedisError

from rq_leveldb.errors import StoreError
from rq_leveldb.http import body, query
from rq_leveldb.http.backend import Backend
from rq_leveldb.version import __version__

__all__ = ['Functions', 'Health']


class Health:
    """For whoever supervises the service; needs no token and tells no secrets.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say whether the service can serve: 200 or 503."""
        self.on_get_ready(request, response)

    def on_get_live(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say that the process answers."""
        query.read_query(request, {})
        body.answer(response, {'status': 'ok', 'version': __version__})

    def on_get_ready(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say whether the store answers: 200 or 503."""
        query.read_query(request, {})
        started = time.perf_counter()
        try:
            self._backend.connection.ping()
        except (RedisError, StoreError):
            body.answer(response, {'status': 'store-unavailable', 'version': __version__}, falcon.HTTP_503)
            return
        latency = round(time.perf_counter() - started, 6)
        body.answer(response, {'status': 'ok', 'version': __version__, 'store_seconds': latency})


class Functions:
    """The functions that may be enqueued.

    Args:
        backend: for its list.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the functions that are known by name, and the patterns."""
        query.read_query(request, {})
        allow = self._backend.allow
        body.answer(response, {'functions': list(allow.functions), 'patterns': list(allow.patterns)})

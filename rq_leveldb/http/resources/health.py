"""Whether the service lives and can serve; which functions it takes."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout

import falcon
from redis.exceptions import RedisError

from rq_leveldb.errors import StoreError
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import body, query
from rq_leveldb.version import __version__

__all__ = ['Functions', 'Health']

# How long the store may take to answer, seconds: it is started again in this time where it was killed. Whoever asks
# meanwhile waits less, so that a store that is stopped keeps one thread of those that answer about health.
_PATIENCE = 5.0
_PATIENCE_OF_OTHERS = 0.5


class Health:
    """For whoever supervises the service; needs no token and tells no secrets.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._probe = _Probe(backend)

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
        latency = self._probe.ask()
        if latency is None:
            body.answer(response, {'status': 'store-unavailable', 'version': __version__}, falcon.HTTP_503)
            return
        body.answer(response, {'status': 'ok', 'version': __version__, 'store_seconds': round(latency, 6)})


class _Probe:
    """Asks the store for a sign of life, one question at a time."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._executor = ThreadPoolExecutor(1)
        self._lock = threading.Lock()
        self._asked: Future[float] | None = None
        self._asked_at = 0.0

    def ask(self) -> float | None:
        """Return how long the store took to answer, seconds; None where it does not."""
        with self._lock:
            patience = self._asked_at + _PATIENCE_OF_OTHERS - time.monotonic()
            if self._asked is None or self._asked.done():
                self._asked_at = time.monotonic()
                self._asked = self._executor.submit(self._ping)
                patience = _PATIENCE
            asked = self._asked
        try:
            return asked.result(max(0.0, patience))
        except (RedisError, StoreError, FutureTimeout):
            return None

    def _ping(self) -> float:
        started = time.perf_counter()
        self._backend.connection.ping()
        return time.perf_counter() - started


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

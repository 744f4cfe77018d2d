"""Whether the service lives and can serve. It needs no token and reveals no secrets."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TypedDict

import falcon
from redis.exceptions import RedisError

from rq_leveldb.errors import StoreError
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.version import __version__

__all__ = ['routes']

# How long the store may take to answer, seconds: it is started again in this time where it was killed. Others that ask
# in the meantime wait less, so that a store that hangs occupies one of the threads that answer about health.
_PATIENCE = 5.0
_PATIENCE_OF_OTHERS = 0.5


class _Versioned(TypedDict):
    status: str
    version: str


class HealthDocument(_Versioned, total=False):
    """Whether the service can serve."""

    store_seconds: float


def live(call: Call) -> HealthDocument:
    """Say that the process answers."""
    return {'status': 'ok', 'version': __version__}


class _Probe:
    """Pings the store, one ping at a time."""

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


def routes(backend: Backend) -> Sequence[Route]:
    """Return the routes.

    Args:
        backend: the store.
    """
    probe = _Probe(backend)

    def ready(call: Call) -> HealthDocument:
        """Say whether the store answers."""
        latency = probe.ask()
        if latency is None:
            call.response.status = falcon.HTTP_503
            return {'status': 'store-unavailable', 'version': __version__}
        return {'status': 'ok', 'version': __version__, 'store_seconds': round(latency, 6)}

    def health(call: Call) -> HealthDocument:
        """Say whether the service can serve."""
        return ready(call)

    return (
        Route('GET', '/healthz', health, also=503, is_open=True),
        Route('GET', '/healthz/live', live, also=503, is_open=True),
        Route('GET', '/healthz/ready', ready, also=503, is_open=True),
    )

"""Binding a process that serves to one core, since its threads have one interpreter lock to pass around.

Whoever waits for the lock sleeps, and waking it on another core takes longer than most of what it then does. A process
that is free to use two cores answers half as many requests as one that is bound to one: docs/http.rst.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from redis import Redis

from rq_leveldb.client.connection import StoreConnection
from rq_leveldb.client.pool import StorePool

__all__ = ['allowed_cores', 'bind', 'choose_core', 'start_stores_unbound']


def choose_core(usable: Collection[int], taken: Collection[int], first: int) -> int | None:
    """Return a core that as few others as possible are bound to; None where there is nothing to choose.

    Args:
        usable: the cores that may be used.
        taken: those that others are bound to, once for each.
        first: where to begin, any number: services that do not know each other should not choose the same core.
    """
    cores = sorted(usable)
    if len(cores) < 2:
        return None
    begin = first % len(cores)
    return min(cores[begin:] + cores[:begin], key=list(taken).count)


def allowed_cores() -> set[int]:
    """Return the numbers of the cores that the calling thread may use; none where the system does not tell."""
    return os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else set()


def bind(core: int | None) -> None:
    """Bind the calling thread, and those that it will start, to a core: sched_setaffinity(2).

    Args:
        core: its number; None leaves the thread as it is.
    """
    if core is not None:
        _allow({core})


def _allow(cores: Collection[int]) -> None:
    # Where a sandbox forbids it, or the core was taken away meanwhile, requests are answered all the same.
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores)


def start_stores_unbound(connection: Redis) -> None:
    """Have stores that this connection starts use all cores, which they would not as children of a bound thread.

    Args:
        connection: of a process whose parent is not bound; its connections are not made yet.
    """
    pool = connection.connection_pool
    if isinstance(pool, StorePool):
        pool.connection_class = _UnboundConnection


class _UnboundConnection(StoreConnection):
    def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self._sock is None:
            with _as_the_parent():
                super().connect_check_health(check_health, retry_socket_connect)


@contextlib.contextmanager
def _as_the_parent() -> Iterator[None]:
    """Let the calling thread use the cores that its process' parent may use."""
    bound = allowed_cores()
    if not bound:
        yield
        return
    with contextlib.suppress(ProcessLookupError):
        _allow(os.sched_getaffinity(os.getppid()))
    try:
        yield
    finally:
        _allow(bound)

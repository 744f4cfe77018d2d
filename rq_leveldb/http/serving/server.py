"""Serving the application with gunicorn, one front per data directory."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from redis import Redis

from rq_leveldb.errors import StoreError
from rq_leveldb.http.access.allow import AllowList
from rq_leveldb.http.application import Application, build
from rq_leveldb.http.serving import affinity
from rq_leveldb.http.settings import HttpSettings, variable
from rq_leveldb.http_address import Address, listen
from rq_leveldb.version import __version__

__all__ = ['AlreadyServed', 'FrontServer', 'hold_lock', 'serve']

_MOST_CONNECTIONS = 1000


class AlreadyServed(StoreError):
    """Another front serves this data directory."""

    default_title = 'An HTTP front runs for this data directory already'
    default_advice = 'Use it, or stop it first.'


class FrontServer(BaseApplication):  # type: ignore[misc]
    """gunicorn with our application and settings, and nothing from its command line or files.

    Args:
        settings: the settings.
        descriptor: a listening socket.
        load: makes the application; called in each process that serves.
        ready: called when requests are served.
        idle: seconds without a client after which it ends; 0 for never.
    """

    def __init__(
        self,
        settings: HttpSettings,
        descriptor: int,
        load: Callable[[], Application],
        ready: Callable[[], None] | None = None,
        idle: float = 0.0,
    ) -> None:
        self.settings = settings
        # Several processes would each have to know whether the others have clients.
        self.idle = idle if settings.processes == 1 else 0.0
        self._descriptor = descriptor
        self._load = load
        self._ready = ready
        super().__init__()

    def load_config(self) -> None:
        """Set gunicorn's options."""
        settings = self.settings
        options: dict[str, Any] = {
            'bind': f'fd://{self._descriptor}',
            'worker_class': 'rq_leveldb.http.serving.thread_worker.FrontWorker',
            'workers': settings.processes,
            'threads': settings.threads,
            'worker_connections': _most_connections(settings.threads),
            'keepalive': 75,
            'graceful_timeout': 5,
            'timeout': 60,
            'limit_request_line': 8190,
            'limit_request_fields': 100,
            'limit_request_field_size': 8190,
            'accesslog': '-' if settings.access_log else None,
            'errorlog': '-',
            'loglevel': 'warning',
            'logger_class': 'rq_leveldb.http.serving.thread_worker.FrontLogger',
            'control_socket_disable': True,
            'worker_tmp_dir': '/dev/shm' if os.path.isdir('/dev/shm') and os.access('/dev/shm', os.W_OK) else None,
            'when_ready': self._when_ready,
            'pre_fork': _before_fork,
            'post_fork': _after_fork,
            'proc_name': 'rq-leveldb http',
        }
        for name, value in options.items():
            if value is not None:
                self.cfg.set(name, value)

    def load(self) -> Any:
        """Return the application for the process that calls."""
        front = self._load()
        self.front = front
        return front.app

    def _when_ready(self, arbiter: Any) -> None:
        if self._ready is not None:
            self._ready()


def _most_connections(threads: int) -> int:
    """Return how many clients may be connected, so that descriptors are left: two a thread, and some for the rest."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = _MOST_CONNECTIONS if files == resource.RLIM_INFINITY else files - 2 * threads - 64
    return max(threads + 1, min(_MOST_CONNECTIONS, room))


def _before_fork(arbiter: Any, worker: Any) -> None:
    # What both processes have in memory is left out of the collector's rounds, which would write to all of it.
    gc.collect()
    gc.freeze()
    taken = [sibling.core for sibling in arbiter.WORKERS.values()]
    worker.core = affinity.choose_core(affinity.allowed_cores(), taken, os.getpid())


def _after_fork(arbiter: Any, worker: Any) -> None:
    affinity.bind(worker.core)


def hold_lock(path: Path, descriptor: int | None = None) -> int:
    """Make this process the only front of a data directory while it and its children live.

    Args:
        path: the lock file.
        descriptor: a descriptor of it, locked and inherited; else it is opened and locked here.

    Returns:
        The descriptor; closing it releases the lock.

    Raises:
        AlreadyServed: another process holds the lock.
    """
    if descriptor is None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            content = os.read(descriptor, 1000)
            os.close(descriptor)
            raise AlreadyServed(_address_in(content) or str(path)) from None
    return descriptor


def _address_in(content: bytes) -> str | None:
    try:
        return str(json.loads(content)['url'])
    except (ValueError, KeyError, TypeError):
        return None


def serve(
    settings: HttpSettings,
    connect: Callable[[], Redis],
    token: str | None,
    *,
    lock: int | None = None,
    ready: Callable[[str], None] | None = None,
    listener: int | None = None,
    idle: float = 0.0,
) -> None:
    """Serve until told to stop; returns only by SystemExit.

    Args:
        settings: the settings.
        connect: returns a new connection to the store.
        token: the bearer token; None requires none.
        lock: the locked descriptor of the data directory's lock file, where the address is written down.
        ready: called with the service's URL when it serves.
        listener: descriptor of a socket that listens at the settings' address already; None makes one.
        idle: seconds without a client after which it ends; 0 for never.

    Raises:
        StoreError: the address cannot be used, or a module cannot be imported.
    """
    address = Address.parse(settings.address)
    if token is None and not address.is_local:
        raise StoreError(
            settings.address,
            title='Anybody could run jobs: this address is not loopback, and no token is asked for',
            advice=f'Remove --open and {variable("open")}, or listen on 127.0.0.1.',
        )
    # Imported before gunicorn forks: a module that fails must stop the start and not each worker process, and the
    # processes share its memory.
    allow = AllowList(settings.imports, settings.allow)
    sock = listen(address) if listener is None else socket.socket(fileno=listener)
    url = address.url(sock)
    if lock is not None:
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({'url': url, 'pid': os.getpid(), 'version': __version__}).encode(), 0)

    def load() -> Application:
        connection = connect()
        affinity.start_stores_unbound(connection)
        return build(connection, settings, token, allow)

    server = FrontServer(settings, sock.fileno(), load, (lambda: ready(url)) if ready is not None else None, idle)
    try:
        server.run()
    finally:
        address.remove()

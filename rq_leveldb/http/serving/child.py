"""Running the front as a process: alone, or as the child of a worker."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from rq_leveldb import systemd
from rq_leveldb.http.serving.place import Place
from rq_leveldb.http.serving.server import hold_lock, serve
from rq_leveldb.http.settings import HttpSettings
from rq_leveldb.process import die_with_parent

__all__ = ['run']

_M_ARENA_MAX = -8  # <malloc.h>


def run(
    url: str | None,
    *,
    paths: Sequence[str] = (),
    parent: int | None = None,
    ready_fd: int | None = None,
    lock_fd: int | None = None,
    listen_fd: int | None = None,
    idle: float = 0.0,
    **given: Any,
) -> None:
    """Serve until told to stop; returns only by SystemExit.

    Args:
        url: the store; None for what the environment names, or the default.
        paths: further directories to import modules from.
        parent: process id of the worker that this process must not outlive.
        ready_fd: where to write `ready URL` when requests are served.
        lock_fd: the locked lock file of the data directory, inherited.
        listen_fd: a socket that listens, inherited; who has it knows the address already.
        idle: seconds without a client after which to end; 0 for never.
        given: settings by name; None counts as not given.

    Raises:
        StoreError: the service cannot start.
    """
    if parent is not None:
        die_with_parent(parent, signal.SIGTERM)
        # Ctrl-C at the terminal reaches the whole group; the worker decides when its front ends.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # As `python -m` has it; the modules given by --import are the application's.
    for path in (os.getcwd(), *paths):
        if path not in sys.path:
            sys.path.insert(0, path)
    _share_heap()
    settings = HttpSettings.from_environment(**given)
    place = Place.find(url)
    place.prepare()
    lock = hold_lock(place.directory.http_lock, lock_fd)
    token = place.token(settings)
    # Before gunicorn starts, so that a place that cannot be used is an error here and not in each serving process.
    connection = place.connect()
    connection.ping()
    connection.close()

    def ready(address: str) -> None:
        if ready_fd is None:
            print(f'Serving on {address}', flush=True)
            systemd.notify('READY=1')
        else:
            if listen_fd is None:
                # In the format of the worker's log, which goes to this terminal: people look for the address there.
                print(f'{time.strftime("%H:%M:%S")} http: serving on {address}', file=sys.stderr, flush=True)
            os.write(ready_fd, f'ready {address}\n'.encode())
            os.close(ready_fd)

    serve(settings, place.connect, token, lock=lock, ready=ready, listener=listen_fd, idle=idle)


def _share_heap() -> None:
    """Let the threads share two heaps, as MALLOC_ARENA_MAX=2 would; each of many heaps would keep free memory.

    With one interpreter lock, threads hardly ever allocate at the same time: mallopt(3), glibc only.
    """
    if sys.platform == 'linux':
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)

"""The jobs that the worker's benchmark runs; they import nothing, so that a fork of a bare process can run them."""

from __future__ import annotations

import os
import time


def nothing() -> None:
    """Do nothing."""


def stamp(path: str, enqueued: float) -> None:
    """Write down how long it took from the enqueueing to this first line."""
    now = time.time()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f'{now - enqueued}\n'.encode())
    os.close(descriptor)


def wait(path: str) -> None:
    """Run until the file is there."""
    while not os.path.exists(path):
        time.sleep(0.001)

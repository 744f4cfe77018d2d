"""Jobs that leave something behind in their process, and jobs that only look as if they did."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from rq_leveldb import Queue, progress

KEPT: list[Any] = []


def environment() -> None:
    os.environ['LEFT_BEHIND'] = 'yes'


def directory() -> None:
    os.chdir('/')


def mask() -> None:
    os.umask(0o123)


def handler() -> None:
    signal.signal(signal.SIGUSR1, lambda number, frame: None)


def timer() -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 1000)


def limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (1000, hard))


def descriptor() -> None:
    KEPT.append(os.open(os.devnull, os.O_RDONLY))


def output() -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def channel() -> None:
    os.closerange(3, 256)


def stream() -> None:
    sys.stdout = sys.stderr


def thread() -> None:
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def program() -> None:
    KEPT.append(subprocess.Popen(['sleep', '20'], start_new_session=True))


def orphan() -> None:
    os.system('sleep 20 > /dev/null 2>&1 &')


def group() -> None:
    os.setpgid(0, os.getpgid(os.getppid()))


def forbid() -> None:
    """Give up for ever to be signalled when the parent ends; what the worker restores itself."""
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)


LEAVING = [
    environment,
    directory,
    mask,
    handler,
    timer,
    limit,
    descriptor,
    output,
    channel,
    stream,
    thread,
    program,
    orphan,
    group,
]


def enqueues() -> None:
    Queue('other').enqueue(environment)
    progress(1, 2)


def cleans_up() -> None:
    """Do what jobs do, and leave nothing."""
    with tempfile.TemporaryFile() as file:
        file.write(b'x')
    subprocess.run(['true'], check=True)
    worker = threading.Thread(target=time.sleep, args=(0.01,))
    worker.start()
    worker.join()
    signal.alarm(1)


def raises() -> None:
    """Raise, and leave behind sockets that only a collection closes."""
    circle: list[Any] = [*socket.socketpair()]
    circle.append(circle)
    raise ValueError('as expected')


async def awaits() -> None:
    """Run in an event loop, of which RQ leaves it to the garbage collection to close its descriptors."""
    await asyncio.sleep(0)


def burns(seconds: float) -> None:
    while time.process_time() < seconds:
        pass


def keeps(megabytes: int) -> int:
    KEPT.append(b'x' * (megabytes << 20))
    return os.getpid()

"""Jobs that change their own process, and then end in one way or another."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_KEPT: list[int] = []


def _use_up_descriptors() -> None:
    with contextlib.suppress(OSError):
        while True:
            _KEPT.append(os.open('/dev/null', os.O_RDONLY))


def _drop_rights() -> None:
    os.setgid(65534)
    os.setuid(65534)


class _Proxied(socket.socket):
    def __init__(self, family: int = socket.AF_INET, *args: Any, **options: Any) -> None:
        if family not in (socket.AF_INET, socket.AF_INET6):
            raise ValueError('this proxy knows internet sockets only')
        super().__init__(family, *args, **options)


def _replace_sockets() -> None:
    socket.socket = _Proxied  # type: ignore[misc]


def _close_streams() -> None:
    sys.stdout.close()
    sys.stderr.close()


def _join_another_group() -> None:
    os.setpgid(0, os.getpgid(os.getppid()))


CHANGES: dict[str, Callable[[], None]] = {
    'nothing': lambda: None,
    'closes all descriptors': lambda: os.closerange(3, 4096),
    'uses up descriptors': _use_up_descriptors,
    'drops its rights': _drop_rights,
    'changes its root': lambda: os.chroot(tempfile.gettempdir()),
    'replaces socket.socket': _replace_sockets,
    'closes its streams': _close_streams,
    "joins the forker's group": _join_another_group,
}


def small(change: str) -> str:
    CHANGES[change]()
    return 'result'


def large(change: str) -> str:
    CHANGES[change]()
    return 'x' * 200_000


def fails(change: str) -> None:
    CHANGES[change]()
    raise KeyError('the true reason')


def succeeded(job: Any, connection: Any, result: Any) -> None:
    """Be a callback."""


def forks_and_both_return(seconds: float) -> str:
    """Fork; the copy returns first, the job itself later."""
    if os.fork() == 0:
        return 'the copy'
    time.sleep(seconds)
    return 'the job'


def forks_and_copy_raises(seconds: float) -> str:
    """Fork; the copy fails, the job itself succeeds later."""
    if os.fork() == 0:
        raise ValueError('the copy')
    time.sleep(seconds)
    return 'the job'


def forks_and_copy_exits(seconds: float) -> str:
    """Fork; the copy ends the interpreter, the job itself succeeds later."""
    if os.fork() == 0:
        sys.exit(3)
    time.sleep(seconds)
    return 'the job'


def exits_at_once(traces: str) -> None:
    """End the process without a word."""
    with open(traces, 'a') as file:
        file.write('x\n')
    os._exit(1)


def stops_its_worker() -> str:
    """Ask the worker to stop, as RQ's jobs can."""
    os.kill(os.getppid(), signal.SIGTERM)
    return 'asked'


def tell(path: str, *words: object) -> None:
    with open(path, 'a') as file:
        file.write(' '.join(map(str, words)) + '\n')


def failed(job: Any, connection: Any, kind: type, value: Any, trace: Any) -> None:
    """Be an on_failure callback that says what it was called with, and where."""
    tell(job.meta['notes'], 'on_failure', kind.__name__, os.getpid())


def handler(job: Any, kind: type, value: Any, trace: Any) -> None:
    """Be an exception handler that says what it was called with."""
    if 'notes' in job.meta:
        tell(job.meta['notes'], 'handler', kind.__name__, os.getpid())


def stopped_and_exits(job: Any, connection: Any) -> None:
    """Be an on_stopped callback that ends its process."""
    tell(job.meta['notes'], 'on_stopped', os.getpid())
    os._exit(7)


def stopped_and_sleeps(job: Any, connection: Any) -> None:
    """Be an on_stopped callback that takes its time."""
    tell(job.meta['notes'], 'on_stopped', os.getpid())
    time.sleep(3)


def raises_exit(job: Any, connection: Any, kind: type, value: Any, trace: Any) -> None:
    """Be an on_failure callback that ends its process while the failure is dealt with."""
    os._exit(9)


def size(data: bytes) -> int:
    return len(data)


def make(number: int) -> bytes:
    return os.urandom(number)


def touched(path: str) -> bool:
    return Path(path).exists()

"""What a job can change of its process for the job after it: taken before the first job, and compared after each.

It is what the kernel keeps of a process, and what a look at it finds in well under a millisecond. What Python keeps
(modules, their variables, caches) is not looked at: that it stays is why a process runs more than one job.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import gc
import os
import posix
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from rq_leveldb.process import EXECUTION_VARIABLE

__all__ = ['ProcessState']

# Set by the worker itself for each job.
_OWN_VARIABLES = (b'RQ_JOB_ID', EXECUTION_VARIABLE.encode())
_DESCRIPTORS = '/proc/self/fd' if sys.platform == 'linux' else '/dev/fd'
# RQ's time-outs set SIGALRM for each job, and set it back.
_SIGNALS = sorted(map(int, signal.valid_signals() - {signal.SIGALRM}))
_TIMERS = tuple(map(int, (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)))
_LIMITS = sorted({value for name, value in vars(resource).items() if name.startswith('RLIMIT_')})
# Seconds. A thread that was joined takes a moment to disappear.
_PAUSE = 0.005

_LEFT = {
    'threads': 'a thread',
    'programs': 'a process that it started',
    'group': 'a changed process group',
    'owner': 'another user or group',
    'environment': 'a changed environment',
    'directory': 'another working directory',
    'umask': 'another umask',
    'signals': 'a changed signal handler or mask',
    'timers': 'a timer',
    'limits': 'a changed resource limit',
    'streams': 'a replaced or closed standard stream',
    'descriptors': 'a descriptor that it opened, closed or replaced',
}


@dataclass(frozen=True)
class ProcessState:
    """The state of the calling process at one moment; the fields are those of the table above."""

    threads: int
    programs: bool
    group: int
    owner: tuple[Any, ...]
    environment: dict[bytes, bytes]
    directory: tuple[Any, ...]
    umask: int
    signals: tuple[Any, ...]
    timers: tuple[Any, ...]
    limits: tuple[Any, ...]
    streams: tuple[Any, ...]
    descriptors: dict[int, tuple[int, int]]

    @classmethod
    def now(cls) -> ProcessState:
        """Return the present state.

        Raises:
            OSError: the process cannot look at itself any more.
        """
        environment = dict(os.environb)
        for name in _OWN_VARIABLES:
            environment.pop(name, None)
        umask = os.umask(0o077)
        os.umask(umask)
        return cls(
            threads=_threads(),
            programs=_has_children() or _is_joined(),
            group=os.getpgrp(),
            owner=(os.getuid(), os.geteuid(), os.getgid(), os.getegid(), os.getgroups()),
            environment=environment,
            directory=(os.getcwd(), *_file('/')),
            umask=umask,
            # By the C functions: those of `signal` look every number up in an enumeration.
            signals=(*map(_signal.getsignal, _SIGNALS), _signal.pthread_sigmask(_signal.SIG_BLOCK, ())),
            timers=tuple(map(_signal.getitimer, _TIMERS)),
            limits=tuple(map(resource.getrlimit, _LIMITS)),
            streams=tuple((id(one), getattr(one, 'closed', None)) for one in (sys.stdin, sys.stdout, sys.stderr)),
            descriptors=_descriptors(),
        )

    def left_since(self) -> str:
        """Say in words what is different now from what it was; '' if nothing is."""
        words = self._difference()
        if words:
            # What nobody refers to any more is closed.
            gc.collect()
            words = self._difference()
        if words:
            time.sleep(_PAUSE)
            words = self._difference()
        return words

    def _difference(self) -> str:
        try:
            now = ProcessState.now()
        except OSError as error:
            return f'a process that cannot be looked at ({error})'
        return next((words for name, words in _LEFT.items() if getattr(self, name) != getattr(now, name)), '')

    def still_has(self, descriptor: int) -> bool:
        """Say whether a descriptor refers to the same file as it did."""
        try:
            return self.descriptors.get(descriptor) == _identity(os.fstat(descriptor))
        except OSError:
            return False


def _threads() -> int:
    """Return how many threads there are, those included that Python does not know of."""
    try:
        return len(os.listdir('/proc/self/task'))
    except OSError:
        return threading.active_count()


def _has_children() -> bool:
    # Not os.waitpid, which gevent replaces. Those that have ended are reaped.
    try:
        while posix.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _is_joined() -> bool:
    """Say whether other processes are in the group that this process leads, whoever is their parent by now."""
    pid = os.getpid()
    if os.getpgrp() != pid:
        return False
    # A group has no count of its members. So this process leaves it, looks whether it is still there, and comes back.
    os.setpgid(0, os.getpgid(os.getppid()))
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    finally:
        os.setpgid(0, 0)
    return True


def _descriptors() -> dict[int, tuple[int, int]]:
    found = {}
    for name in os.listdir(_DESCRIPTORS):
        try:
            found[int(name)] = _identity(os.fstat(int(name)))
        except OSError:
            # That of the listing itself.
            continue
    return found


def _file(path: str) -> tuple[int, int]:
    return _identity(os.stat(path))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino

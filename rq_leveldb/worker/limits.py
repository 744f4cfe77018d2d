"""What a job may use, what it used, and how it ended, in words."""

from __future__ import annotations

import os
import re
import resource
import signal
from pathlib import Path
from types import TracebackType

from rq.job import Job

__all__ = [
    'ExcInfo',
    'JobMemoryExceeded',
    'OutOfMemoryWatch',
    'explain_exit',
    'explain_memory',
    'limit_memory',
    'memory_of',
    'parse_size',
    'private_memory',
]

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
"""What `sys.exc_info` returns."""

# Of memory: what the kernel takes as a limit.
_LARGEST = 2**63 - 1
_UNITS = {'': 1, 'b': 1, 'k': 1 << 10, 'm': 1 << 20, 'g': 1 << 30, 't': 1 << 40}

_WORDS = {
    signal.SIGSEGV: 'segmentation fault: native code accessed invalid memory',
    signal.SIGBUS: 'bus error: a mapped file was truncated, or memory is faulty',
    signal.SIGABRT: 'aborted: native code detected an error and called abort()',
    signal.SIGFPE: 'arithmetic error in native code',
    signal.SIGILL: 'illegal instruction: native code was built for a different processor',
    signal.SIGKILL: 'killed by another process',
    signal.SIGTERM: 'asked to terminate by another process',
    signal.SIGXCPU: 'exceeded its processor time limit',
    signal.SIGALRM: 'time-out that was not handled',
}


class JobMemoryExceeded(MemoryError):
    """A job asked for more memory than it may have."""


def parse_size(text: str | int) -> int:
    """Return a number of bytes.

    Args:
        text: bytes, or a number with a unit: '512M', '1.5 GiB', '64kb'; units are powers of 1024.

    Raises:
        ValueError: it is not a size, or not a positive one.
    """
    match = re.fullmatch(r'\s*(\d+(?:\.\d+)?)\s*([bkmgt]?)(?:i?b)?\s*', str(text).lower())
    if match is None:
        raise ValueError(f'{text!r} is not a size; use, for example, 512M or 2G')
    size = int(float(match[1]) * _UNITS[match[2]])
    if size <= 0:
        raise ValueError(f'{text!r} is not a positive size')
    if size > _LARGEST:
        raise ValueError(f'{text!r} is more memory than any machine has')
    return size


def memory_of(job: Job, default: int | None) -> int | None:
    """Return how many bytes of memory a job may have: its own wish, else the default; None for no limit.

    Args:
        job: the job; `meta['job_memory']` is its wish.
        default: what the worker's settings say.
    """
    wanted = job.meta.get('job_memory') if isinstance(job.meta, dict) else None
    if wanted is None:
        return default
    try:
        return parse_size(wanted)
    except ValueError:
        return default


def limit_memory(size: int) -> None:
    """Let the calling process have no more than this many bytes of private writable memory.

    RLIMIT_DATA counts what a program allocates (heap and anonymous mappings, setrlimit(2), Linux 4.7 and later);
    RLIMIT_AS would also count libraries and mapped files, and refuse jobs that use little.

    Args:
        size: bytes.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        size = min(size, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (size, hard))


def private_memory() -> int:
    """Return how many bytes the calling process has of what `limit_memory` limits; 0 where that cannot be found out."""
    try:
        # Size, resident, shared, text, library, data: proc_pid_statm(5).
        return int(Path('/proc/self/statm').read_bytes().split()[5]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return 0


def explain_memory(exc_info: ExcInfo, limit: int) -> ExcInfo:
    """Say of an exception, if it is Python's for want of memory, that the limit is to blame, and lift that.

    Args:
        exc_info: type, exception and traceback.
        limit: bytes that the job was allowed.
    """
    # Lifted, so that the failure can be written down.
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
    _, error, trace = exc_info
    if not isinstance(error, MemoryError):
        return exc_info
    exceeded = JobMemoryExceeded(f'the job asked for more than the {limit >> 20} MiB that it may use')
    exceeded.__cause__ = error
    return JobMemoryExceeded, exceeded, trace


class OutOfMemoryWatch:
    """Tells whether the kernel killed something for want of memory since the last question."""

    def __init__(self) -> None:
        self._seen = self._count()

    def happened(self) -> bool:
        """Say whether the kernel's count has grown, and remember it."""
        count = self._count()
        grown = count > self._seen
        self._seen = count
        return grown

    @staticmethod
    def _count() -> int:
        try:
            lines = Path('/proc/vmstat').read_text('ascii').splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) for line in lines if line.startswith('oom_kill '))


def explain_exit(status: int, out_of_memory: bool = False) -> str:
    """Say in words how a process ended.

    Args:
        status: what waitpid(2) returned.
        out_of_memory: the kernel killed something for want of memory meanwhile.
    """
    if not os.WIFSIGNALED(status):
        code = os.WEXITSTATUS(status)
        return f'exited with code {code} without finishing the job'
    number = os.WTERMSIG(status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f'signal {number}'
    if number == signal.SIGKILL and out_of_memory:
        return f'{name}: out of memory, killed by the kernel'
    words = _WORDS.get(signal.Signals(number)) if name.startswith('SIG') else None
    return f'{name}: {words}' if words else f'ended by {name}'

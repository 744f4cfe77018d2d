"""Processes: identity, whether one is alive, cores and memory, dying with the parent, detaching from a terminal."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ctypes

__all__ = [
    'EXECUTION_VARIABLE',
    'Identity',
    'boot_id',
    'detach',
    'die_with_parent',
    'identify',
    'is_alive',
    'most_processes',
    'pidfd_open',
    'prepare_to_fork',
    'resident_bytes',
    'usable_cores',
]

# In the environment of whatever a job starts: which execution of which job it belongs to.
EXECUTION_VARIABLE = 'RQ_EXECUTION_ID'
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_PR_GET_PDEATHSIG = 2
_DEAD_STATES = ('Z', 'X', 'x')


@dataclass(frozen=True)
class Identity:
    """One process of one boot. A process id that is used again is another process.

    Args:
        pid: process id.
        started: when it started, in the kernel's own notation, comparable for equality only.
        boot_id: which boot of the machine.
    """

    pid: int
    started: str
    boot_id: str

    def to_dict(self) -> dict[str, int | str]:
        """Return the three fields, for JSON."""
        return asdict(self)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return an id of this boot of the machine."""
    try:
        return Path('/proc/sys/kernel/random/boot_id').read_text('ascii').strip()
    except OSError:
        return _output('sysctl', '-n', 'kern.boottime')


def identify(pid: int | None = None) -> Identity:
    """Return the identity of a process.

    Args:
        pid: process id; None for the calling process.

    Raises:
        ProcessLookupError: there is no such process, or it has ended and waits to be reaped.
    """
    number = os.getpid() if pid is None else pid
    started = _start_time(number)
    if started is None:
        raise ProcessLookupError(f'no process {number}')
    return Identity(number, started, boot_id())


def is_alive(identity: Identity) -> bool:
    """Return whether exactly this process is still running; one that ended but was not reaped yet is not."""
    return identity.boot_id == boot_id() and _start_time(identity.pid) == identity.started


def _start_time(pid: int) -> str | None:
    if sys.platform != 'linux':
        return _output('ps', '-o', 'lstart=', '-p', str(pid)) or None
    # Not through pathlib and io: the worker asks at every fork, and they cost it several times as much as the rest.
    try:
        descriptor = os.open(f'/proc/{pid}/stat', os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # The command's name stands in parentheses and may itself hold any of them: proc_pid_stat(5).
    fields = text.rpartition(b')')[2].split()
    return None if fields[0].decode() in _DEAD_STATES else fields[19].decode()


def usable_cores(membership: Path = Path('/proc/self/cgroup'), hierarchy: Path = Path('/sys/fs/cgroup')) -> float:
    """Return how many cores' worth of time this process may use: those it is bound to, or less if a quota says so.

    Args:
        membership: which control group the process is in: cgroups(7), version 2.
        hierarchy: where the control groups are.
    """
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1)
    try:
        groups = membership.read_text().splitlines()
    except OSError:
        return cores
    for line in groups:
        if line.startswith('0::/'):
            group = hierarchy / line[len('0::/') :]
            while group.is_relative_to(hierarchy):
                cores = min(cores, _quota(group / 'cpu.max'))
                group = group.parent
    return cores


def most_processes(size: int = 1) -> int:
    """Return how many processes fit into the memory of this machine.

    Args:
        size: of each, MiB.
    """
    return max(1, (os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 20) // size)


def _quota(path: Path) -> float:
    try:
        allowed, period = path.read_text().split()
        return float('inf') if allowed == 'max' else int(allowed) / int(period)
    except (OSError, ValueError):
        return float('inf')


def _output(*command: str) -> str:
    import subprocess

    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def pidfd_open(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None if the system has no such thing.

    Args:
        pid: process id.

    Raises:
        ProcessLookupError: there is no such process.
    """
    if sys.platform == 'linux':
        return os.pidfd_open(pid)
    return None


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Make the calling process receive a signal when the thread that forked it ends; first thing after the fork.

    Does nothing where the system cannot (anything but Linux).

    Args:
        parent: process id of the parent, taken before the fork.
        number: the signal.
    """
    if sys.platform != 'linux':
        return
    _libc().prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    # The parent may have ended before the request was made, and then no signal comes: prctl(2).
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def prepare_to_fork() -> None:
    """Load what `die_with_parent` needs before forking, so that not every child has to."""
    if sys.platform == 'linux':
        import ctypes

        _libc().prctl(_PR_GET_PDEATHSIG, ctypes.byref(ctypes.c_int()), 0, 0, 0)


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    # Here, since the store needs neither this nor the time that it takes to load.
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def detach() -> None:
    """Go on in a grandchild that has no terminal, session, working directory or signal mask of its parents.

    Standard input becomes empty; where output and errors go is for whoever started the calling process, which exits
    with 0. To be called before threads, sockets or databases exist.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir('/')
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    # A client's thread may have had signals blocked, and a mask survives fork and exec.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    null = os.open(os.devnull, os.O_RDONLY)
    if null != 0:
        os.dup2(null, 0)
        os.close(null)


def resident_bytes() -> int:
    """Return this process's resident memory."""
    try:
        with open('/proc/self/statm', 'rb') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        import resource

        # Without /proc only the peak is known: in bytes on macOS, in kilobytes elsewhere.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)

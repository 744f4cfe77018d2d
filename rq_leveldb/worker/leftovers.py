"""What a job's process left running when it was killed: the programs that it had started.

The kernel ends a job's Python process with its worker, but nothing ends `subprocess.run`'s program with its caller. A
job that is run again would meet its own old program, so this goes before any end that the job did not make itself. A
job that came to its own end may leave running what it likes, as with RQ.

What belongs to an execution is known by two marks: the process group that the child leads, and `RQ_EXECUTION_ID` in
the environment, which survives a new session, a double fork and exec. A program that was given another environment and
made itself a session of its own is not found.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass

from rq_leveldb.process import Identity, boot_id, is_alive

__all__ = ['EXECUTION_VARIABLE', 'Remains', 'end_leftovers', 'mark_environment']

EXECUTION_VARIABLE = 'RQ_EXECUTION_ID'
# Between two looks a program may have started another one, and a killed one takes a moment to be gone.
_LOOKS = 100
_PAUSE = 0.01
_DEAD = (b'Z', b'X', b'x')


@dataclass(frozen=True)
class Remains:
    """An execution whose process has ended, or has to.

    Args:
        execution_id: which execution.
        child: the process that ran it, the leader of its process group; None where that is not known.
    """

    execution_id: str
    child: Identity | None = None


@dataclass(frozen=True)
class _Process:
    pid: int
    parent: int
    group: int
    started: int


def mark_environment(execution_id: str) -> None:
    """Have whatever the calling process starts from now on known as this execution's."""
    os.environ[EXECUTION_VARIABLE] = execution_id


def end_leftovers(executions: Collection[Remains]) -> int:
    """Kill what is left of executions, and return when it is gone.

    Only processes of the calling user on this machine are seen; never the caller, nor a process above it.

    Args:
        executions: which; one look at all processes serves them all.

    Returns:
        How many processes were killed.
    """
    if not executions:
        return 0
    if sys.platform != 'linux':
        return _end_groups(executions)
    killed: set[tuple[int, int]] = set()
    for _ in range(_LOOKS):
        found = _find(executions)
        if not found:
            break
        for process in found:
            # Its number cannot be another's yet: it was there a moment ago, and numbers are given in turn.
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)
                killed.add((process.pid, process.started))
        time.sleep(_PAUSE)
    return len(killed)


def _find(executions: Collection[Remains]) -> list[_Process]:
    groups: dict[int, int] = {}
    leaders: dict[int, int] = {}
    for remains in executions:
        child = remains.child
        if child is not None and child.started.isdecimal() and child.boot_id == boot_id() and child.pid > 1:
            groups[child.pid] = leaders[child.pid] = int(child.started)
    marks = {f'{EXECUTION_VARIABLE}={remains.execution_id}'.encode() for remains in executions if remains.execution_id}
    processes = _processes()
    spared = _above(processes)
    own_group = os.getpgrp()
    for pid in leaders:
        leader = processes.get(pid)
        if pid == own_group or (leader is not None and leader.started != leaders[pid]):
            # A group lasts while it has members, and its number is not given away as long. So this is another one's.
            del groups[pid]
    return [
        process
        for process in processes.values()
        if process.pid not in spared
        and (
            (process.group in groups and process.started >= groups[process.group])
            or not marks.isdisjoint(_environment(process.pid))
        )
    ]


def _processes() -> dict[int, _Process]:
    """Return the processes of this user that have not ended."""
    user = os.geteuid()
    found: dict[int, _Process] = {}
    for name in os.listdir('/proc'):
        if not name.isdecimal():
            continue
        try:
            descriptor = os.open(f'/proc/{name}/stat', os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_uid != user:
                continue
            text = os.read(descriptor, 4096)
        except OSError:
            continue
        finally:
            os.close(descriptor)
        # The command's name stands in parentheses and may itself hold any of them: proc_pid_stat(5).
        fields = text.rpartition(b')')[2].split()
        if fields[0] not in _DEAD:
            pid = int(name)
            found[pid] = _Process(pid, int(fields[1]), int(fields[2]), int(fields[19]))
    return found


def _above(processes: dict[int, _Process]) -> set[int]:
    """Return the calling process and those above it."""
    above = {0, 1}
    pid = os.getpid()
    while pid not in above:
        above.add(pid)
        process = processes.get(pid)
        pid = process.parent if process is not None else 0
    return above


def _environment(pid: int) -> list[bytes]:
    try:
        descriptor = os.open(f'/proc/{pid}/environ', os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        chunks = []
        while chunk := os.read(descriptor, 1 << 16):
            chunks.append(chunk)
    except OSError:
        # It is gone, or is none of ours after all.
        return []
    finally:
        os.close(descriptor)
    return b''.join(chunks).split(b'\0')


def _end_groups(executions: Collection[Remains]) -> int:
    """Kill process groups only, and only where it is certain whose they are: nothing more can be seen here."""
    ended = 0
    for remains in executions:
        child = remains.child
        if child is None or child.pid == os.getpgrp() or child.pid <= 1:
            continue
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
            ended += 1
        end = time.monotonic() + _LOOKS * _PAUSE
        while is_alive(child) and time.monotonic() < end:
            time.sleep(_PAUSE)
    return ended

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
from pathlib import Path

from rq_leveldb.process import EXECUTION_VARIABLE, Identity, boot_id, is_alive

__all__ = ['Remains', 'end_leftovers', 'mark_environment', 'wait_until_gone']

# A program may start another one between two looks, and a killed one takes a moment to disappear.
_LOOKS = 100
_PAUSE = 0.01
_LONG_PAUSE = 0.05
_SHORT_PAUSE = 0.002
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
    """Mark the programs that the calling process starts from now on as this execution's."""
    os.environ[EXECUTION_VARIABLE] = execution_id


def end_leftovers(executions: Collection[Remains], patience: float = 0.0) -> int:
    """Kill what is left of executions, and wait until it is gone.

    Seen are processes on this machine of the calling user, of all users for root; never the caller nor those above it.

    Args:
        executions: which; one look at all processes serves them all.
        patience: seconds that they get to end after SIGTERM, which the children's process groups have had already.

    Returns:
        How many processes were killed.
    """
    if not executions:
        return 0
    if sys.platform != 'linux':
        return _end_groups(executions, patience)
    marks = _Marks(executions)
    if patience > 0:
        _ask_to_end(marks, patience)
    killed: set[_Process] = set()
    quiet = 0
    for _ in range(_LOOKS):
        found = marks.find()
        # A process that has just left the group shows the variable in its environment only after exec.
        quiet = 0 if found else quiet + 1
        if quiet == 2:
            break
        killed.update(process for process in found if _send(process, signal.SIGKILL))
        time.sleep(_PAUSE)
    return len(killed)


def wait_until_gone(process: Identity, patience: float) -> bool:
    """Wait for a process that is about to end, and that somebody else reaps.

    Args:
        process: which.
        patience: seconds.

    Returns:
        Whether it has ended.
    """
    end = time.monotonic() + patience
    while is_alive(process):
        if time.monotonic() >= end:
            return False
        time.sleep(_SHORT_PAUSE)
    return True


def _ask_to_end(marks: _Marks, patience: float) -> None:
    end = time.monotonic() + patience
    asked: set[_Process] = set()
    while (found := marks.find()) and time.monotonic() < end:
        for process in found:
            if process not in asked and process.group not in marks.groups:
                _send(process, signal.SIGTERM)
            asked.add(process)
        time.sleep(_LONG_PAUSE)


def _send(process: _Process, number: int) -> bool:
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return False
    try:
        # It may have ended meanwhile, and its process id may have been reused.
        if not is_alive(Identity(process.pid, str(process.started), boot_id())):
            return False
        signal.pidfd_send_signal(descriptor, number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class _Marks:
    """By what the processes of some executions are known.

    Args:
        executions: which.
    """

    def __init__(self, executions: Collection[Remains]) -> None:
        # Each child's process group, and when the child started.
        self.groups = {
            one.child.pid: int(one.child.started)
            for one in executions
            if one.child is not None
            and one.child.started.isdecimal()
            and one.child.boot_id == boot_id()
            and one.child.pid not in (0, 1, os.getpgrp())
        }
        self._marks = {f'{EXECUTION_VARIABLE}={one.execution_id}'.encode() for one in executions if one.execution_id}
        # Processes older than the first child cannot belong to it, and need not be read.
        self._earliest = min(self.groups.values(), default=0) if len(self.groups) == len(executions) else 0

    def find(self) -> list[_Process]:
        """Return the processes that are there now."""
        processes = _processes()
        for pid in list(self.groups):
            leader = processes.get(pid)
            if leader is not None and leader.started != self.groups[pid]:
                # A group's number is not reused while it has members, so all members of this one are gone.
                del self.groups[pid]
        spared = _above(processes)
        found = {
            process.pid: process
            for process in processes.values()
            if process.pid not in spared and process.started >= self._earliest and self._is_marked(process)
        }
        # A process forked without exec still shows the environment that its parent started with.
        while below := [one for one in processes.values() if one.parent in found and one.pid not in {*found, *spared}]:
            found.update({process.pid: process for process in below})
        return list(found.values())

    def _is_marked(self, process: _Process) -> bool:
        started = self.groups.get(process.group)
        if started is not None and process.started >= started:
            return True
        return not self._marks.isdisjoint(_environment(process.pid))


def _processes() -> dict[int, _Process]:
    """Return the processes that may be killed and have not ended."""
    user = os.geteuid()
    found: dict[int, _Process] = {}
    for name in os.listdir('/proc'):
        if not name.isdecimal():
            continue
        try:
            with open(f'/proc/{name}/stat', 'rb', buffering=0) as file:
                if user and os.fstat(file.fileno()).st_uid != user:
                    continue
                text = file.read(4096)
        except OSError:
            continue
        # The command's name stands in parentheses and may itself hold any of them: proc_pid_stat(5).
        fields = text.rpartition(b')')[2].split()
        if fields[0] not in _DEAD:
            pid = int(name)
            found[pid] = _Process(pid, int(fields[1]), int(fields[2]), int(fields[19]))
    return found


def _above(processes: dict[int, _Process]) -> set[int]:
    """Return the calling process and its ancestors."""
    above = {0, 1}
    pid = os.getpid()
    while pid not in above:
        above.add(pid)
        process = processes.get(pid)
        pid = process.parent if process is not None else 0
    return above


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f'/proc/{pid}/environ').read_bytes().split(b'\0')
    except OSError:
        # It has ended, or belongs to another user.
        return []


def _end_groups(executions: Collection[Remains], patience: float) -> int:
    """Kill process groups only: nothing more can be seen here."""
    ended = 0
    for remains in executions:
        child = remains.child
        if child is None or child.pid in (0, 1, os.getpgrp()):
            continue
        end = time.monotonic() + patience
        while _has_members(child.pid) and time.monotonic() < end:
            time.sleep(_LONG_PAUSE)
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
            ended += 1
    return ended


def _has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    return True

"""One job in one child: what was taken off a queue, under which execution, and what the child is told."""

from __future__ import annotations

import _socket
import pickle
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue

from .claim import Claim
from .ending import Ending

__all__ = ['Assignment', 'Done', 'Task', 'receive_done', 'receive_task', 'send_done', 'send_task', 'state_of']

_LENGTH = struct.Struct('!Q')
_SPENT = struct.Struct('!dd')
_LONGEST_DONE = 4096
_SIMPLE = frozenset((type(None), bool, int, float, str, bytes, datetime, list, JobStatus))


@dataclass
class Task:
    """What a child is told to do.

    Args:
        claim: the job, as it was taken off its queue.
        execution_id: the execution that was written for it.
        prepared: whether the store says already that the job has started.
        state: the attributes of RQ's object for the job, as far as they are simple; None to read them from the claim.
        ending: how the job's process ended, for a child that is to handle that end; None for one that runs the job.
    """

    claim: Claim
    execution_id: str
    prepared: bool
    state: dict[str, Any] | None = None
    ending: Ending | None = None


@dataclass(frozen=True)
class Done:
    """What a child says that may run further jobs, when its job is over and how that ended is known.

    Args:
        user, system: seconds of processor time that its process has used so far.
        left_behind: what its job has left behind, in words, so that it ends; '' if it waits for the next job.
    """

    user: float
    system: float
    left_behind: str = ''


@dataclass
class Assignment:
    """One job in one child.

    Args:
        claim: the job, as it was taken off its queue.
        queue: where it was taken from.
        execution: under which execution it runs.
        job: RQ's object for it, sealed: the supervisor opens nothing that the application wrote.
        task: what the child is told.
    """

    claim: Claim
    queue: Queue
    execution: Execution
    job: Job
    task: Task

    @property
    def job_id(self) -> str:
        """Which job."""
        return self.claim.job_id

    @property
    def composite_key(self) -> str:
        """Job and execution, as RQ's registries have them."""
        key: str = self.execution.composite_key
        return key


def send_task(channel: _socket.socket, task: Task) -> None:
    """Give a waiting child its job; never waits, since a task fits into the channel's buffer.

    Raises:
        OSError: the child is no longer there.
    """
    payload = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    channel.sendall(_LENGTH.pack(len(payload)) + payload)


def receive_task(channel: _socket.socket) -> Task | None:
    """Wait for a job; None when the parent has none any more."""
    head = _receive(channel, _LENGTH.size)
    if head is None:
        return None
    body = _receive(channel, _LENGTH.unpack(head)[0])
    # Only the parent holds the other end of this pair of sockets.
    return None if body is None else pickle.loads(body)


def send_done(channel: _socket.socket, done: Done) -> None:
    """Tell the supervisor that a job is over.

    Raises:
        OSError: it is no longer there.
    """
    channel.sendall(_SPENT.pack(done.user, done.system) + done.left_behind.encode())


def receive_done(channel: _socket.socket) -> Done | None:
    """Return what a child has said, which is there; None if it has ended, or its job wrote to the channel."""
    try:
        # A child says one thing at a time, and then waits or ends, so this is all of it.
        said = channel.recv(_LONGEST_DONE)
    except OSError:
        return None
    if len(said) < _SPENT.size:
        return None
    user, system = _SPENT.unpack_from(said)
    return Done(user, system, said[_SPENT.size :].decode('utf-8', 'replace'))


def _receive(channel: _socket.socket, size: int) -> bytes | None:
    chunks = []
    while size:
        chunk = channel.recv(min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b''.join(chunks)


def state_of(job: Job) -> dict[str, Any] | None:
    """Return what of a job's attributes can be sent to a child; None if the child has to read the job itself."""
    if type(job) is not Job or job.meta:
        # May hold objects of the application, which the parent should not need.
        return None
    return {name: value for name, value in job.__dict__.items() if type(value) in _SIMPLE}

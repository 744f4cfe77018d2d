"""A job's process, from fork to exit, and what its parent knows of it.

Life of a child:

1. The parent forks it, before there is a job. The child makes sure that it dies with its parent, becomes the leader
   of its own process group, closes what belongs to the parent, and waits on its channel.
2. The parent takes a job off a queue for it and sends the job through the channel, once.
3. The child runs RQ's `perform_job`, over a connection to the store that the parent opened and that nobody else uses.
4. It says through the channel that everything is written down, and exits. The parent learns of the end by the
   process' descriptor, never by the channel: what the channel said decides only how the end is read.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rq_leveldb.process import Identity, die_with_parent

from . import limits

if TYPE_CHECKING:
    from redis import Redis
    from rq.executions import Execution
    from rq.job import Job
    from rq.queue import Queue

    from .bookkeeping import Claim
    from .output import Capture
    from .worker import Worker

__all__ = ['Child', 'Task', 'adopt_connection', 'receive_task', 'run', 'send_task']

_LENGTH = struct.Struct('!Q')
DONE = b'D'
DONE_AND_CLEAN = b'C'


@dataclass
class Task:
    """What a child is told to do.

    Args:
        claim: the job, as it was taken off its queue.
        execution_id: the execution that was written for it.
        prepared: whether the store says already that the job has started.
        memory: bytes of memory that the job may have; None for no limit.
    """

    claim: Claim
    execution_id: str
    prepared: bool
    memory: int | None = None


@dataclass
class Child:
    """One child process, as its parent sees it.

    Args:
        identity: which process.
        pidfd: descriptor that becomes readable at its end; None where there is no such thing.
        channel: the parent's end.
        connection: the store connection that the child may use.
    """

    identity: Identity
    pidfd: int | None
    channel: socket.socket
    connection: Any
    claim: Claim | None = None
    queue: Queue | None = None
    execution: Execution | None = None
    started: float = 0.0
    next_heartbeat: float = 0.0
    stop_reason: str = ''
    retired: bool = False
    capture: Capture | None = None
    _job: Job | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.identity.pid

    @property
    def busy(self) -> bool:
        """Whether it has been given a job."""
        return self.claim is not None

    @property
    def job_id(self) -> str:
        """The job that it runs; '' while it waits for one."""
        return self.claim.job_id if self.claim is not None else ''

    def job(self, worker: Worker) -> Job:
        """Return RQ's object for the job that it runs; built when first needed."""
        assert self.claim is not None
        assert self.queue is not None
        if self._job is None:
            self._job = self.claim.job(worker, self.queue)
            self._job.started_at = self.execution.created_at if self.execution else None
        return self._job

    def seconds(self) -> float:
        """Return for how long it has been running its job."""
        return time.monotonic() - self.started

    def report(self) -> bytes:
        """Return what the child said before it ended; empty if nothing."""
        try:
            return self.channel.recv(1, socket.MSG_DONTWAIT)
        except OSError:
            return b''

    def kill(self, number: int) -> bool:
        """Send a signal to the child and to whatever it started in its process group.

        Returns:
            Whether there was somebody to send it to.
        """
        try:
            group = os.getpgid(self.pid)
            if group == os.getpgrp():
                os.kill(self.pid, number)
            else:
                os.killpg(group, number)
        except ProcessLookupError:
            return False
        return True


def send_task(channel: socket.socket, task: Task) -> None:
    """Give a waiting child its job.

    Raises:
        OSError: the child is no longer there.
    """
    payload = pickle.dumps(task, pickle.HIGHEST_PROTOCOL)
    channel.sendall(_LENGTH.pack(len(payload)) + payload)


def receive_task(channel: socket.socket) -> Task | None:
    """Wait for a job; None when the parent has none any more."""
    head = _receive(channel, _LENGTH.size)
    if head is None:
        return None
    body = _receive(channel, _LENGTH.unpack(head)[0])
    # Only the parent holds the other end of this pair of sockets.
    return None if body is None else pickle.loads(body)


def _receive(channel: socket.socket, size: int) -> bytes | None:
    chunks = []
    while size:
        chunk = channel.recv(min(size, 1 << 20))
        if not chunk:
            return None
        chunks.append(chunk)
        size -= len(chunk)
    return b''.join(chunks)


def adopt_connection(client: Redis, connection: Any) -> None:
    """Make a connection that the parent opened the first one of this process' pool."""
    pool = client.connection_pool
    pool.reset()
    connection.pid = os.getpid()
    pool._available_connections.append(connection)
    pool._created_connections += 1


def is_clean(client: Redis, connection: Any) -> bool:
    """Say whether the connection is as the parent gave it, so that the next child can have it."""
    pool = client.connection_pool
    return (
        pool.pid == os.getpid()
        and connection in pool._available_connections
        and not pool._in_use_connections
        and connection._sock is not None
        and not connection.can_read()
    )


def run(
    worker: Worker, channel: socket.socket, connection: Any, parent: int, close: Iterable[int], output: int | None
) -> None:
    """Be the child; never returns.

    Args:
        worker: the parent's worker, of which this is now a copy.
        channel: the child's end.
        connection: the store connection to use.
        parent: the parent's process id.
        close: descriptors that are the parent's alone.
        output: descriptor that standard output and error are to go to; None to leave them.
    """
    code = 1
    try:
        die_with_parent(parent)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        worker.setup_work_horse_signals()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in close:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        if output is not None:
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
        adopt_connection(worker.connection, connection)
        task = receive_task(channel)
        if task is None:
            os._exit(0)
        code = _perform(worker, task, channel, connection)
    except BaseException:
        with contextlib.suppress(BaseException):
            worker.log.exception('Worker %s: child %d failed outside of its job', worker.name, os.getpid())
    finally:
        os._exit(code)


def _perform(worker: Worker, task: Task, channel: socket.socket, connection: Any) -> int:
    random.seed()
    numpy = sys.modules.get('numpy')
    if numpy is not None:
        numpy.random.seed()
    worker.call_hooks(worker.settings.after_fork)
    claim = task.claim
    os.environ['RQ_WORKER_ID'] = worker.name
    os.environ['RQ_JOB_ID'] = claim.job_id
    queue = worker.queue_for(claim.queue_key)
    job = claim.job(worker, queue)
    job.redis_server_version = worker.redis_server_version
    execution = claim.execution(worker)
    execution.id = task.execution_id
    execution._job = job
    worker.become_child(task, execution)
    if task.memory is not None:
        limits.limit_memory(task.memory)
    try:
        worker.main_work_horse(job, queue)
    except SystemExit as exit_request:
        code = exit_request.code if isinstance(exit_request.code, int) else 1
    else:
        code = 0
    for stream in (sys.stdout, sys.stderr):
        # A job may have closed or replaced them.
        with contextlib.suppress(Exception):
            stream.flush()
    if code == 0:
        channel.send(DONE_AND_CLEAN if is_clean(worker.connection, connection) else DONE)
    return code

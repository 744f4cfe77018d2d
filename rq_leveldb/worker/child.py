"""A job's process, from fork to exit, and what the supervisor knows of it.

Life of a child:

1. The forker forks it, before there is a job. The child makes sure that it dies with the forker (which
   dies with the supervisor), becomes the leader of its own process group, and waits on its channel.
2. The supervisor takes a job off a queue for it and sends the job through the channel, once.
3. The child runs RQ's `perform_job`. It has no connection to the store until something needs one.
4. A plain success goes back through the channel and is written down by the supervisor, whose pages are its own: a
   forked child pays 4 us for each page that it is the first to touch. All else the child writes down itself.
5. The child exits. The supervisor learns of the end from the forker, which reaps, never by the channel: what the
   channel said decides only how the end is read.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rq.job import JobStatus

from rq_leveldb.process import Identity, die_with_parent, is_alive

from . import limits
from .leftovers import mark_environment

if TYPE_CHECKING:
    from rq.executions import Execution
    from rq.job import Job
    from rq.queue import Queue

    from .bookkeeping import Claim
    from .output import Capture
    from .worker import Worker

__all__ = [
    'DONE',
    'LARGEST_RESULT',
    'Child',
    'Success',
    'Task',
    'prepare_job',
    'read_success',
    'receive_task',
    'run',
    'send_task',
    'state_of',
]

_LENGTH = struct.Struct('!Q')
DONE = b'D'
SUCCESS = b'S'
# What fits into a socket's buffer, so that a child can leave it there and go.
_LARGEST_REPORT = 64 * 1024
# The rest of a report is small.
LARGEST_RESULT = _LARGEST_REPORT - 4096
_RQ_LOGGERS = ('rq.worker', 'rq.job', 'rq.scheduler', 'rq.registry', 'rq.queue')
_SIMPLE = frozenset((type(None), bool, int, float, str, bytes, datetime, list, JobStatus))


@dataclass
class Success:
    """What a child tells its parent of a job that succeeded.

    Args:
        started_at: when the job began.
        ended_at: when it ended.
        result: what it returned, as the job's serializer writes it; None if it returned None.
        usage: what it used.
    """

    started_at: datetime
    ended_at: datetime
    result: bytes | None
    usage: dict[str, Any]


@dataclass
class Task:
    """What a child is told to do.

    Args:
        claim: the job, as it was taken off its queue.
        execution_id: the execution that was written for it.
        prepared: whether the store says already that the job has started.
        memory: bytes of memory that the job may have; None for no limit.
        state: the attributes of RQ's object for the job, as far as they are simple; None to read them from the claim.
    """

    claim: Claim
    execution_id: str
    prepared: bool
    memory: int | None = None
    state: dict[str, Any] | None = None


@dataclass
class Child:
    """One child process, as the supervisor sees it.

    Args:
        identity: which process.
        channel: the parent's end.
    """

    identity: Identity
    channel: socket.socket
    claim: Claim | None = None
    queue: Queue | None = None
    execution: Execution | None = None
    started: float = 0.0
    next_heartbeat: float = 0.0
    stop_reason: str = ''
    retired: bool = False
    capture: Capture | None = None
    success: Success | None = None
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

    def take(self, claim: Claim, queue: Queue, execution: Execution, job: Job | None) -> None:
        """Note which job it is given."""
        self.claim, self.queue, self.execution, self._job = claim, queue, execution, job
        if job is not None:
            job.started_at = execution.created_at

    def lose_job(self) -> None:
        """Note that it could not be given the job after all."""
        self.claim = self.queue = self.execution = self._job = None
        self.retired = True

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
        chunks = []
        try:
            while chunk := self.channel.recv(_LARGEST_REPORT, socket.MSG_DONTWAIT):
                chunks.append(chunk)
        except OSError:
            pass
        return b''.join(chunks)

    def kill(self, number: int) -> bool:
        """Send a signal to the child and to whatever it started in its process group.

        Returns:
            Whether there was somebody to send it to.
        """
        if not is_alive(self.identity):
            # Its number may be another process' by now: it is the forker that reaps.
            return False
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


def state_of(job: Job) -> dict[str, Any] | None:
    """Return what of a job's attributes can be sent to a child; None if the child has to read the job itself."""
    if job.meta:
        # May hold objects of the application, which the parent should not have to know.
        return None
    return {name: value for name, value in job.__dict__.items() if type(value) in _SIMPLE}


def report_success(channel: socket.socket, success: Success) -> bool:
    """Tell the parent of a success.

    Returns:
        Whether it was told; a large result is not.
    """
    payload = SUCCESS + pickle.dumps(success, pickle.HIGHEST_PROTOCOL)
    if len(payload) > _LARGEST_REPORT:
        return False
    channel.sendall(payload)
    return True


def read_success(report: bytes) -> Success | None:
    """Return what `report_success` sent; None for any other report."""
    if not report.startswith(SUCCESS):
        return None
    try:
        success: Success = pickle.loads(report[1:])
    except Exception:
        # Killed in the middle of it.
        return None
    return success


def run(
    worker: Worker, channel: socket.socket, parent: int, leave: Callable[[], None], output: int | None = None
) -> None:
    """Be the child; never returns.

    Args:
        worker: the parent's worker, of which this is now a copy.
        channel: the child's end.
        parent: the parent's process id.
        leave: closes what is the parent's alone.
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
        leave()
        if output is not None:
            _redirect(worker, output)
        task = receive_task(channel)
        if task is None:
            os._exit(0)
        code = _perform(worker, task, channel)
    except BaseException:
        with contextlib.suppress(BaseException):
            worker.log.exception('Worker %s: child %d failed outside of its job', worker.name, os.getpid())
    finally:
        os._exit(code)


def _redirect(worker: Worker, output: int) -> None:
    """Send what the job prints to a pipe; what RQ logs about it still goes where the worker's log goes."""
    streams = {id(sys.stdout): 1, id(sys.stderr): 2}
    for name in _RQ_LOGGERS:
        for handler in logging.getLogger(name).handlers:
            descriptor = streams.get(id(getattr(handler, 'stream', None)))
            if descriptor is not None and isinstance(handler, logging.StreamHandler):
                handler.setStream(os.fdopen(os.dup(descriptor), 'w', buffering=1))
    if worker.status_line is not None:
        worker.status_line.move(os.fdopen(os.dup(2), 'w'))
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def prepare_job(worker: Worker, task: Task) -> tuple[Job, Queue, Execution]:
    """Make the worker the one that runs this task, and return RQ's objects for it."""
    claim = task.claim
    os.environ['RQ_WORKER_ID'] = worker.name
    os.environ['RQ_JOB_ID'] = claim.job_id
    mark_environment(task.execution_id)
    queue = worker.queue_for(claim.queue_key)
    if task.state is None:
        job = claim.job(worker, queue)
    else:
        job = worker.job_class(claim.job_id, connection=worker.connection, serializer=worker.serializer)
        job.__dict__.update(task.state)
    job.redis_server_version = worker.redis_server_version
    execution = claim.execution(worker)
    execution.id = task.execution_id
    execution._job = job
    worker.become_child(task, execution, job)
    return job, queue, execution


def _perform(worker: Worker, task: Task, channel: socket.socket) -> int:
    numpy = sys.modules.get('numpy')
    if numpy is not None:
        numpy.random.seed()
    worker.call_hooks(worker.settings.after_fork)
    job, queue, _ = prepare_job(worker, task)
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
        success = worker.unwritten_success
        if success is None:
            channel.send(DONE)
        elif not report_success(channel, success):
            raise AssertionError('a success that is too large to be told should have been written')
    return code

"""A job's process, from fork to exit, and what the supervisor knows of it.

Life of a child:

1. The forker forks it, before there is a job. The child makes sure that it dies with the forker (which
   dies with the supervisor), becomes the leader of its own process group, maps its mailbox, and waits on its channel.
2. The supervisor takes a job off a queue for it and sends the job through the channel, once.
3. The child runs RQ's `perform_job`. It has no connection to the store until something needs one.
4. How the job ended is in the store, or in the mailbox: see `record`.
5. The child exits. The supervisor learns of the end from the forker, which reaps; what the mailbox says decides only
   how the end is read.

A child may also be told to handle the end of a job whose own process went away: see `settlement`.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import pickle
import signal
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus

from rq_leveldb.process import Identity, die_with_parent, forget_handlers, is_alive
from rq_leveldb.unreadable import UnreadableJob

from . import limits, settlement
from .assignment import Assignment, Task
from .green import renew_loops
from .leftovers import mark_environment
from .mailbox import Mailbox, Report, Slot
from .record import format_error
from .trouble import is_about_the_store

if TYPE_CHECKING:
    from rq.executions import Execution
    from rq.queue import Queue

    from .ending import Ending
    from .output import Capture
    from .worker import Worker

__all__ = ['Child', 'become', 'receive_task', 'run', 'send_task', 'state_of']

_LENGTH = struct.Struct('!Q')
_RQ_LOGGERS = ('rq.worker', 'rq.job', 'rq.scheduler', 'rq.registry', 'rq.queue')
_SIMPLE = frozenset((type(None), bool, int, float, str, bytes, datetime, list, JobStatus))


@dataclass
class Child:
    """One child process, as the supervisor sees it.

    Args:
        identity: which process.
        channel: the parent's end.
        mailbox: where it says how its job ended.
    """

    identity: Identity
    channel: _socket.socket
    mailbox: Mailbox
    assignment: Assignment | None = None
    ending: Ending | None = None
    started: float = 0.0
    next_heartbeat: float = 0.0
    stop_reason: str = ''
    late: bool = False
    retired: bool = False
    capture: Capture | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        return self.identity.pid

    @property
    def busy(self) -> bool:
        """Whether it has been given something to do."""
        return self.assignment is not None

    @property
    def runs_job(self) -> bool:
        """Whether it runs a job; not one that handles another's end."""
        return self.assignment is not None and self.ending is None

    @property
    def job_id(self) -> str:
        """The job that it runs; '' while it waits for one."""
        return self.assignment.job_id if self.assignment is not None else ''

    def lose(self) -> None:
        """Note that it could not be given its job after all."""
        self.assignment = self.ending = None
        self.retired = True

    def seconds(self) -> float:
        """Return for how long it has been running its job."""
        return time.monotonic() - self.started

    def close(self) -> None:
        """Close what the supervisor has of it, but for the capture."""
        self.channel.close()
        self.mailbox.close()

    def kill(self, number: int) -> bool:
        """Send a signal to the child and to whatever it started in its process group.

        Returns:
            Whether there was somebody to send it to.
        """
        if not is_alive(self.identity):
            # Its number may be another process' by now: it is the forker that reaps.
            return False
        try:
            # A job can join another group, the forker's for example, which must not suffer for it.
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


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
        # May hold objects of the application, which the parent should not have to know.
        return None
    return {name: value for name, value in job.__dict__.items() if type(value) in _SIMPLE}


def run(
    worker: Worker,
    channel: _socket.socket,
    mailbox: int,
    parent: int,
    leave: Callable[[], None],
    output: int | None = None,
) -> None:
    """Be the child; never returns.

    Args:
        worker: the parent's worker, of which this is now a copy.
        channel: the child's end.
        mailbox: descriptor of the mailbox.
        parent: the parent's process id.
        leave: closes what is the parent's alone.
        output: descriptor that standard output and error are to go to; None to leave them.
    """
    code = 1
    pid = os.getpid()
    slot = task = None
    try:
        die_with_parent(parent)
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        forget_handlers()
        leave()
        slot = Slot(mailbox)
        if output is not None:
            _redirect(worker, output)
        task = receive_task(channel)
        if task is None:
            os._exit(0)
        channel.close()
        renew_loops()
        code = _settle(worker, task) if task.ending is not None else _perform(worker, task, slot)
        if code == 0 and os.getpid() == pid:
            record = worker.record
            said = record.finish() if record is not None else slot.say(Report('written'))
            code = 0 if said else 1
    except BaseException as error:
        if os.getpid() == pid and slot is not None and worker.record is None:
            # Nothing of RQ's has seen it: an --after-fork function, or a broken record.
            handles_end = task is not None and task.ending is not None
            kind = 'away' if handles_end and is_about_the_store(error) else 'tried'
            with contextlib.suppress(BaseException):
                slot.say(Report(kind, text=format_error(error), ended_at=time.time()))
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


def become(worker: Worker, task: Task, slot: Slot) -> tuple[Job, Queue, Execution]:
    """Make the worker the one that runs this task, and return RQ's objects for it.

    Raises:
        UnreadableJob: the record cannot be read.
        NoSuchJobError: it is gone.
    """
    claim = task.claim
    os.environ['RQ_JOB_ID'] = claim.job_id
    mark_environment(task.execution_id)
    queue = worker.queue_for(claim.queue_key)
    if task.state is None or worker.touched is not None:
        job = claim.job(worker, queue)
    else:
        job = worker.job_from(task.state)
    job.redis_server_version = worker.redis_server_version
    execution = _execution(worker, task)
    execution._job = job
    worker.become_child(task, slot, execution, job)
    return job, queue, execution


def _perform(worker: Worker, task: Task, slot: Slot) -> int:
    numpy = sys.modules.get('numpy')
    if numpy is not None:
        numpy.random.seed()
    worker.call_hooks(worker.settings.after_fork)
    try:
        job, queue, _ = become(worker, task, slot)
    except (UnreadableJob, NoSuchJobError) as fault:
        return _end_without_job(worker, task, fault)
    memory = limits.memory_of(job, worker.settings.job_memory)
    if memory is not None:
        limits.limit_memory(memory)
    worker.memory_limit = memory
    # A job may close what the log writes to; that must not be what it fails with.
    logging.raiseExceptions = False
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
    return code


def _end_without_job(worker: Worker, task: Task, fault: UnreadableJob | NoSuchJobError) -> int:
    """Do what can be done about a job that cannot be read, or was deleted since it was taken."""
    queue_name = worker.queue_for(task.claim.queue_key).name
    execution = _execution(worker, task)
    if isinstance(fault, UnreadableJob):
        settlement.fail_unreadable(worker, task.claim.job_id, queue_name, fault, execution)
    else:
        settlement.drop_execution(worker, task.claim.job_id, queue_name, execution)
    return 0


def _execution(worker: Worker, task: Task) -> Execution:
    execution = task.claim.execution(worker)
    execution.id = task.execution_id
    return execution


def _settle(worker: Worker, task: Task) -> int:
    assert task.ending is not None
    claim = task.claim
    worker.become_settler()
    queue = worker.queue_for(claim.queue_key)
    execution = _execution(worker, task)
    try:
        job = claim.job(worker, queue)
    except (UnreadableJob, NoSuchJobError) as fault:
        return _end_without_job(worker, task, fault)
    job.redis_server_version = worker.redis_server_version
    job.started_at = execution.created_at
    worker.parent_of(usage_record(worker, claim.raw, execution, task.ending))
    settlement.settle(worker, task.ending, job, queue, execution)
    return 0


def usage_record(
    worker: Worker, raw: dict[bytes, bytes], execution: Execution, ending: Ending
) -> dict[str, Any] | None:
    """Return what is kept with a job of an execution that did not write it down itself; None if nothing is known.

    Args:
        worker: the worker that had it.
        raw: the job's fields.
        execution: the execution.
        ending: how it ended.
    """
    if ending.report is not None and ending.report.usage:
        return {**ending.report.usage, 'raw': raw}
    if not ending.pid:
        # Another worker's process: nobody has seen its end.
        return None
    user, system, memory = ending.usage[:3]
    return {
        'execution': execution.id,
        'worker': worker.name,
        'started': execution.created_at.timestamp(),
        'wall': round(ending.seconds, 6),
        'cpu': round(user + system, 6),
        'memory': int(memory) * (1 if sys.platform == 'darwin' else 1024),
        'exit': ending.exit,
        'raw': raw,
    }

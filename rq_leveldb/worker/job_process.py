"""A child's own process, from fork to exit.

Life of a child:

1. The forker forks it, before there is a job. The child makes sure that it dies with the forker (which
   dies with the supervisor), becomes the leader of its own process group, maps its mailbox, and waits on its channel.
2. The supervisor takes a job off a queue for it and sends the job through the channel, once.
3. The child runs RQ's `perform_job`. It has no connection to the store until something needs one.
4. How the job ended is in the store, or in the mailbox: see `record`.
5. If it may run further jobs (`further_jobs`), it says over the channel that it is free, and goes on with 2.
6. Else the child exits. The supervisor learns of the end from the forker, which reaps; what the mailbox says decides
   only how the end is read.

A child may also be told to handle the end of a job whose own process went away: see `settlement`.
"""

from __future__ import annotations

import _socket
import contextlib
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable

from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue

from rq_leveldb.process import die_with_parent
from rq_leveldb.unreadable import UnreadableJob

from . import limits, settlement, signals
from .assignment import Task, receive_task
from .broken import fail_unreadable
from .ending import Ending
from .executions import drop_execution
from .further_jobs import FurtherJobs
from .green import renew_loops
from .leftovers import mark_environment
from .mailbox import Report, Slot
from .performing import PerformingWorker
from .record import Record
from .site import Site
from .status_line import StatusLine
from .trouble import is_about_the_store
from .usage import usage_of

__all__ = ['become', 'run']

_RQ_LOGGERS = ('rq.worker', 'rq.job', 'rq.scheduler', 'rq.registry', 'rq.queue')


def run(
    worker: PerformingWorker,
    channel: _socket.socket,
    mailbox: int,
    parent: int,
    leave: Callable[[], None],
    output: int | None = None,
) -> None:
    """Run as the child; never returns.

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
        signals.reset_in_child()
        leave()
        slot = Slot(mailbox)
        if output is not None:
            _redirect(output, worker.status_line)
        task = receive_task(channel)
        if task is None:
            os._exit(0)
        further = None
        if worker.site.settings.jobs_per_child == 1 or task.ending is not None:
            channel.close()
        renew_loops()
        if task.ending is None:
            _call_hooks(worker.site)
            if worker.site.settings.jobs_per_child > 1:
                further = FurtherJobs(worker.site, channel, parent)
        while task is not None:
            code = _perform(worker, task, slot, further) if task.ending is None else _settle(worker, task, task.ending)
            if code or os.getpid() != pid:
                break
            record = worker.record
            if not (record.finish() if record is not None else slot.say(Report('written'))):
                code = 1
                break
            last = further is None or task.ending is not None or (record is not None and record.last)
            # Nothing of the job stays, nor what it says of its end if the next one cannot even begin.
            worker.become_child()
            task = record = None
            task = further.next(last=last) if further is not None else None
    except BaseException as error:
        if os.getpid() == pid and slot is not None and task is not None and worker.record is None:
            # RQ has not seen the error: it comes from an --after-fork function or a broken record.
            handles_end = task.ending is not None
            kind = 'away' if handles_end and is_about_the_store(error) else 'tried'
            with contextlib.suppress(BaseException):
                slot.say(Report(kind, text=''.join(traceback.format_exception(error)), ended_at=time.time()))
        with contextlib.suppress(BaseException):
            worker.site.log.exception('child %d failed outside of its job', os.getpid())
    finally:
        os._exit(code)


def _redirect(output: int, status_line: StatusLine | None) -> None:
    """Send what the job prints to a pipe; what RQ logs about it still goes where the worker's log goes."""
    streams = {id(sys.stdout): 1, id(sys.stderr): 2}
    for name in _RQ_LOGGERS:
        for handler in logging.getLogger(name).handlers:
            descriptor = streams.get(id(getattr(handler, 'stream', None)))
            if descriptor is not None and isinstance(handler, logging.StreamHandler):
                handler.setStream(os.fdopen(os.dup(descriptor), 'w', buffering=1))
    if status_line is not None:
        status_line.move(os.fdopen(os.dup(2), 'w'))
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def become(
    worker: PerformingWorker, task: Task, slot: Slot, spent: tuple[float, float] = (0.0, 0.0)
) -> tuple[Job, Queue, Record]:
    """Make the worker the one that runs this task, and return RQ's objects for it.

    Args:
        worker: the worker.
        task: the task.
        slot: where it is said how it ended.
        spent: seconds of processor time that this process used for former jobs, as for `Record`.

    Raises:
        UnreadableJob: the record cannot be read.
        NoSuchJobError: it is gone.
    """
    site, claim = worker.site, task.claim
    os.environ['RQ_JOB_ID'] = claim.job_id
    mark_environment(task.execution_id)
    queue = site.queue_for(claim.queue_key)
    if task.state is None or site.touched is not None:
        job = claim.job(site, queue)
    else:
        job = site.job_from(task.state)
    job.redis_server_version = worker.redis_server_version
    execution = _execution(site, task)
    execution._job = job
    memory = limits.memory_of(job, site.settings.job_memory)
    record = Record(site, type(worker), task, slot, execution, job, memory, spent)
    worker.become_child(execution, record=record)
    return job, queue, record


def _call_hooks(site: Site) -> None:
    numpy = sys.modules.get('numpy')
    if numpy is not None:
        numpy.random.seed()
    for hook in site.settings.after_fork:
        hook()


def _perform(worker: PerformingWorker, task: Task, slot: Slot, further: FurtherJobs | None) -> int:
    try:
        job, queue, record = become(worker, task, slot, further.spent if further is not None else (0.0, 0.0))
    except (UnreadableJob, NoSuchJobError) as fault:
        return _end_without_job(worker.site, task, fault)
    if record.memory_limit is not None:
        limits.limit_memory(record.memory_limit + (further.kept_memory() if further is not None else 0))
    # A job may close the stream that the log writes to; it must not fail because of that.
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


def _settle(worker: PerformingWorker, task: Task, ending: Ending) -> int:
    site, claim = worker.site, task.claim
    worker.become_child()
    queue = site.queue_for(claim.queue_key)
    execution = _execution(site, task)
    try:
        job = claim.job(site, queue)
    except (UnreadableJob, NoSuchJobError) as fault:
        return _end_without_job(site, task, fault)
    job.redis_server_version = worker.redis_server_version
    job.started_at = execution.created_at
    worker.note_usage(usage_of(execution, ending), claim.raw)
    settlement.settle(worker, ending, job, queue, execution)
    return 0


def _end_without_job(site: Site, task: Task, fault: UnreadableJob | NoSuchJobError) -> int:
    """Do what can be done about a job that cannot be read, or was deleted since it was taken."""
    queue_name = site.queue_for(task.claim.queue_key).name
    execution = _execution(site, task)
    if isinstance(fault, UnreadableJob):
        fail_unreadable(site, task.claim.job_id, queue_name, fault, execution)
    else:
        drop_execution(site, task.claim.job_id, queue_name, execution)
    return 0


def _execution(site: Site, task: Task) -> Execution:
    execution = task.claim.execution(site)
    execution.id = task.execution_id
    return execution

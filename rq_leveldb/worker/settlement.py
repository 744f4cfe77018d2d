"""The end of a job that its child did not write down: what becomes of it, and that it is written exactly once.

Where that needs the application's code (a callback, an exception handler, a class of its own), another child does it;
the supervisor itself handles only RQ's own, with nothing unpickled. Both call `settle`.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from datetime import timedelta

from rq.callbacks import execute_failure_callback
from rq.exceptions import AbandonedJobError
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import call_exception_handlers
from rq.queue import Queue
from rq.utils import as_text, now, utcformat
from rq.worker.base import BaseWorker

from rq_leveldb.records import CRASHES_FIELD
from rq_leveldb.unreadable import is_wrong_type

from .assignment import Assignment
from .claim import as_moment
from .ending import Ending, Fate, Verdict, decide, pause_before_rerun
from .executions import drop_execution, is_taken
from .performing import PerformingWorker, name_function
from .site import Site
from .trouble import NotWritten
from .usage import decode_list, encode_list

__all__ = ['needs_application', 'settle', 'settle_plainly']


def needs_application(worker: PerformingWorker, assignment: Assignment, ending: Ending) -> bool:
    """Say whether an end can only be handled with the application's code, or waits for the network.

    Args:
        worker: the worker that handles it.
        assignment: the job.
        ending: how it ended.
    """
    job = assignment.job
    verdict = ending.verdict
    if verdict is Verdict.WRITTEN:
        return False
    if not assignment.claim.whole or worker.site.touched is not None:
        return True
    if job.webhooks:
        return True
    if verdict is Verdict.STOPPED:
        return bool(job._stopped_callback_name)
    if verdict is Verdict.CRASHED:
        return worker._work_horse_killed_handler is not None
    if verdict is Verdict.ABANDONED:
        return bool(job._failure_callback_name or worker._exc_handlers)
    return False


def _is_open(site: Site, job: Job, execution: Execution) -> bool:
    """Say whether an end must still be written, or has been.

    Args:
        site: whose connection counts.
        job: the job.
        execution: the execution that ended.
    """
    with site.connection.pipeline(transaction=False) as pipeline:
        pipeline.exists(execution.key)
        pipeline.hget(job.key, 'status')
        running, status = pipeline.execute(raise_on_error=False)
    if isinstance(status, Exception):
        if is_wrong_type(status):
            return True
        raise status
    if status is None:
        # RQ deletes jobs whose result is not to be kept.
        return False
    if isinstance(running, Exception):
        raise running
    text = as_text(status) if isinstance(status, str) else status.decode('utf-8', 'replace')
    if not running and (text != JobStatus.STARTED or is_taken(site, job, execution)):
        return False
    return text not in (JobStatus.FINISHED, JobStatus.FAILED)


def settle(worker: PerformingWorker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
    """Write down how a job ended, unless that was done; RQ's order of things.

    Args:
        worker: the worker that does it, in its supervisor or in a child; not always the one that had the job.
        ending: how the execution ended.
        job: the job.
        queue: its queue.
        execution: the execution that ended.

    Raises:
        RedisError: the store is away, or takes no writes; to be tried again.
    """
    report = ending.report
    name_function(job, report)
    if ending.verdict is Verdict.SUCCESS and report is not None:
        worker.write_reported_success(job, queue, execution, report, ending.again or report.unsure)
        return
    if not _is_open(worker.site, job, execution):
        drop_execution(worker.site, job.id, job.origin, execution)
        return
    with _written(worker, job, execution):
        _settle_open(worker, ending, job, queue, execution)


@contextlib.contextmanager
def _written(worker: PerformingWorker, job: Job, execution: Execution) -> Iterator[None]:
    """Make sure that what RQ's methods do is done: they log a transaction that could not be carried out, and go on."""
    retries_left = job.retries_left
    yield
    if worker.connection.exists(execution.key):
        job.retries_left = retries_left
        raise NotWritten(f'the end of job {job.id} was not written')


def _settle_open(worker: PerformingWorker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
    report = ending.report
    job.ended_at = as_moment(report.ended_at) if report is not None and report.ended_at else now()
    if ending.verdict is Verdict.STOPPED:
        worker._stopped_job_id = job.id
        worker._handle_stopped_job(job, queue, execution)
    elif ending.verdict is Verdict.RETRY and report is not None:
        job.started_at = as_moment(report.started_at)
        worker.handle_job_retry(job, queue, Retry(**report.retry), queue.started_job_registry, execution)
    elif ending.verdict is Verdict.FAILURE and report is not None:
        if report.started_at:
            job.started_at = as_moment(report.started_at)
        worker.handle_job_failure(job, queue=queue, exc_string=report.text, execution=execution)
    else:
        if ending.verdict is Verdict.CRASHED:
            try:
                usage = resource.struct_rusage(ending.usage)
                worker.handle_work_horse_killed(job, ending.pid, ending.status, usage)
            except Exception:
                worker.site.log.exception('work_horse_killed_handler raised')
        _settle_abandoned(worker, ending, job, queue, execution)


def settle_plainly(
    worker: PerformingWorker, ending: Ending, job: Job, queue: Queue, execution: Execution, why: str
) -> None:
    """Fail a job whose end the application's code should have handled and did not.

    Args:
        worker: the worker that does it, as for `settle`.
        ending: how the execution ended.
        job: the job.
        queue: its queue.
        execution: the execution that ended.
        why: what became of that code, in words.
    """
    if not _is_open(worker.site, job, execution):
        drop_execution(worker.site, job.id, job.origin, execution)
        return
    report = ending.report
    name_function(job, ending.report)
    reason = report.text if report is not None and report.text else ending.reason
    if not reason:
        reason = (
            'Job stopped by user' if ending.verdict is Verdict.STOPPED else f'The job ended: {ending.verdict.value}'
        )
    job.ended_at = now()
    if ending.verdict is Verdict.STOPPED:
        worker._stopped_job_id = job.id
    with _written(worker, job, execution):
        BaseWorker.handle_job_failure(worker, job, queue=queue, exc_string=f'{reason}\n{why}', execution=execution)


def _settle_abandoned(worker: PerformingWorker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
    settings = worker.site.settings
    connection = worker.connection
    reason = ending.reason
    crashes = decode_list(connection.hget(job.key, CRASHES_FIELD))
    if ending.crashed and not any(crash.get('execution') == execution.id for crash in crashes):
        crashes.append({'at': utcformat(now()), 'exit': reason, 'execution': execution.id, 'worker': worker.name})
        if connection.exists(job.key):
            connection.hset(job.key, CRASHES_FIELD, encode_list(crashes))
    fate = decide(
        crashes=len(crashes) if ending.crashed else 0,
        max_crashes=settings.max_crashes,
        requeue=settings.requeue_abandoned,
    )
    if fate is Fate.REQUEUED:
        _requeue(worker, job, queue, execution, len(crashes) if ending.crashed else 0, reason)
        return
    if fate is Fate.POISONOUS:
        exits = '\n'.join(f'  {entry.get("at")}: {entry.get("exit")}' for entry in crashes)
        reason = f'Poisonous job: it took its process down {len(crashes)} times in a row:\n{exits}'
        job.retries_left = 0
    worker.site.log.warning('job %s did not finish: %s', job.id, reason)
    if ending.verdict is Verdict.ABANDONED:
        _tell(worker, job)
    worker.handle_job_failure(job, queue=queue, exc_string=reason, execution=execution)


def _tell(worker: PerformingWorker, job: Job) -> None:
    """Call what RQ calls when it finds a job abandoned: `StartedJobRegistry.cleanup`."""
    try:
        execute_failure_callback(job, worker.death_penalty_class, AbandonedJobError, AbandonedJobError(), None)
    except Exception:
        worker.site.log.exception('failure callback of job %s raised', job.id)
    try:
        call_exception_handlers(worker._exc_handlers, job, AbandonedJobError, AbandonedJobError(), None)
    except Exception:
        worker.site.log.exception('exception handler for job %s raised', job.id)


def _requeue(worker: PerformingWorker, job: Job, queue: Queue, execution: Execution, crashes: int, reason: str) -> None:
    pause = pause_before_rerun(crashes)
    with worker.connection.pipeline() as pipeline:
        worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
        job.started_at = None
        job.ended_at = None
        if pause and worker.scheduler is not None:
            job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
            queue.schedule_job(job, now() + timedelta(seconds=pause), pipeline=pipeline)
        else:
            queue._enqueue_job(job, pipeline=pipeline, at_front=not pause)
        pipeline.execute()
    place = f'at the end of its queue, after {pause:g} s' if pause else 'at the front of its queue'
    worker.site.log.warning('job %s was put back %s: %s', job.id, place, reason)

"""The end of a job that its child did not write down: what becomes of it, and that it is written exactly once.

Where that needs the application's code (a callback, an exception handler, a class of its own), another child does it;
the supervisor itself handles only RQ's own, with nothing unpickled. Both call `settle`.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as LostConnection
from rq.callbacks import execute_failure_callback
from rq.defaults import DEFAULT_FAILURE_TTL
from rq.exceptions import AbandonedJobError
from rq.executions import ExecutionRegistry
from rq.job import Job, JobStatus, Retry
from rq.job_lifecycle import call_exception_handlers
from rq.queue import Queue
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.utils import as_text, current_timestamp, now, utcformat
from rq.worker.base import BaseWorker

from rq_leveldb.unreadable import UnreadableJob, is_wrong_type, list_aside, restore_job

from .bookkeeping import SealedSerializer, decode_list, encode_list, sealed_class
from .ending import Ending, Fate, Verdict, decide, pause_before_rerun

if TYPE_CHECKING:
    from rq.executions import Execution

    from .assignment import Assignment
    from .worker import Worker

__all__ = [
    'NotWritten',
    'drop_execution',
    'fail_unreadable',
    'is_open',
    'needs_application',
    'sealed_queue',
    'set_aside_dependents',
    'settle',
    'settle_abandoned',
    'settle_plainly',
]


class NotWritten(LostConnection):
    """RQ could not carry out its transaction, and said why in the log only; the store may have been away."""


def needs_application(worker: Worker, assignment: Assignment, ending: Ending) -> bool:
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
    if not assignment.claim.whole or worker.touched is not None:
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


def sealed_queue(worker: Worker, name: str) -> Queue:
    """Return a queue as the supervisor handles it: what it reads of jobs stays unopened.

    Args:
        worker: whose connection and classes count.
        name: the queue's name.
    """
    prefix = worker.queue_class.redis_queue_namespace_prefix
    queue_class = Queue if prefix == Queue.redis_queue_namespace_prefix else worker.queue_class
    return queue_class(
        name,
        connection=worker.connection,
        job_class=sealed_class(worker.job_class.redis_job_namespace_prefix),
        serializer=SealedSerializer(worker.serializer),
    )


def is_open(worker: Worker, job: Job, execution: Execution) -> bool:
    """Say whether an end is still to be written down, or whether somebody has done it.

    Args:
        worker: whose connection counts.
        job: the job.
        execution: the execution that ended.
    """
    with worker.connection.pipeline(transaction=False) as pipeline:
        pipeline.exists(execution.key)
        pipeline.hget(job.key, 'status')
        running, status = pipeline.execute(raise_on_error=False)
    if isinstance(status, Exception):
        if is_wrong_type(status):
            return True
        raise status
    if status is None:
        # RQ deletes jobs whose result is not wanted.
        return False
    if isinstance(running, Exception):
        raise running
    text = as_text(status) if isinstance(status, str) else status.decode('utf-8', 'replace')
    if not running and text != JobStatus.STARTED:
        return False
    return text not in (JobStatus.FINISHED, JobStatus.FAILED)


def settle(worker: Worker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
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
    if ending.verdict is Verdict.SUCCESS and report is not None:
        worker.write_reported_success(job, queue, execution, report, ending.again or report.unsure)
        return
    if not is_open(worker, job, execution):
        drop_execution(worker, job.id, job.origin, execution)
        return
    with _written(worker, job, execution):
        _settle_open(worker, ending, job, queue, execution)


@contextlib.contextmanager
def _written(worker: Worker, job: Job, execution: Execution) -> Iterator[None]:
    """Make sure that what RQ's methods do is done: they log a transaction that could not be carried out, and go on."""
    retries_left = job.retries_left
    yield
    if worker.connection.exists(execution.key):
        job.retries_left = retries_left
        raise NotWritten(f'the end of job {job.id} was not written')


def _settle_open(worker: Worker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
    report = ending.report
    job.ended_at = _moment(report.ended_at) if report is not None and report.ended_at else now()
    if ending.verdict is Verdict.STOPPED:
        worker._stopped_job_id = job.id
        worker._handle_stopped_job(job, queue, execution)
    elif ending.verdict is Verdict.RETRY and report is not None:
        job.started_at = _moment(report.started_at)
        worker.handle_job_retry(job, queue, Retry(**report.retry), queue.started_job_registry, execution)
    elif ending.verdict is Verdict.FAILURE and report is not None:
        if report.started_at:
            job.started_at = _moment(report.started_at)
        worker.handle_job_failure(job, queue=queue, exc_string=report.text, execution=execution)
    else:
        if ending.verdict is Verdict.CRASHED:
            try:
                usage = resource.struct_rusage(ending.usage)
                worker.handle_work_horse_killed(job, ending.pid, ending.status, usage)
            except Exception:
                worker.log.exception('Worker %s: work_horse_killed_handler raised', worker.name)
        _settle_abandoned(worker, ending, job, queue, execution)


def settle_plainly(worker: Worker, ending: Ending, job: Job, queue: Queue, execution: Execution, why: str) -> None:
    """Fail a job whose end the application's code should have handled and did not.

    Args:
        worker, ending, job, queue, execution: as for `settle`.
        why: what became of that code, in words.
    """
    if not is_open(worker, job, execution):
        drop_execution(worker, job.id, job.origin, execution)
        return
    report = ending.report
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


def _settle_abandoned(worker: Worker, ending: Ending, job: Job, queue: Queue, execution: Execution) -> None:
    settings = worker.settings
    connection = worker.connection
    reason = ending.reason
    crashes = decode_list(connection.hget(job.key, 'crashes'))
    if ending.crashed and not any(crash.get('execution') == execution.id for crash in crashes):
        crashes.append({'at': utcformat(now()), 'exit': reason, 'execution': execution.id, 'worker': worker.name})
        if connection.exists(job.key):
            connection.hset(job.key, 'crashes', encode_list(crashes))
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
    worker.log.warning('Worker %s: job %s did not finish: %s', worker.name, job.id, reason)
    if ending.verdict is Verdict.ABANDONED:
        _tell(worker, job)
    worker.handle_job_failure(job, queue=queue, exc_string=reason, execution=execution)


def _tell(worker: Worker, job: Job) -> None:
    """Call what RQ calls when it finds a job abandoned: `StartedJobRegistry.cleanup`."""
    try:
        execute_failure_callback(job, worker.death_penalty_class, AbandonedJobError, AbandonedJobError(), None)
    except Exception:
        worker.log.exception('Worker %s: failure callback of job %s raised', worker.name, job.id)
    try:
        call_exception_handlers(worker._exc_handlers, job, AbandonedJobError, AbandonedJobError(), None)
    except Exception:
        worker.log.exception('Worker %s: exception handler for job %s raised', worker.name, job.id)


def _requeue(worker: Worker, job: Job, queue: Queue, execution: Execution, crashes: int, reason: str) -> None:
    job.started_at = None
    job.ended_at = None
    pause = pause_before_rerun(crashes)
    with worker.connection.pipeline() as pipeline:
        worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
        if pause and worker.scheduler is not None:
            job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
            queue.schedule_job(job, now() + timedelta(seconds=pause), pipeline=pipeline)
        else:
            queue._enqueue_job(job, pipeline=pipeline, at_front=not pause)
        pipeline.execute()
    place = f'behind the others, after {pause:g} s' if pause else 'at the front of its queue'
    worker.log.warning('Worker %s: job %s put back %s: %s', worker.name, job.id, place, reason)


def drop_execution(worker: Worker, job_id: str, queue_name: str, execution: Execution) -> None:
    """Forget an execution whose job is gone, or whose end somebody has written.

    Args:
        worker: whose connection counts.
        job_id: which job.
        queue_name: its queue.
        execution: the execution.
    """
    with worker.connection.pipeline() as pipeline:
        _forget(pipeline, StartedJobRegistry.key_template.format(queue_name), job_id, execution)
        # Any of these keys may hold another type of value; that is no reason to keep the others.
        pipeline.execute(raise_on_error=False)


def _forget(pipeline: Any, started_key: str, job_id: str, execution: Execution) -> None:
    pipeline.delete(execution.key)
    pipeline.zrem(started_key, execution.composite_key)
    pipeline.zrem(ExecutionRegistry.key_template.format(job_id), execution.id)
    # Of the worker that had it, which need not be the one that writes this.
    pipeline.srem(execution.worker_executions_key, execution.composite_key)


def set_aside_dependents(worker: Worker, job: Job) -> bool:
    """Fail those of a job's dependents whose records cannot be read: RQ reads all of them or none.

    Args:
        worker: whose connection and classes count.
        job: the job that they wait for.

    Returns:
        Whether there were any.
    """
    found = False
    job_class = sealed_class(worker.job_class.redis_job_namespace_prefix)
    serializer = SealedSerializer(worker.serializer)
    for member in worker.connection.smembers(job.dependents_key):
        dependent_id = member.decode('utf-8', 'replace') if isinstance(member, bytes) else member
        fault: UnreadableJob | str
        try:
            raw: dict[bytes, bytes] = worker.connection.hgetall(job_class.key_for(dependent_id))  # type: ignore[assignment]
            if raw:
                restore_job(lambda: job_class(dependent_id, connection=worker.connection, serializer=serializer), raw)  # noqa: B023
            continue
        except UnreadableJob as error:
            fault = error
        except Exception as error:
            if not is_wrong_type(error):
                continue
            raw, fault = {}, f'Job {dependent_id} cannot be read: {error}'
        found = True
        worker.connection.srem(job.dependents_key, member)
        origin = raw.get(b'origin', b'').decode('utf-8', 'replace') or job.origin
        fail_unreadable(worker, dependent_id, origin, fault)
    return found


def fail_unreadable(
    worker: Worker, job_id: str, queue_name: str, fault: UnreadableJob | str, execution: Execution | None = None
) -> None:
    """Fail a job of which nothing but its id can be relied on; set it aside where even that cannot be written.

    Does what RQ does when a job fails, without RQ's object for it. The fields that could not be read are removed: the
    reason says what stood there, and the job can be looked at and requeued like any other that failed.

    Args:
        worker: whose connection, name and classes count.
        job_id: which job.
        queue_name: the queue where it was found, whatever the job itself says.
        fault: what is wrong with it.
        execution: the execution that had begun, if any.
    """
    reason = str(fault)
    connection = worker.connection
    key = worker.job_class.key_for(job_id)
    moment = now()
    result = Result(
        job_id=job_id,
        type=Result.Type.FAILED,
        connection=connection,
        exc_string=reason,
        worker_name=worker.name,
        execution_id=execution.id if execution is not None else None,
        execution_started_at=execution.created_at if execution is not None else None,
        execution_ended_at=moment,
    )
    worker.log.error('Worker %s: %s', worker.name, reason)
    fields: dict[Any, Any] = {'status': JobStatus.FAILED.value, 'origin': queue_name, 'ended_at': utcformat(moment)}
    failed = FailedJobRegistry.key_template.format(queue_name)
    composite = execution.composite_key if execution is not None else ''
    with connection.pipeline() as pipeline:
        if isinstance(fault, UnreadableJob) and (broken := [entry.field for entry in fault.faults if entry.field]):
            pipeline.hdel(key, *broken)
        # After that: the status itself may be what cannot be read.
        pipeline.hset(key, mapping=fields)
        pipeline.expire(key, DEFAULT_FAILURE_TTL)
        pipeline.zadd(failed, {job_id: current_timestamp() + DEFAULT_FAILURE_TTL})
        result.save(DEFAULT_FAILURE_TTL, pipeline=pipeline)
        worker.increment_failed_job_count(pipeline)
        if execution is not None:
            _forget(pipeline, StartedJobRegistry.key_template.format(queue_name), job_id, execution)
            for entry in fault.faults if isinstance(fault, UnreadableJob) else ():
                if entry.field == 'origin':
                    pipeline.zrem(StartedJobRegistry.key_template.format('').encode() + entry.value, composite)
        # Any of these keys may hold another type of value; the others are written all the same.
        replies = pipeline.execute(raise_on_error=False)
    refused = next((reply for reply in replies[:2] if isinstance(reply, Exception)), None)
    if refused is not None:
        with connection.pipeline() as pipeline:
            # It would be an entry for a job that nobody can look at.
            pipeline.zrem(failed, job_id)
            pipeline.delete(Result.get_key(job_id))
            pipeline.execute(raise_on_error=False)
        list_aside(connection, key, f'{reason}; it could not be failed either: {refused}')


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


def settle_abandoned(
    worker: Worker, job: Job, queue: Queue, execution: Execution, reason: str, *, crashed: bool
) -> None:
    """Have a job handled whose process went away with its worker.

    Args:
        worker: the worker that handles it, not the one that had it.
        job: the job.
        queue: its queue.
        execution: the execution that did not end.
        reason: what happened, in words.
        crashed: whether it counts as one of the crashes in a row.
    """
    ending = Ending(Verdict.ABANDONED, reason, crashed, exit=reason)
    if not worker.take_over(job, queue, execution, ending):
        settle(worker, ending, job, queue, execution)

"""The end of a job that did not write it down itself: what becomes of it, and that it is written exactly once."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.executions import ExecutionRegistry
from rq.job import JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.utils import current_timestamp, now, utcformat

from rq_leveldb.unreadable import UnreadableJob, list_aside

from .bookkeeping import decode_list, encode_list

if TYPE_CHECKING:
    from rq.executions import Execution
    from rq.job import Job
    from rq.queue import Queue

    from .worker import Worker

__all__ = ['Fate', 'decide', 'fail_unreadable', 'settle_abandoned']


class Fate(Enum):
    """What becomes of a job whose process went away before it was finished."""

    REQUEUED = 'requeued'
    SETTLED = 'retried or failed'
    POISONOUS = 'failed as poisonous'


def decide(*, crashes: int, max_crashes: int, requeue: bool) -> Fate:
    """Decide what becomes of an abandoned job.

    Args:
        crashes: how many times in a row it took its process down, this time included.
        max_crashes: how many are too many.
        requeue: whether abandoned jobs go back to the front of their queue.
    """
    if crashes >= max_crashes:
        return Fate.POISONOUS
    return Fate.REQUEUED if requeue else Fate.SETTLED


def settle_abandoned(
    worker: Worker, job: Job, queue: Queue, execution: Execution, reason: str, *, crashed: bool
) -> Fate:
    """Handle a job whose process went away before it had written down an end.

    Args:
        worker: the worker that handles it, not always the one that had it.
        job: the job.
        queue: its queue.
        execution: the execution that did not end.
        reason: what happened, in words.
        crashed: whether it counts as one of the crashes in a row; a stop on request does not.
    """
    settings = worker.settings
    connection = worker.connection
    crashes = decode_list(connection.hget(job.key, 'crashes'))
    if crashed:
        crashes.append({'at': utcformat(now()), 'exit': reason, 'execution': execution.id, 'worker': worker.name})
        if connection.exists(job.key):
            connection.hset(job.key, 'crashes', encode_list(crashes))
    fate = decide(
        crashes=len(crashes) if crashed else 0,
        max_crashes=settings.max_crashes,
        requeue=settings.requeue_abandoned,
    )
    if fate is Fate.REQUEUED:
        job.started_at = None
        job.ended_at = None
        with connection.pipeline() as pipeline:
            worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
            queue._enqueue_job(job, pipeline=pipeline, at_front=True)
            pipeline.execute()
        worker.log.warning('Worker %s: job %s put back at the front of its queue: %s', worker.name, job.id, reason)
        return fate
    if fate is Fate.POISONOUS:
        exits = '\n'.join(f'  {entry.get("at")}: {entry.get("exit")}' for entry in crashes)
        reason = f'Poisonous job: it took its process down {len(crashes)} times in a row:\n{exits}'
        job.retries_left = 0
    worker.log.warning('Worker %s: job %s did not finish: %s', worker.name, job.id, reason)
    worker.handle_job_failure(job, queue=queue, exc_string=reason, execution=execution)
    return fate


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
        serializer=worker.serializer,
        execution_id=execution.id if execution is not None else None,
        execution_started_at=execution.created_at if execution is not None else None,
        execution_ended_at=moment,
    )
    worker.log.error('Worker %s: %s', worker.name, reason)
    fields: dict[Any, Any] = {'status': JobStatus.FAILED.value, 'origin': queue_name, 'ended_at': utcformat(moment)}
    started = StartedJobRegistry.key_template.format(queue_name)
    failed = FailedJobRegistry.key_template.format(queue_name)
    with connection.pipeline() as pipeline:
        # First, since one of them may be the status.
        if isinstance(fault, UnreadableJob) and (broken := [entry.field for entry in fault.faults if entry.field]):
            pipeline.hdel(key, *broken)
        pipeline.hset(key, mapping=fields)
        pipeline.expire(key, DEFAULT_FAILURE_TTL)
        pipeline.zadd(failed, {job_id: current_timestamp() + DEFAULT_FAILURE_TTL})
        result.save(DEFAULT_FAILURE_TTL, pipeline=pipeline)
        pipeline.hincrby(worker.key, 'failed_job_count', 1)
        if execution is not None:
            pipeline.delete(execution.key)
            pipeline.zrem(started, execution.composite_key)
            pipeline.zrem(ExecutionRegistry.key_template.format(job_id), execution.id)
            pipeline.srem(worker.executions_key, execution.composite_key)
        # Any of these keys may hold another type of value; the others are written all the same.
        replies = pipeline.execute(raise_on_error=False)
    if isinstance(replies[0], Exception):
        with connection.pipeline() as pipeline:
            # It would be an entry for a job that nobody can look at.
            pipeline.zrem(failed, job_id)
            pipeline.delete(Result.get_key(job_id))
            pipeline.execute(raise_on_error=False)
        list_aside(connection, key, f'{reason}; it could not be failed either: {replies[0]}')

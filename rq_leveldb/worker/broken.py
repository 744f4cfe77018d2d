"""Records that are broken: failed with a reason, or set aside where not even that can be written."""

from __future__ import annotations

from typing import Any

from rq.defaults import DEFAULT_FAILURE_TTL
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.utils import current_timestamp, now, utcformat

from rq_leveldb.unreadable import UnreadableJob, is_wrong_type, list_aside

from .executions import forget
from .sealed import restore_sealed
from .site import Site

__all__ = ['fail_unreadable', 'set_aside', 'set_aside_dependents']


def set_aside(site: Site, key: str, reason: str) -> None:
    """Note that something in the store cannot be used, and say so once.

    Args:
        site: in whose store, and in whose log.
        key: where it is in the store.
        reason: what is wrong with it.
    """
    if list_aside(site.connection, key, reason):
        site.log.error('%s', reason)


def set_aside_dependents(site: Site, job: Job) -> bool:
    """Fail a job's unreadable dependents: RQ reads all of them or none.

    Args:
        site: whose connection and classes count.
        job: the job that they wait for.

    Returns:
        Whether there were any.
    """
    found = False
    for member in site.connection.smembers(job.dependents_key):
        dependent_id = member.decode('utf-8', 'replace') if isinstance(member, bytes) else member
        fault: UnreadableJob | str
        raw: dict[bytes, bytes] = {}
        try:
            raw = site.connection.hgetall(site.job_class.key_for(dependent_id))  # type: ignore[assignment]
            if raw:
                restore_sealed(site, dependent_id, raw)
            continue
        except UnreadableJob as error:
            fault = error
        except Exception as error:
            if not is_wrong_type(error):
                continue
            fault = f'Job {dependent_id} cannot be read: {error}'
        found = True
        site.connection.srem(job.dependents_key, member)
        origin = raw.get(b'origin', b'').decode('utf-8', 'replace') or job.origin
        fail_unreadable(site, dependent_id, origin, fault)
    return found


def fail_unreadable(
    site: Site, job_id: str, queue_name: str, fault: UnreadableJob | str, execution: Execution | None = None
) -> None:
    """Fail a job of which only the id is reliable; set it aside if even that cannot be written.

    Does what RQ does when a job fails, without RQ's object for it. The fields that could not be read are removed: the
    reason says what stood there, and the job can be looked at and requeued like any other that failed.

    Args:
        site: whose connection, name and classes count.
        job_id: which job.
        queue_name: the queue where it was found, whatever the job itself says.
        fault: what is wrong with it.
        execution: the execution that had begun, if any.
    """
    reason = str(fault)
    connection = site.connection
    key = site.job_class.key_for(job_id)
    moment = now()
    result = Result(
        job_id=job_id,
        type=Result.Type.FAILED,
        connection=connection,
        exc_string=reason,
        worker_name=site.name,
        execution_id=execution.id if execution is not None else None,
        execution_started_at=execution.created_at if execution is not None else None,
        execution_ended_at=moment,
    )
    site.log.error('%s', reason)
    fields: dict[Any, Any] = {'status': JobStatus.FAILED.value, 'origin': queue_name, 'ended_at': utcformat(moment)}
    failed = FailedJobRegistry.key_template.format(queue_name)
    composite = execution.composite_key if execution is not None else ''
    with connection.pipeline() as pipeline:
        if isinstance(fault, UnreadableJob) and (broken := [entry.field for entry in fault.faults if entry.field]):
            pipeline.hdel(key, *broken)
        # After the removal: the status itself may be unreadable.
        pipeline.hset(key, mapping=fields)
        pipeline.expire(key, DEFAULT_FAILURE_TTL)
        pipeline.zadd(failed, {job_id: current_timestamp() + DEFAULT_FAILURE_TTL})
        result.save(DEFAULT_FAILURE_TTL, pipeline=pipeline)
        site.increment_failed_job_count(pipeline)
        if execution is not None:
            forget(pipeline, StartedJobRegistry.key_template.format(queue_name), job_id, execution)
            for entry in fault.faults if isinstance(fault, UnreadableJob) else ():
                if entry.field == 'origin':
                    pipeline.zrem(StartedJobRegistry.key_template.format('').encode() + entry.value, composite)
        # Any of these keys may hold another type of value; the others are still written.
        replies = pipeline.execute(raise_on_error=False)
    refused = next((reply for reply in replies[:2] if isinstance(reply, Exception)), None)
    if refused is not None:
        with connection.pipeline() as pipeline:
            # Otherwise there would be entries for a job that cannot be shown.
            pipeline.zrem(failed, job_id)
            pipeline.delete(Result.get_key(job_id))
            pipeline.execute(raise_on_error=False)
        list_aside(connection, key, f'{reason}; it could not be failed either: {refused}')

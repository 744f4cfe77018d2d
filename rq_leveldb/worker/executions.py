"""Whose an execution is, and forgetting it: its record, and what refers to it."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ResponseError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job
from rq.registry import StartedJobRegistry

from rq_leveldb.unreadable import is_wrong_type

from .script import Script
from .site import Site

__all__ = ['TAKEN', 'TAKEN_FUNCTION', 'drop_execution', 'forget', 'is_left_to_others', 'is_taken']

TAKEN = 'job %s was taken over by another worker meanwhile; how it ended here does not count'
"""What a worker logs that comes back, with its name and the job's id."""

TAKEN_FUNCTION = """
local function taken(job, execution, executions, id, worker)
    if redis.call('EXISTS', execution) == 1 then return false end
    local status = redis.call('HGET', job, 'status')
    if not status or status == 'canceled' or status == 'stopped' then return false end
    if status ~= 'started' or redis.call('HGET', job, 'worker_name') ~= worker then return true end
    for _, other in ipairs(redis.call('ZRANGE', executions, 0, -1)) do
        if other ~= id then return true end
    end
    return false
end
"""
"""For scripts: whether others have decided what becomes of a job, since they took the worker that ran it to be dead.

On a Redis server that happens to a worker that was stopped, or cut off, for longer than the others wait. What they
decided is not overwritten. An execution that has only expired is still the worker's own.
"""

# KEYS: job, execution, the job's executions
# ARGV: execution id, worker's name
_IS_TAKEN = f"""{TAKEN_FUNCTION}
return taken(KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2]) and 1 or 0
"""


def is_taken(site: Site, job: Job, execution: Execution) -> bool:
    """Say whether others have decided what becomes of a job: `TAKEN_FUNCTION`.

    Args:
        site: of the worker that ran it.
        job: the job.
        execution: the execution.
    """
    keys = [job.key, execution.key, ExecutionRegistry.key_template.format(job.id)]
    try:
        return bool(Script(site.connection, _IS_TAKEN).run(keys, [execution.id, site.name]))
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        # For whoever writes the end to report.
        return False


def is_left_to_others(site: Site, job: Job, execution: Execution) -> bool:
    """Say whether an end must not be written, since others have decided about the job, and log it if so.

    Args:
        site: of the worker that ran it.
        job: the job.
        execution: the execution.
    """
    taken = is_taken(site, job, execution)
    if taken:
        site.log.warning(TAKEN, job.id)
    return taken


def drop_execution(site: Site, job_id: str, queue_name: str, execution: Execution) -> None:
    """Forget an execution whose job is gone or whose end is already written.

    Args:
        site: whose connection counts.
        job_id: which job.
        queue_name: its queue.
        execution: the execution.
    """
    with site.connection.pipeline() as pipeline:
        forget(pipeline, StartedJobRegistry.key_template.format(queue_name), job_id, execution)
        # Any of these keys may hold another type of value; the others are still deleted.
        pipeline.execute(raise_on_error=False)


def forget(pipeline: Any, started_key: str, job_id: str, execution: Execution) -> None:
    """Forget an execution, as a part of a pipeline.

    Args:
        pipeline: where the commands go.
        started_key: key of the registry of started jobs in which it stands.
        job_id: which job.
        execution: the execution.
    """
    pipeline.delete(execution.key)
    pipeline.zrem(started_key, execution.composite_key)
    pipeline.zrem(ExecutionRegistry.key_template.format(job_id), execution.id)
    # Of the worker that ran it, which may not be the one that writes this.
    pipeline.srem(execution.worker_executions_key, execution.composite_key)

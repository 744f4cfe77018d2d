"""Forgetting an execution: its record, and what refers to it."""

from __future__ import annotations

from typing import Any

from rq.executions import Execution, ExecutionRegistry
from rq.registry import StartedJobRegistry

from .site import Site

__all__ = ['drop_execution', 'forget']


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

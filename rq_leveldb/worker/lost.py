"""Jobs that a worker took off a queue and that never came to a process: an answer was lost, or a worker died."""

from __future__ import annotations

from collections.abc import Collection

from rq.executions import ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue

from rq_leveldb.records import CLAIMS_KEY_TEMPLATE
from rq_leveldb.unreadable import list_aside

from .broken import fail_unreadable
from .found import Found, find, read_as, read_members, text_of
from .sealed import sealed_queue
from .site import Site

__all__ = ['requeue', 'return_claims', 'return_executions']


def return_claims(site: Site, name: str, known: Collection[str] = ()) -> int:
    """Put jobs back that a worker took into an intermediate queue but never started.

    Args:
        site: of the worker that does it.
        name: the worker that had taken them.
        known: ids of jobs that are in hand and stay there.

    Returns:
        How many were put back.
    """
    connection = site.connection
    claims_key = CLAIMS_KEY_TEMPLATE.format(name)
    returned = 0
    claims: dict[bytes, bytes] = read_as(connection, 'hash', claims_key, connection.hgetall, {})
    for raw_id, raw_queue in claims.items():
        job_id, queue_key = text_of(raw_id), text_of(raw_queue)
        if job_id in known:
            continue
        with connection.pipeline() as pipeline:
            pipeline.lrem(IntermediateQueue.get_intermediate_queue_key(queue_key), 1, job_id)
            pipeline.hdel(claims_key, raw_id)
            if not connection.exists(ExecutionRegistry.key_template.format(job_id)):
                pipeline.lpush(queue_key, job_id)
                returned += 1
            for reply in pipeline.execute(raise_on_error=False):
                if isinstance(reply, Exception):
                    list_aside(connection, claims_key, f'job {job_id} could not be put back: {reply}')
    return returned


def return_executions(site: Site, known: Collection[str]) -> int:
    """Put jobs back that this worker marked as started but never gave to a process.

    Args:
        site: of the worker.
        known: composite keys of the executions that are in hand.

    Returns:
        How many were put back.
    """
    returned = 0
    for composite in read_members(site.connection, site.executions_key):
        if composite in known:
            continue
        found = find(site, composite, site.name)
        if found.fault is not None:
            fail_unreadable(site, found.job_id, found.queue_name, found.fault, found.execution)
        elif found.job is not None:
            requeue(site, found)
            returned += 1
    return returned


def requeue(site: Site, found: Found) -> None:
    """Put a job back at the front of its queue, and forget its execution.

    Args:
        site: of the worker that does it.
        found: the job, which can be read, and the execution.
    """
    assert found.job is not None
    queue = sealed_queue(site, found.queue_name)
    with site.connection.pipeline() as pipeline:
        site.cleanup_execution(found.job, pipeline=pipeline, execution=found.execution)
        queue._enqueue_job(found.job, pipeline=pipeline, at_front=True)
        pipeline.execute()

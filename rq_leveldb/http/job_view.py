"""How a job looks in JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from rq.defaults import RQ_KEY_PREFIX
from rq.executions import Execution
from rq.job import Job
from rq.registry import ScheduledJobRegistry
from rq.results import Result

from rq_leveldb.http.backend import Backend
from rq_leveldb.http.reading import Unreadable, show

__all__ = [
    'USAGE_FIELD',
    'full',
    'function_of',
    'job_url',
    'output',
    'output_key',
    'result_document',
    'results',
    'shown',
    'summary',
    'timestamp',
]

USAGE_FIELD = 'usage'
"""Field of a job's hash in which the worker keeps what its executions used."""


def job_url(job_id: str) -> str:
    """Return the path of a job.

    Args:
        job_id: its id; RQ lets it have no character that would have to be quoted (rq.job.validate_job_id).
    """
    return f'/v1/jobs/{job_id}'


def timestamp(value: datetime | None) -> str | None:
    """Return a point in time as RFC 3339 has it, in UTC with microseconds.

    Args:
        value: aware, or None.
    """
    return None if value is None else value.isoformat(timespec='microseconds').replace('+00:00', 'Z')


def function_of(backend: Backend, job: Job) -> tuple[str | None, Any, Any]:
    """Return the function's name and the arguments, without importing what they are made of.

    Args:
        backend: for its reader.
        job: a job that was fetched.

    Returns:
        Name, positional arguments, keyword arguments; where the data cannot be read, None and twice the reason.
    """
    data = backend.reader.look(job.data)
    if isinstance(data, (tuple, list)) and len(data) == 4:
        name, instance, args, kwargs = data
        if isinstance(name, str):
            return (
                (f'{type(instance).__module__}.{type(instance).__qualname__}.{name}' if instance else name),
                (args),
                kwargs,
            )
    reason = data if isinstance(data, Unreadable) else Unreadable('not in the form that RQ stores')
    return None, reason, reason


def shown(name: str, value: Any) -> dict[str, Any]:
    """Return the two fields by which a value is shown: itself where it is JSON, else how Python writes it.

    Args:
        name: name of the field; the other one is this with `_repr`.
        value: any object.
    """
    result = show(value)
    return {name: result.value, f'{name}_repr': result.repr}


def summary(backend: Backend, job: Job) -> dict[str, Any]:
    """Return what a list shows of a job, without further round trips.

    Args:
        backend: for its reader.
        job: a job that was fetched.
    """
    name, args, kwargs = function_of(backend, job)
    meta: Any = job.meta
    if job._unreadable_meta is not None:
        meta = backend.reader.look(job._unreadable_meta)
    return {
        'id': job.id,
        'url': job_url(job.id),
        'status': job.get_status(refresh=False).value,
        'queue': job.origin,
        'function': name,
        'description': job.description,
        **shown('args', args),
        **shown('kwargs', kwargs),
        **shown('meta', meta),
        'created_at': timestamp(job.created_at),
        'enqueued_at': timestamp(job.enqueued_at),
        'started_at': timestamp(job.started_at),
        'ended_at': timestamp(job.ended_at),
        'wait_seconds': _between(job.enqueued_at, job.started_at),
        'duration_seconds': _between(job.started_at, job.ended_at),
        'worker': job.worker_name,
        'timeout': job.timeout,
        'ttl': job.ttl,
        'result_ttl': job.result_ttl,
        'failure_ttl': job.failure_ttl,
        'retries_left': job.retries_left,
        'retry_intervals': job.retry_intervals,
        'repeats_left': job.repeats_left,
        'repeat_intervals': job.repeat_intervals,
        'group': job.group_id,
        'depends_on': list(job._dependency_ids),
        'on_success': job._success_callback_name,
        'on_failure': job._failure_callback_name,
        'on_stopped': job._stopped_callback_name,
    }


def result_document(result: Result) -> dict[str, Any]:
    """Return one result in JSON.

    Args:
        result: read with the reader's `look`.
    """
    return {
        'type': result.type.name.lower(),
        'at': timestamp(result.created_at),
        **shown('value', result.return_value),
        'exception': result.exc_string or None,
        'worker': result.worker_name or None,
        'execution': result.execution_id,
        'started_at': timestamp(result.execution_started_at),
        'ended_at': timestamp(result.execution_ended_at),
        'duration_seconds': _between(result.execution_started_at, result.execution_ended_at),
    }


class _Looking:
    """A serializer that reads everything, for values that are only shown."""

    def __init__(self, backend: Backend) -> None:
        self.loads = backend.reader.look
        self.dumps = backend.reader.dumps


def results(backend: Backend, job: Job, most: int = 10) -> list[Result]:
    """Return a job's results, newest first.

    Args:
        backend: the store.
        job: the job.
        most: how many at most.
    """
    stored: Any = backend.connection.xrevrange(Result.get_key(job.id), '+', '-', count=most)
    looking = _Looking(backend)
    return [
        Result.restore(job.id, entry.decode(), payload, connection=backend.connection, serializer=looking)
        for entry, payload in stored
    ]


def full(backend: Backend, job: Job) -> dict[str, Any]:
    """Return everything that is known about a job.

    Args:
        backend: the store.
        job: a job that was fetched.
    """
    queue = backend.queue(job.origin)
    pipe = backend.connection.pipeline(transaction=False)
    pipe.lpos(queue.key, job.id)
    pipe.zscore(ScheduledJobRegistry(queue=queue).key, job.id)
    pipe.smembers(job.dependents_key)
    pipe.hget(job.key, USAGE_FIELD)
    pipe.exists(output_key(job.id))
    position, due, dependents, usage, has_log = pipe.execute()
    found = results(backend, job)
    latest = found[0] if found else None
    document = summary(backend, job)
    document.update(
        position=position,
        scheduled_at=None if due is None else timestamp(datetime.fromtimestamp(float(due), timezone.utc)),
        dependents=sorted(item.decode() for item in dependents),
        **shown('result', latest.return_value if latest is not None else None),
        exception=(latest.exc_string or None) if latest is not None else None,
        results=[result_document(result) for result in found],
        executions=[
            {
                'id': execution.id,
                'worker': execution.worker_name or None,
                'started_at': timestamp(execution.created_at),
                'last_heartbeat': timestamp(execution.last_heartbeat),
            }
            for execution in _executions(backend, job)
        ],
        usage=_usage(usage),
        has_log=bool(has_log),
    )
    return document


def output(backend: Backend, job: Job) -> str | None:
    """Return what the worker kept of a job's output, None where it kept nothing.

    Args:
        backend: the store.
        job: the job.
    """
    stored = backend.connection.get(output_key(job.id))
    return stored.decode('utf-8', 'replace') if isinstance(stored, bytes) else None


def output_key(job_id: str) -> str:
    """Return the store's key under which the worker keeps a job's output.

    Args:
        job_id: the job's id.
    """
    return f'{RQ_KEY_PREFIX}:output:{job_id}'


def _executions(backend: Backend, job: Job) -> list[Execution]:
    names: Any = backend.connection.zrange(job.execution_registry.key, 0, -1)
    found = []
    for name in names:
        try:
            found.append(Execution.fetch(name.decode(), job.id, backend.connection))
        except (ValueError, KeyError):
            # It ended since, or only its place in the registry is left.
            continue
    return found


def _usage(stored: bytes | None) -> list[Any]:
    try:
        read = json.loads(stored or b'[]')
    except ValueError:
        return []
    return read if isinstance(read, list) else []


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 6) if start is not None and end is not None else None

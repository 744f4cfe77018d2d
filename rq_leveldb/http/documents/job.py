"""How a job looks in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from rq.defaults import RQ_KEY_PREFIX
from rq.job import Job
from rq.results import Result
from rq.utils import as_text

from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.lookup import Fields, Seen, Strange, is_refused, registry_key, replies, see_results, wrong_type
from rq_leveldb.reading import Looking, read_call, show
from rq_leveldb.unreadable import Fault, show_bytes

__all__ = [
    'USAGE_FIELD',
    'fault_documents',
    'from_seconds',
    'full',
    'function_of',
    'job_url',
    'output',
    'output_key',
    'result_document',
    'results',
    'shown',
    'strange_documents',
    'summary',
    'timestamp',
]

USAGE_FIELD = 'usage'
"""Field of a job's hash in which the worker keeps what its executions used."""


def job_url(job_id: str) -> str:
    """Return the path of a job.

    Args:
        job_id: its id; only RQ sees to it that it has no character that would have to be quoted.
    """
    return f'/v1/jobs/{quote(job_id, safe="")}'


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
    return read_call(backend.reader, job.data)


def shown(name: str, value: Any) -> dict[str, Any]:
    """Return the two fields by which a value is shown: itself where it is JSON, else how Python writes it.

    Args:
        name: name of the field; the other one is this with `_repr`.
        value: any object.
    """
    result = show(value)
    return {name: result.value, f'{name}_repr': result.repr}


def summary(backend: Backend, seen: Seen) -> dict[str, Any]:
    """Return what a list shows of a job, without further round trips.

    Args:
        backend: for its reader.
        seen: a job that was found.
    """
    job = seen.job
    name, args, kwargs = function_of(backend, job)
    meta: Any = job.meta
    if job._unreadable_meta is not None:
        meta = backend.reader.look(job._unreadable_meta)
    return {
        'id': job.id,
        'url': job_url(job.id),
        'status': seen.status,
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
        'faults': fault_documents(seen.faults),
    }


def fault_documents(faults: Iterable[Fault]) -> list[dict[str, str]]:
    """Return what cannot be read of a record in JSON.

    Args:
        faults: what was found.
    """
    return [{'field': fault.field, 'value': show_bytes(fault.value), 'error': fault.error} for fault in faults]


def strange_documents(strange: Iterable[Strange]) -> list[dict[str, str]]:
    """Return what stands in the place of records in JSON.

    Args:
        strange: what was found.
    """
    return [{'key': item.key, 'reason': item.reason} for item in strange]


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


def results(backend: Backend, job: Job, most: int = 10) -> tuple[list[Result], list[Fault]]:
    """Return a job's results, newest first, and what cannot be read of them.

    Args:
        backend: the store.
        job: the job.
        most: how many at most.
    """
    return see_results(backend.connection, job.id, Looking(backend.reader), most)


def full(backend: Backend, seen: Seen) -> dict[str, Any]:
    """Return everything that is known about a job.

    Args:
        backend: the store.
        seen: a job that was found.
    """
    job = seen.job
    parts = {
        'position': registry_key('queued', job.origin),
        'scheduled_at': registry_key('scheduled', job.origin),
        'dependents': job.dependents_key,
        USAGE_FIELD: as_text(job.key),
        'executions': job.execution_registry.key,
    }
    pipe = backend.connection.pipeline(transaction=False)
    pipe.lpos(parts['position'], job.id)
    pipe.zscore(parts['scheduled_at'], job.id)
    pipe.smembers(parts['dependents'])
    pipe.hget(parts[USAGE_FIELD], USAGE_FIELD)
    pipe.zrange(parts['executions'], 0, -1)
    pipe.exists(output_key(job.id))
    *held, has_log = replies(pipe)
    faults = [wrong_type(name, parts[name]) for name, reply in zip(parts, held, strict=True) if is_refused(reply)]
    position, due, dependents, usage, executions = (None if is_refused(reply) else reply for reply in held)
    found, broken = results(backend, job)
    faults += broken
    latest = found[0] if found else None
    runs, broken = _executions(backend, job, executions or [])
    faults += broken
    used, broken = _usage(usage)
    faults += broken
    document = summary(backend, seen)
    document.update(
        position=position,
        scheduled_at=timestamp(from_seconds(due)),
        dependents=sorted(item.decode('utf-8', 'replace') for item in dependents or ()),
        **shown('result', latest.return_value if latest is not None else None),
        exception=(latest.exc_string or None) if latest is not None else None,
        results=[result_document(result) for result in found],
        executions=runs,
        usage=used,
        has_log=bool(has_log),
        faults=fault_documents((*seen.faults, *faults)),
    )
    return document


def output(backend: Backend, job: Job) -> str | None:
    """Return what the worker kept of a job's output, None where it kept nothing.

    Args:
        backend: the store.
        job: the job.
    """
    pipe = backend.connection.pipeline(transaction=False)
    pipe.get(output_key(job.id))
    (stored,) = replies(pipe)
    if is_refused(stored):
        return f'(The key {output_key(job.id)} holds another type of value than text.)'
    return stored.decode('utf-8', 'replace') if isinstance(stored, bytes) else None


def output_key(job_id: str) -> str:
    """Return the store's key under which the worker keeps a job's output.

    Args:
        job_id: the job's id.
    """
    return f'{RQ_KEY_PREFIX}:output:{job_id}'


def from_seconds(seconds: float | None) -> datetime | None:
    """Return a registry's score as a point in time, None where it is none.

    Args:
        seconds: since the epoch.
    """
    try:
        return None if seconds is None else datetime.fromtimestamp(float(seconds), timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _executions(backend: Backend, job: Job, names: list[bytes]) -> tuple[list[dict[str, Any]], list[Fault]]:
    ids = [name.decode('utf-8', 'replace') for name in names]
    keys = [f'{RQ_KEY_PREFIX}:execution:{job.id}:{name}' for name in ids]
    pipe = backend.connection.pipeline(transaction=False)
    for key in keys:
        pipe.hgetall(key)
    found = []
    faults: list[Fault] = []
    for name, key, raw in zip(ids, keys, replies(pipe) if keys else [], strict=True):
        if not is_refused(raw) and not raw:
            # It ended since, or only its place in the registry is left.
            continue
        fields = Fields(raw, key)
        found.append(
            {
                'id': name,
                'worker': fields.text('worker_name'),
                'started_at': timestamp(fields.seconds('created_at')),
                'last_heartbeat': timestamp(fields.seconds('last_heartbeat')),
            }
        )
        faults += [replace(fault, field=f'executions/{name}/{fault.field}') for fault in fields.faults]
    return found, faults


def _usage(stored: bytes | None) -> tuple[list[Any], list[Fault]]:
    fields = Fields({b'usage': stored or b''}, '')
    read = fields.list(USAGE_FIELD)
    good = [item for item in read if isinstance(item, dict) and all(map(_is_plain, item.values()))]
    if len(good) < len(read):
        fields.faults.append(Fault(USAGE_FIELD, stored or b'', 'not a list of objects'))
    return good, fields.faults


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 6) if start is not None and end is not None else None

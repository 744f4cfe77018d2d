"""All that is known of a job, as `rq-leveldb job --json` prints it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from rq_leveldb.cli.waiting import why_waiting
from rq_leveldb.jobs.listing import TIMES
from rq_leveldb.jobs.moment import timestamp
from rq_leveldb.jobs.parts import read_parts
from rq_leveldb.lookup import Seen, see_jobs
from rq_leveldb.reading import Looking, Reader, call_text, read_call, show, value_text
from rq_leveldb.unreadable import show_bytes

__all__ = ['report']

# Of the jobs that wait for one, how many are named with their state.
_MOST_LINKED = 1000


def report(connection: Any, reader: Reader, seen: Seen) -> dict[str, Any]:
    """Return what is known of a job. Values that JSON cannot hold are null, and their `_repr` has their text.

    Args:
        connection: the store.
        reader: reads what it holds.
        seen: the job.
    """
    job = seen.job
    parts = read_parts(connection, reader, seen)
    function, args, kwargs = read_call(reader, job.data)
    meta: Any = job.meta if job._unreadable_meta is None else reader.look(job._unreadable_meta)
    has_result = seen.status == 'finished' and bool(parts.results)
    returned = parts.results[0].return_value if has_result else None
    shown = {'args': show(args), 'kwargs': show(kwargs), 'meta': show(meta), 'result': show(returned)}
    depends_on = _states(connection, reader, list(job._dependency_ids))
    dependents = _states(connection, reader, parts.dependents[:_MOST_LINKED])
    return {
        'id': job.id,
        'status': seen.status,
        'queue': job.origin,
        'description': job.description,
        'function': function,
        'call': None if function is None else call_text(function, args, kwargs),
        **{name: value.value for name, value in shown.items()},
        **{f'{name}_repr': value.repr for name, value in shown.items()},
        'meta_text': value_text(meta) if meta else None,
        'progress_text': _progress(meta),
        'result_text': value_text(returned) if has_result else None,
        'worker': job.worker_name,
        **{name: timestamp(getattr(job, name)) for name in TIMES},
        'due_at': _moment(parts.due),
        **{name: getattr(job, name) for name in ('timeout', 'ttl', 'result_ttl', 'failure_ttl', 'retries_left')},
        'position': parts.position,
        'waits_because': why_waiting(connection, seen, parts, depends_on),
        'depends_on': [{'id': job_id, 'status': status} for job_id, status in depends_on.items()],
        'dependents': [{'id': job_id, 'status': status} for job_id, status in dependents.items()],
        'running': [
            {'execution': run.name, 'worker': run.worker, 'started_at': timestamp(run.started_at)} for run in parts.runs
        ],
        'executions': [{**entry, 'started': _moment(entry.get('started'))} for entry in parts.usage],
        'crashes': parts.crashes,
        'error': parts.error,
        'has_output': parts.has_output,
        'unreadable': [
            {'field': fault.field, 'value': show_bytes(fault.value), 'error': fault.error}
            for fault in (*seen.faults, *parts.faults)
        ],
    }


def _states(connection: Any, reader: Reader, job_ids: list[str]) -> dict[str, str | None]:
    found = see_jobs(connection, job_ids, Looking(reader))
    return {job_id: None if seen is None else seen.status for job_id, seen in zip(job_ids, found, strict=True)}


def _moment(seconds: Any) -> str | None:
    try:
        return timestamp(datetime.fromtimestamp(seconds, tz=timezone.utc))
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _progress(meta: Any) -> str | None:
    """Return in words what `rq_leveldb.progress` has kept; None if there is nothing of the kind."""
    if not isinstance(meta, dict):
        return None
    percent, text = meta.get('progress'), meta.get('progress_text')
    if isinstance(percent, bool) or not isinstance(percent, int):
        return None
    return f'{percent} %, {text}' if isinstance(text, str) and text else f'{percent} %'

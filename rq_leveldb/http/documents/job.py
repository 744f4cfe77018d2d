"""How a job looks in JSON."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict
from urllib.parse import quote

from rq.job import Job
from rq.results import Result

from rq_leveldb.http.documents.values import Also, Faults, between, fault_documents, from_seconds
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.jobs.error_text import read_error
from rq_leveldb.jobs.moment import Moment, timestamp
from rq_leveldb.jobs.parts import read_parts
from rq_leveldb.lookup import Seen, is_refused, replies
from rq_leveldb.reading import read_call, show
from rq_leveldb.records import output_key

__all__ = [
    'JobDocument',
    'JobId',
    'JobSummaryDocument',
    'ResultDocument',
    'full',
    'job_url',
    'output',
    'result_document',
    'summary',
]


# Of the jobs to which one refers, how many are named.
_MOST_LINKED = 100

JobId = Annotated[str, 'Id of a job.']


class JobSummaryDocument(TypedDict):
    """A job in a list. A value that is not JSON is null; its field with `_repr` has it as Python writes it."""

    id: str
    url: str
    status: str
    error: Annotated[str | None, 'Of a job that failed: type of the exception and first line of its message.']
    error_type: str | None
    queue: str
    function: str | None
    description: str | None
    args: Any
    args_repr: str | None
    kwargs: Any
    kwargs_repr: str | None
    meta: Any
    meta_repr: str | None
    created_at: Moment | None
    scheduled_at: Annotated[Moment | None, 'When a scheduled job is due.']
    enqueued_at: Moment | None
    started_at: Moment | None
    ended_at: Moment | None
    wait_seconds: float | None
    duration_seconds: float | None
    worker: str | None
    timeout: float | None
    ttl: int | None
    result_ttl: int | None
    failure_ttl: int | None
    retries_left: int | None
    retry_intervals: list[int] | None
    repeats_left: int | None
    repeat_intervals: list[int] | None
    group: str | None
    depends_on: list[str]
    on_success: str | None
    on_failure: str | None
    on_stopped: str | None
    faults: Faults


class ResultDocument(TypedDict):
    """How a run ended."""

    type: Annotated[str, Also({'enum': [kind.name.lower() for kind in Result.Type]})]
    at: Moment | None
    value: Annotated[Any, 'What the function returned, if it is JSON; else null.']
    value_repr: Annotated[str | None, 'What it returned, as Python writes it, if it is not JSON.']
    exception: Annotated[str | None, 'The traceback.']
    worker: str | None
    execution: str | None
    started_at: Moment | None
    ended_at: Moment | None
    duration_seconds: float | None


class ExecutionDocument(TypedDict):
    """A run that has not ended."""

    id: str
    worker: str | None
    started_at: Moment | None
    last_heartbeat: Moment | None


class LinkedJobDocument(TypedDict):
    """A job to which another one refers. Its status is null if it is gone."""

    id: str
    url: str
    status: str | None
    description: str | None


class JobDocument(JobSummaryDocument):
    """Everything about a job. A value that is not JSON is null; its field with `_repr` has it as Python writes it."""

    position: Annotated[int | None, 'Number of jobs before it in its queue.']
    dependents: list[str]
    dependency_jobs: Annotated[list[LinkedJobDocument], 'The first hundred of the jobs it depends on.']
    dependent_jobs: Annotated[list[LinkedJobDocument], 'The first hundred of the jobs that depend on it.']
    result: Annotated[Any, 'The latest result, if it is JSON; else null.']
    result_repr: Annotated[str | None, 'The latest result, as Python writes it, if it is not JSON.']
    exception: str | None
    results: list[ResultDocument]
    executions: list[ExecutionDocument]
    usage: Annotated[list[Any], 'CPU time, memory and exit of each run, if the worker records them.']
    has_log: bool


def job_url(job_id: str) -> str:
    """Return the path of a job.

    Args:
        job_id: its id; only RQ sees to it that it has no character that would have to be quoted.
    """
    return f'/v1/jobs/{quote(job_id, safe="")}'


def summary(backend: Backend, seen: Seen, error: str | None = None, due: float | None = None) -> JobSummaryDocument:
    """Return what a list shows of a job, without further round trips.

    Args:
        backend: for its reader.
        seen: a job that was found.
        error: what is kept of its error.
        due: its score in the registry of scheduled jobs.
    """
    job = seen.job
    short = read_error(error) if seen.status == 'failed' else None
    name, args, kwargs = read_call(backend.reader, job.data)
    meta: Any = job.meta
    if job._unreadable_meta is not None:
        meta = backend.reader.look(job._unreadable_meta)
    positional, keyword, about = show(args), show(kwargs), show(meta)
    return {
        'id': job.id,
        'url': job_url(job.id),
        'status': seen.status,
        'error': None if short is None else short.line,
        'error_type': None if short is None else short.kind,
        'queue': job.origin,
        'function': name,
        'description': job.description,
        'args': positional.value,
        'args_repr': positional.repr,
        'kwargs': keyword.value,
        'kwargs_repr': keyword.repr,
        'meta': about.value,
        'meta_repr': about.repr,
        'created_at': timestamp(job.created_at),
        'scheduled_at': timestamp(from_seconds(due)),
        'enqueued_at': timestamp(job.enqueued_at),
        'started_at': timestamp(job.started_at),
        'ended_at': timestamp(job.ended_at),
        'wait_seconds': between(job.enqueued_at, job.started_at),
        'duration_seconds': between(job.started_at, job.ended_at),
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


def result_document(result: Result) -> ResultDocument:
    """Return one result in JSON.

    Args:
        result: read with the reader's `look`.
    """
    returned = show(result.return_value)
    return {
        'type': result.type.name.lower(),
        'at': timestamp(result.created_at),
        'value': returned.value,
        'value_repr': returned.repr,
        'exception': result.exc_string or None,
        'worker': result.worker_name or None,
        'execution': result.execution_id,
        'started_at': timestamp(result.execution_started_at),
        'ended_at': timestamp(result.execution_ended_at),
        'duration_seconds': between(result.execution_started_at, result.execution_ended_at),
    }


def full(backend: Backend, seen: Seen) -> JobDocument:
    """Return everything that is known about a job.

    Args:
        backend: the store.
        seen: a job that was found.
    """
    job = seen.job
    parts = read_parts(backend.connection, backend.reader, seen)
    latest = parts.results[0] if parts.results else None
    dependencies = list(job._dependency_ids)[:_MOST_LINKED]
    linked = _linked(backend, [*dependencies, *parts.dependents[:_MOST_LINKED]])
    returned = show(latest.return_value if latest is not None else None)
    return {
        **summary(backend, seen, parts.error, parts.due),
        'position': parts.position,
        'dependents': parts.dependents,
        'dependency_jobs': linked[: len(dependencies)],
        'dependent_jobs': linked[len(dependencies) :],
        'result': returned.value,
        'result_repr': returned.repr,
        'exception': parts.error,
        'results': [result_document(result) for result in parts.results],
        'executions': [
            {
                'id': run.name,
                'worker': run.worker,
                'started_at': timestamp(run.started_at),
                'last_heartbeat': timestamp(run.last_heartbeat),
            }
            for run in parts.runs
        ],
        'usage': parts.usage,
        'has_log': parts.has_output,
        'faults': fault_documents((*seen.faults, *parts.faults)),
    }


def _linked(backend: Backend, job_ids: list[str]) -> list[LinkedJobDocument]:
    return [
        {
            'id': job_id,
            'url': job_url(job_id),
            'status': None if seen is None else seen.status,
            'description': None if seen is None else seen.job.description,
        }
        for job_id, seen in zip(job_ids, backend.jobs(job_ids), strict=True)
    ]


def output(backend: Backend, job: Job) -> str | None:
    """Return what the worker kept of a job's output, None where it kept nothing.

    Args:
        backend: the store.
        job: the job.
    """
    (stored,) = replies(backend.connection.pipeline(transaction=False).get(output_key(job.id)))
    if is_refused(stored):
        return f'(The key {output_key(job.id)} holds another type of value than a string.)'
    return stored.decode('utf-8', 'replace') if isinstance(stored, bytes) else None

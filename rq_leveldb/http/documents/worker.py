"""How a worker looks in JSON."""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Annotated, TypedDict
from urllib.parse import quote

from redis.client import Pipeline
from rq.worker import BaseWorker

from rq_leveldb.http.documents.job import job_url
from rq_leveldb.http.documents.values import Faults, fault_documents
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.jobs.moment import Moment, timestamp
from rq_leveldb.jobs.parts import running
from rq_leveldb.lookup import Fields, is_refused, replies, wrong_type
from rq_leveldb.process import Identity, boot_id, is_alive
from rq_leveldb.reading import read_call
from rq_leveldb.records import PID_STARTED_FIELD
from rq_leveldb.unreadable import Fault

__all__ = ['WorkerDocument', 'worker_documents']

_PREFIX = BaseWorker.redis_worker_namespace_prefix


class ChildDocument(TypedDict):
    """A running child."""

    job: str
    job_url: str
    function: str | None
    description: str | None
    queue: str | None
    execution: str
    pid: int | None
    started_at: Moment | None
    age_seconds: float | None
    memory_bytes: int | None


class WorkerDocument(TypedDict):
    """A worker."""

    name: str
    url: str
    state: str
    queues: list[str]
    pid: int | None
    host: str | None
    rq_version: str | None
    python_version: str | None
    started_at: Moment | None
    last_heartbeat: Moment | None
    finished: int
    failed: int
    working_seconds: float
    max_children: Annotated[int | None, "Null for RQ's own worker."]
    children: list[ChildDocument]
    faults: Faults


def worker_documents(backend: Backend, names: list[str], *, with_jobs: bool = True) -> list[WorkerDocument]:
    """Return workers in JSON, without those that are gone.

    Args:
        backend: the store.
        names: their names.
        with_jobs: whether to read what their children run.
    """
    if not names:
        return []
    pipe: Pipeline = backend.connection.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(_PREFIX + name)
        pipe.smembers(f'{_PREFIX}{name}:executions')
    found = replies(pipe)
    documents: list[WorkerDocument] = []
    for name, raw, members in zip(names, found[::2], found[1::2], strict=True):
        if not is_refused(raw) and (not raw or b'death' in raw):
            continue
        fields = Fields(raw, _PREFIX + name)
        if is_refused(members):
            fields.faults.append(wrong_type('executions', f'{_PREFIX}{name}:executions'))
            members = ()
        executions = sorted(member.decode('utf-8', 'replace') for member in members)
        documents.append(_document(backend, name, fields, executions, with_jobs))
    return documents


def _document(backend: Backend, name: str, fields: Fields, executions: list[str], with_jobs: bool) -> WorkerDocument:
    return {
        'name': name,
        'url': f'/v1/workers/{quote(name, safe="")}',
        'state': fields.text('state') or '?',
        'queues': [queue for queue in (fields.text('queues') or '').split(',') if queue],
        'pid': fields.whole('pid'),
        'host': fields.text('hostname'),
        'rq_version': fields.text('version'),
        'python_version': (fields.text('python_version') or '').split(' ')[0] or None,
        'started_at': timestamp(fields.moment('birth')),
        'last_heartbeat': timestamp(fields.moment('last_heartbeat')),
        'finished': fields.whole('successful_job_count') or 0,
        'failed': fields.whole('failed_job_count') or 0,
        'working_seconds': fields.number('total_working_time') or 0.0,
        'max_children': fields.whole('max_children'),
        'children': _children(backend, executions, fields.faults, with_jobs),
        # After all that may add to them.
        'faults': fault_documents(fields.faults),
    }


def _children(backend: Backend, executions: list[str], faults: list[Fault], with_jobs: bool) -> list[ChildDocument]:
    """Return the running children; with pid and memory where the worker says which process runs them."""
    found: list[ChildDocument] = []
    runs = list(running(backend.connection, '', executions, faults))
    jobs = backend.jobs([name.partition(':')[0] for name, _ in runs]) if with_jobs else [None] * len(runs)
    for (name, fields), seen in zip(runs, jobs, strict=True):
        job_id, _, execution_id = name.partition(':')
        pid = fields.whole('pid')
        started = fields.seconds('created_at')
        found.append(
            {
                'job': job_id,
                'job_url': job_url(job_id),
                'function': None if seen is None else read_call(backend.reader, seen.job.data)[0],
                'description': None if seen is None else seen.job.description,
                'queue': None if seen is None else seen.job.origin,
                'execution': execution_id,
                'pid': pid,
                'started_at': timestamp(started),
                'age_seconds': None if started is None else round(max(0.0, time.time() - started.timestamp()), 3),
                'memory_bytes': _memory(pid, fields.text(PID_STARTED_FIELD) or ''),
            }
        )
    return found


def _memory(pid: int | None, started: str) -> int | None:
    """Return the resident memory of a process of this machine, bytes; None where it is not known."""
    if pid is None or not is_alive(Identity(pid, started, boot_id())):
        return None
    try:
        pages = int(Path(f'/proc/{pid}/statm').read_text('ascii').split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()

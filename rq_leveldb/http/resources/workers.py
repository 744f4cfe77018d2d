"""Workers: list, one with its children, change the number of children, shut down."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import falcon
from redis.client import Pipeline
from rq.command import send_command, send_shutdown_command
from rq.defaults import RQ_KEY_PREFIX
from rq.worker import BaseWorker

from rq_leveldb.http.documents.job import fault_documents, job_url, strange_documents, timestamp
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import body, fields, query
from rq_leveldb.http.resources.job_actions import options
from rq_leveldb.lookup import Fields, find_workers, is_refused, replies, wrong_type
from rq_leveldb.process import Identity, boot_id, is_alive
from rq_leveldb.unreadable import Fault

__all__ = ['CHILDREN_COMMAND', 'MOST_CHILDREN', 'OneWorker', 'Workers', 'worker_documents']

CHILDREN_COMMAND = 'children'
"""The command by which a worker of ours changes its number of children."""
MOST_CHILDREN = 1000

_PREFIX = BaseWorker.redis_worker_namespace_prefix


def worker_documents(backend: Backend, names: list[str]) -> list[dict[str, Any]]:
    """Return workers in JSON, without those that are gone.

    Args:
        backend: the store.
        names: their names.
    """
    if not names:
        return []
    pipe: Pipeline = backend.connection.pipeline(transaction=False)
    for name in names:
        pipe.hgetall(_PREFIX + name)
        pipe.smembers(f'{_PREFIX}{name}:executions')
    found = replies(pipe)
    documents = []
    for name, raw, members in zip(names, found[::2], found[1::2], strict=True):
        if not is_refused(raw) and (not raw or b'death' in raw):
            continue
        fields = Fields(raw, _PREFIX + name)
        if is_refused(members):
            fields.faults.append(wrong_type('executions', f'{_PREFIX}{name}:executions'))
            members = ()
        executions = sorted(member.decode('utf-8', 'replace') for member in members)
        documents.append(_document(backend, name, fields, executions))
    return documents


def worker_names(backend: Backend) -> list[str]:
    """Return the names of all workers, sorted; what stands among them and is none is left out.

    Args:
        backend: the store.
    """
    return find_workers(backend.connection).names


class Workers:
    """All workers.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the workers, by name."""
        workers = find_workers(self._backend.connection)
        page, more = query.page_of(request, workers.names)
        body.answer(
            response,
            {
                'items': worker_documents(self._backend, page),
                'next': more,
                'unreadable': strange_documents(workers.strange),
            },
        )


class OneWorker:
    """One worker.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Show a worker with its running children."""
        query.read_query(request, {})
        body.answer(response, self._existing(name))

    def on_patch(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Change how many children a worker may have; 0 drains it, and lowering kills nothing."""
        wanted = options(self._backend, request, {'max_children': fields.integer(0, MOST_CHILDREN)}, required=True)
        if 'max_children' not in wanted:
            raise fields.refuse([FieldError('is required', pointer='/max_children')])
        document = self._existing(name)
        if document['max_children'] is None:
            raise Problem(
                409,
                'one-child-only',
                'This worker runs one job at a time',
                "It is RQ's own Worker, whose number of children cannot be changed.",
                hint='Start rq-leveldb worker.',
            )
        send_command(self._backend.connection, name, CHILDREN_COMMAND, children=wanted['max_children'])
        body.answer(response, {**document, 'max_children': wanted['max_children']}, falcon.HTTP_202)

    def on_post_shutdown(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Ask a worker to finish its jobs and end."""
        options(self._backend, request, {})
        document = self._existing(name)
        send_shutdown_command(self._backend.connection, name)
        body.answer(response, document, falcon.HTTP_202)

    def _existing(self, name: str) -> dict[str, Any]:
        found = worker_documents(self._backend, [name])
        if not found:
            raise Problem(404, 'no-such-worker', 'There is no such worker', f'No worker {name[:200]!r} is running.')
        return found[0]


def _document(backend: Backend, name: str, fields: Fields, executions: list[str]) -> dict[str, Any]:
    document = {
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
        'children': _children(backend, executions, fields.faults),
    }
    return {**document, 'faults': fault_documents(fields.faults)}


def _children(backend: Backend, executions: list[str], faults: list[Fault]) -> list[dict[str, Any]]:
    """Return the running jobs; with pid and memory where the worker says which process runs them."""
    pipe: Pipeline = backend.connection.pipeline(transaction=False)
    keys = [f'{RQ_KEY_PREFIX}:execution:{name}' for name in executions]
    for key in keys:
        pipe.hgetall(key)
    found = []
    for name, key, raw in zip(executions, keys, replies(pipe) if keys else [], strict=True):
        if not is_refused(raw) and not raw:
            # It has ended since.
            continue
        fields = Fields(raw, key)
        job_id, _, execution_id = name.partition(':')
        pid = fields.whole('pid')
        started = fields.seconds('created_at')
        found.append(
            {
                'job': job_id,
                'job_url': job_url(job_id),
                'execution': execution_id,
                'pid': pid,
                'started_at': timestamp(started),
                'age_seconds': None if started is None else round(max(0.0, time.time() - started.timestamp()), 3),
                'memory_bytes': _memory(pid, fields.text('pid_started') or ''),
            }
        )
        faults += [replace(fault, field=f'executions/{name}/{fault.field}') for fault in fields.faults]
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

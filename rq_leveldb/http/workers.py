"""Workers: list, one with its children, change the number of children, shut down."""

from __future__ import annotations

import resource
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import falcon
from redis.client import Pipeline
from rq.command import send_command, send_shutdown_command
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import utcparse
from rq.worker import BaseWorker
from rq.worker_registration import get_keys

from rq_leveldb.http import body, fields, query
from rq_leveldb.http.backend import Backend
from rq_leveldb.http.job_actions import options
from rq_leveldb.http.job_view import job_url, timestamp
from rq_leveldb.http.problems import FieldError, Problem
from rq_leveldb.process import Identity, boot_id, is_alive

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
    replies = pipe.execute()
    documents = []
    for name, raw, members in zip(names, replies[::2], replies[1::2], strict=True):
        if not raw or b'death' in raw:
            continue
        data = {key.decode(): value.decode('utf-8', 'replace') for key, value in raw.items()}
        documents.append(_document(backend, name, data, sorted(member.decode() for member in members)))
    return documents


def worker_names(backend: Backend) -> list[str]:
    """Return the names of all workers, sorted.

    Args:
        backend: the store.
    """
    return sorted(key[len(_PREFIX) :] for key in get_keys(connection=backend.connection))


class Workers:
    """All workers.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the workers, by name."""
        wanted = query.read_query(request, {'limit': query.limit, 'cursor': fields.text(2000)})
        names = worker_names(self._backend)
        if 'cursor' in wanted:
            names = [name for name in names if name > wanted['cursor']]
        limit = wanted.get('limit', query.MOST_LIMIT)
        page = names[:limit]
        more = page[-1] if len(names) > limit else None
        body.answer(response, {'items': worker_documents(self._backend, page), 'next': more})


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


def _document(backend: Backend, name: str, data: dict[str, str], executions: list[str]) -> dict[str, Any]:
    return {
        'name': name,
        'url': f'/v1/workers/{quote(name, safe="")}',
        'state': data.get('state', '?'),
        'queues': [queue for queue in data.get('queues', '').split(',') if queue],
        'pid': _integer(data.get('pid')),
        'host': data.get('hostname') or None,
        'rq_version': data.get('version') or None,
        'python_version': (data.get('python_version') or '').split(' ')[0] or None,
        'started_at': _time(data.get('birth')),
        'last_heartbeat': _time(data.get('last_heartbeat')),
        'finished': _integer(data.get('successful_job_count')) or 0,
        'failed': _integer(data.get('failed_job_count')) or 0,
        'working_seconds': float(data.get('total_working_time') or 0),
        'max_children': _integer(data.get('max_children')),
        'children': _children(backend, executions),
    }


def _children(backend: Backend, executions: list[str]) -> list[dict[str, Any]]:
    """Return the running jobs; with pid and memory where the worker says which process runs them."""
    pipe: Pipeline = backend.connection.pipeline(transaction=False)
    for key in executions:
        pipe.hgetall(f'{RQ_KEY_PREFIX}:execution:{key}')
    found = []
    for key, raw in zip(executions, pipe.execute() if executions else [], strict=True):
        if not raw:
            # It has ended since.
            continue
        job_id, _, execution_id = key.partition(':')
        pid = _integer(raw.get(b'pid', b'').decode())
        started = float(raw.get(b'created_at') or 0)
        found.append(
            {
                'job': job_id,
                'job_url': job_url(job_id),
                'execution': execution_id,
                'pid': pid,
                'started_at': timestamp(datetime.fromtimestamp(started, timezone.utc)),
                'age_seconds': round(max(0.0, time.time() - started), 3),
                'memory_bytes': _memory(pid, raw.get(b'pid_started', b'').decode()),
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


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.lstrip('-').isdigit() else None


def _time(text: str | None) -> str | None:
    try:
        return timestamp(utcparse(text)) if text else None
    except ValueError:
        return None

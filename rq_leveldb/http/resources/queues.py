"""Queues: list with counts per state, one queue, empty, delete; suspending all workers."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

import falcon
from redis.client import Pipeline
from rq.suspension import WORKERS_SUSPENDED, is_suspended, resume, suspend
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from rq_leveldb.http.documents.job import fault_documents, strange_documents
from rq_leveldb.http.queueing.backend import Backend, acting
from rq_leveldb.http.queueing.states import counts
from rq_leveldb.http.request import body, fields, query
from rq_leveldb.http.resources.job_actions import options
from rq_leveldb.lookup import find_queues, is_refused, registry_key, replies, wrong_type
from rq_leveldb.unreadable import Fault

__all__ = ['OneQueue', 'Queues', 'Suspension', 'oldest_waiting', 'queue_documents']


def oldest_waiting(backend: Backend, names: list[str]) -> list[float | None]:
    """Return for each queue how long the job at its front has waited, seconds; None for an empty queue.

    Args:
        backend: the store.
        names: the queues.
    """
    pipe = backend.connection.pipeline(transaction=False)
    for name in names:
        pipe.lindex(backend.queue(name).key, 0)
    first = [None if is_refused(member) else member for member in replies(pipe)] if names else []
    jobs = backend.jobs([member.decode('utf-8', 'replace') for member in first if member is not None])
    found = iter(jobs)
    now = time.time()
    ages: list[float | None] = []
    for member in first:
        seen = next(found) if member is not None else None
        since = seen.job.enqueued_at or seen.job.created_at if seen is not None and not seen.faults else None
        ages.append(None if since is None else round(max(0.0, now - since.timestamp()), 3))
    return ages


def queue_documents(backend: Backend, names: list[str]) -> list[dict[str, Any]]:
    """Return queues in JSON.

    Args:
        backend: the store.
        names: the queues.
    """
    if not names:
        return []
    pipe: Pipeline = backend.connection.pipeline(transaction=False)
    for name in names:
        pipe.scard(WORKERS_BY_QUEUE_KEY % name)
    workers = replies(pipe)
    return [
        {
            'name': name,
            'url': f'/v1/queues/{quote(name, safe="")}',
            'counts': count,
            'oldest_waiting_seconds': age,
            'workers': None if is_refused(number) else int(number),
            'faults': fault_documents(_faults(name, count, number)),
        }
        for name, count, age, number in zip(
            names, counts(backend, names), oldest_waiting(backend, names), workers, strict=True
        )
    ]


def _faults(name: str, count: dict[str, int | None], workers: Any) -> list[Fault]:
    faults = [wrong_type(state, registry_key(state, name)) for state, number in count.items() if number is None]
    if is_refused(workers):
        faults.append(wrong_type('workers', WORKERS_BY_QUEUE_KEY % name))
    return faults


class Queues:
    """All queues.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """List the queues with their counts, by name."""
        queues = find_queues(self._backend.connection)
        page, more = query.page_of(request, queues.names)
        body.answer(
            response,
            {
                'items': queue_documents(self._backend, page),
                'next': more,
                'unreadable': strange_documents(queues.strange),
            },
        )


class OneQueue:
    """One queue.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Show a queue with its counts."""
        query.read_query(request, {})
        self._backend.existing_queue(name)
        body.answer(response, queue_documents(self._backend, [name])[0])

    def on_delete(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Delete a queue and the jobs that wait in it."""
        query.read_query(request, {})
        queue = self._backend.existing_queue(name)
        with acting(f'queue {name}'):
            queue.delete()
        response.status = falcon.HTTP_204

    def on_post_empty(self, request: falcon.Request, response: falcon.Response, name: str) -> None:
        """Delete the jobs that wait in a queue."""
        options(self._backend, request, {})
        queue = self._backend.existing_queue(name)
        with acting(f'queue {name}'):
            removed = queue.empty()
        body.answer(response, {'name': name, 'removed': int(removed or 0)})


class Suspension:
    """Whether workers take jobs.

    Args:
        backend: the store.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        """Say whether all workers are suspended, and for how long."""
        query.read_query(request, {})
        self._answer(response)

    def on_put(self, request: falcon.Request, response: falcon.Response) -> None:
        """Suspend all workers, for some seconds or until resumed."""
        wanted = options(self._backend, request, {'ttl': fields.seconds(least=1)})
        suspend(self._backend.connection, wanted.get('ttl'))
        self._answer(response)

    def on_delete(self, request: falcon.Request, response: falcon.Response) -> None:
        """Resume all workers."""
        query.read_query(request, {})
        resume(self._backend.connection)
        response.status = falcon.HTTP_204

    def _answer(self, response: falcon.Response) -> None:
        left = self._backend.connection.ttl(WORKERS_SUSPENDED)
        body.answer(
            response,
            {
                'is_suspended': bool(is_suspended(self._backend.connection)),
                'seconds_left': left if isinstance(left, int) and left >= 0 else None,
            },
        )

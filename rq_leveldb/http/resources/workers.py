"""Workers: list, show with children, change the number of children, shut down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from rq.command import send_command, send_shutdown_command

from rq_leveldb.http.documents.values import Page
from rq_leveldb.http.documents.worker import WorkerDocument, worker_documents
from rq_leveldb.http.problems import NoSuchWorker, OneChildOnly
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.http.request import fields, query
from rq_leveldb.http.request.fields import Record
from rq_leveldb.http.resources.job_actions import NOTHING
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.lookup import find_workers
from rq_leveldb.records import CHILDREN_COMMAND

__all__ = ['routes']


_WorkerName = Annotated[str, 'Name of a worker.']
_CHANGE = Record({'max_children': fields.integer(0, 1000).required()}, 'WorkerChange', description='What to change.')


def list_workers(call: Call) -> Page[WorkerDocument]:
    """List the workers, by name."""
    workers = find_workers(call.backend.connection)
    names, more = query.page_of(workers.names, call.query)
    return Page(worker_documents(call.backend, names), more, workers.strange)


def show_worker(call: Call, name: _WorkerName) -> WorkerDocument:
    """Show a worker with its running children."""
    return _existing(call.backend, name)


def change_worker(call: Call, name: _WorkerName) -> WorkerDocument:
    """Change how many children a worker may have; 0 drains it, and lowering kills nothing."""
    document = _existing(call.backend, name)
    if document['max_children'] is None:
        raise OneChildOnly("It is RQ's own Worker, whose number of children cannot be changed.")
    most = call.values['max_children']
    send_command(call.backend.connection, name, CHILDREN_COMMAND, children=most)
    return {**document, 'max_children': most}


def shut_down_worker(call: Call, name: _WorkerName) -> WorkerDocument:
    """Ask a worker to finish its jobs and exit."""
    document = _existing(call.backend, name)
    send_shutdown_command(call.backend.connection, name)
    return document


def _existing(backend: Backend, name: str) -> WorkerDocument:
    found = worker_documents(backend, [name])
    if not found:
        raise NoSuchWorker(f'No worker {name[:200]!r} is running.')
    return found[0]


def routes() -> Sequence[Route]:
    """Return the routes."""
    workers, worker = '/v1/workers', '/v1/workers/{name}'
    return (
        Route('GET', workers, list_workers, query=query.BY_NAME),
        Route('GET', worker, show_worker, (NoSuchWorker,)),
        Route('PATCH', worker, change_worker, (NoSuchWorker, OneChildOnly), body=_CHANGE, status=202),
        Route('POST', f'{worker}/shutdown', shut_down_worker, (NoSuchWorker,), body=NOTHING, status=202),
    )

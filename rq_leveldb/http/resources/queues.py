"""Queues: list with counts per state, show, pause, resume, empty, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from rq_leveldb.http.documents.queue import QueueDocument, queue_documents
from rq_leveldb.http.documents.values import Page
from rq_leveldb.http.problems import NoSuchQueue, UnreadableRecord
from rq_leveldb.http.queueing.backend import acting
from rq_leveldb.http.request import query
from rq_leveldb.http.resources.job_actions import NOTHING
from rq_leveldb.http.routing.route import Call, Route
from rq_leveldb.lookup import find_paused, find_queues
from rq_leveldb.paused_queues import pause, resume

__all__ = ['routes']


_QueueName = Annotated[str, 'Name of a queue.']


class EmptiedDocument(TypedDict):
    """An emptied queue, and the number of jobs that were removed."""

    name: str
    removed: int


def list_queues(call: Call) -> Page[QueueDocument]:
    """List the queues with their counts, by name."""
    queues = find_queues(call.backend.connection)
    names, more = query.page_of(queues.names, call.query)
    strange = (*queues.strange, *find_paused(call.backend.connection).strange)
    return Page(queue_documents(call.backend, names), more, strange)


def show_queue(call: Call, name: _QueueName) -> QueueDocument:
    """Show a queue with its counts."""
    call.backend.existing_queue(name)
    return queue_documents(call.backend, [name])[0]


def pause_queue(call: Call, name: _QueueName) -> QueueDocument:
    """Let workers take nothing from a queue until it is resumed; running jobs go on, and new ones wait."""
    pause(call.backend.existing_queue(name))
    return queue_documents(call.backend, [name])[0]


def resume_queue(call: Call, name: _QueueName) -> QueueDocument:
    """Let workers take jobs from a queue again."""
    resume(call.backend.existing_queue(name))
    return queue_documents(call.backend, [name])[0]


def delete_queue(call: Call, name: _QueueName) -> None:
    """Delete a queue and the jobs that wait in it. Another queue of its name is not paused."""
    queue = call.backend.existing_queue(name)
    with acting(f'queue {name}'):
        queue.delete()
        resume(queue)


def empty_queue(call: Call, name: _QueueName) -> EmptiedDocument:
    """Delete the jobs that wait in a queue."""
    queue = call.backend.existing_queue(name)
    with acting(f'queue {name}'):
        removed = queue.empty()
    return {'name': name, 'removed': int(removed or 0)}


def routes() -> Sequence[Route]:
    """Return the routes."""
    queues, queue = '/v1/queues', '/v1/queues/{name}'
    changing = (NoSuchQueue, UnreadableRecord)
    return (
        Route('GET', queues, list_queues, query=query.BY_NAME),
        Route('GET', queue, show_queue, (NoSuchQueue,)),
        Route('DELETE', queue, delete_queue, changing, status=204),
        Route('POST', f'{queue}/pause', pause_queue, changing, body=NOTHING),
        Route('POST', f'{queue}/resume', resume_queue, changing, body=NOTHING),
        Route('POST', f'{queue}/empty', empty_queue, changing, body=NOTHING),
    )

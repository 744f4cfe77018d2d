"""How a queue looks in JSON."""

from __future__ import annotations

from typing import Annotated, TypedDict
from urllib.parse import quote

from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from rq_leveldb.http.documents.values import Also, Faults, fault_documents
from rq_leveldb.http.queueing.backend import Backend
from rq_leveldb.jobs.oldest import oldest_waiting
from rq_leveldb.lookup import COUNTED, count_jobs, count_servers, find_paused, registry_key, wrong_type
from rq_leveldb.unreadable import Fault

__all__ = ['QueueDocument', 'queue_documents']

_COUNTS = Also(
    {
        'description': 'Jobs by state, null where they cannot be counted; stopped ones count as failed.',
        'properties': {state: {'type': ['integer', 'null']} for state in COUNTED},
        'required': list(COUNTED),
        'additionalProperties': False,
    }
)


class QueueDocument(TypedDict):
    """A queue."""

    name: str
    url: str
    counts: Annotated[dict[str, int | None], _COUNTS]
    oldest_waiting_seconds: float | None
    workers: Annotated[int | None, 'Number of workers that take jobs from it.']
    is_paused: Annotated[bool, 'Whether they take none until it is resumed.']
    faults: Faults


def queue_documents(backend: Backend, names: list[str]) -> list[QueueDocument]:
    """Return queues in JSON.

    Args:
        backend: the store.
        names: the queues.
    """
    if not names:
        return []
    workers = count_servers(backend.connection, names)
    paused = find_paused(backend.connection).names
    return [
        {
            'name': name,
            'url': f'/v1/queues/{quote(name, safe="")}',
            'counts': count,
            'oldest_waiting_seconds': age,
            'workers': number,
            'is_paused': name in paused,
            'faults': fault_documents(_faults(name, count, number)),
        }
        for name, count, age, number in zip(
            names,
            count_jobs(backend.connection, names),
            oldest_waiting(backend.connection, backend.reader, names),
            workers,
            strict=True,
        )
    ]


def _faults(name: str, count: dict[str, int | None], workers: int | None) -> list[Fault]:
    faults = [wrong_type(state, registry_key(state, name)) for state, number in count.items() if number is None]
    if workers is None:
        faults.append(wrong_type('workers', WORKERS_BY_QUEUE_KEY % name))
    return faults

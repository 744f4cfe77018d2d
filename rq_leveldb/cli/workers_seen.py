"""The workers that are registered in a place: what they serve, whether they live, how much they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from rq_leveldb.lookup import Fields, find_workers, is_refused, replies
from rq_leveldb.records import MAX_CHILDREN_FIELD, VERSION_FIELD, WORKER_KEY_TEMPLATE
from rq_leveldb.worker.liveness import IDENTITY_FIELDS, is_surely_dead

__all__ = ['Registered', 'WorkerSeen', 'read_workers', 'see_workers', 'serving']


class Registered(NamedTuple):
    """What a place holds of a worker.

    Args:
        name: its name.
        key: of its record.
        fields: of its record.
        is_there: whether anything is stored there.
        busy: how many jobs it runs; None if that cannot be read.
    """

    name: str
    key: str
    fields: Fields
    is_there: bool
    busy: int | None

    @property
    def identity(self) -> dict[str, str]:
        """What it says of its process, for `liveness`."""
        return {field: self.fields.text(field) or '' for field in IDENTITY_FIELDS}


def read_workers(connection: Any, names: Sequence[str]) -> Iterator[Registered]:
    """Return what there is of workers, whether or not it can be read.

    Args:
        connection: the store.
        names: the workers' names, as `find_workers` returns them.
    """
    pipe = connection.pipeline(transaction=False)
    keys = [WORKER_KEY_TEMPLATE.format(name) for name in names]
    for key in keys:
        pipe.hgetall(key)
        pipe.scard(f'{key}:executions')
    found = iter(replies(pipe) if keys else ())
    for name, key, raw, busy in zip(names, keys, found, found, strict=True):
        yield Registered(name, key, Fields(raw, key), bool(raw), None if is_refused(busy) else busy)


@dataclass(frozen=True)
class WorkerSeen:
    """A worker.

    Args:
        name: its name.
        queues: the queues that it takes jobs from.
        busy: how many jobs it runs.
        limit: how many it may run at once.
        is_dead: whether its process is certainly gone; the next worker then recovers its jobs.
        host: the machine that it runs on.
        rq_version: version of RQ that it runs with.
        version: version of this package; None of RQ's own worker.
        last_heartbeat: when it last gave a sign of life.
    """

    name: str
    queues: list[str]
    busy: int
    limit: int
    is_dead: bool
    host: str | None
    rq_version: str | None
    version: str | None
    last_heartbeat: datetime | None


def see_workers(connection: Any) -> list[WorkerSeen]:
    """Return the workers of a place that can be read, without those that have said that they end.

    Args:
        connection: the store.
    """
    workers: list[WorkerSeen] = []
    for worker in read_workers(connection, find_workers(connection).names):
        fields = worker.fields
        if not worker.is_there or fields.faults or fields.text('death'):
            continue
        limit = fields.whole(MAX_CHILDREN_FIELD)
        workers.append(
            WorkerSeen(
                name=worker.name,
                queues=[queue for queue in (fields.text('queues') or '').split(',') if queue],
                busy=worker.busy or 0,
                # RQ's own worker runs one job at a time.
                limit=1 if limit is None else limit,
                is_dead=is_surely_dead(connection, worker.name, worker.identity),
                host=fields.text('hostname'),
                rq_version=fields.text('version'),
                version=fields.text(VERSION_FIELD),
                last_heartbeat=fields.moment('last_heartbeat'),
            )
        )
    return workers


def serving(workers: Sequence[WorkerSeen], queue: str) -> list[WorkerSeen]:
    """Return the workers that live and take jobs from a queue.

    Args:
        workers: those of the place.
        queue: the queue's name.
    """
    return [worker for worker in workers if queue in worker.queues and not worker.is_dead]

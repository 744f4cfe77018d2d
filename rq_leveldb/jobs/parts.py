"""What RQ keeps of a job outside of its record: its place, its runs, its results, the jobs that wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.results import Result
from rq.utils import as_text

from rq_leveldb.lookup import Fields, Seen, is_refused, registry_key, replies, see_results, wrong_type
from rq_leveldb.reading import Looking, Reader
from rq_leveldb.records import CRASHES_FIELD, USAGE_FIELD, output_key
from rq_leveldb.unreadable import Fault

__all__ = ['Parts', 'Run', 'read_parts', 'running']

_MOST_RESULTS = 10


@dataclass(frozen=True)
class Run:
    """A run of a job that has not ended.

    Args:
        name: RQ's name of it.
        worker: the worker's name.
        started_at: when it began.
        last_heartbeat: when its worker last said that it goes on.
    """

    name: str
    worker: str | None
    started_at: datetime | None
    last_heartbeat: datetime | None


@dataclass(frozen=True)
class Parts:
    """What belongs to a job.

    Args:
        position: number of jobs before it in its queue; None if it is not there.
        due: when it is to be enqueued, in seconds since the epoch.
        dependents: ids of the jobs that wait for it, sorted.
        usage: what its last executions used, as the worker recorded it.
        crashes: how it took its process down, the last times in a row.
        runs: its runs that have not ended.
        has_output: whether what it printed is kept.
        results: how its runs ended, the latest first.
        error: its traceback, or the reason that a worker gave; None if the latest run did not fail.
        faults: what of all that cannot be read.
    """

    position: int | None
    due: float | None
    dependents: list[str]
    usage: list[dict[str, Any]]
    crashes: list[dict[str, Any]]
    runs: list[Run]
    has_output: bool
    results: list[Result]
    error: str | None
    faults: list[Fault]


def read_parts(connection: Redis, reader: Reader, seen: Seen) -> Parts:
    """Return what belongs to a job.

    Args:
        connection: the store.
        reader: reads the results.
        seen: a job that was found.
    """
    job = seen.job
    keys = {
        'position': registry_key('queued', job.origin),
        'scheduled_at': registry_key('scheduled', job.origin),
        'dependents': job.dependents_key,
        USAGE_FIELD: as_text(job.key),
        'executions': job.execution_registry.key,
    }
    pipe = connection.pipeline(transaction=False)
    pipe.lpos(keys['position'], job.id)
    pipe.zscore(keys['scheduled_at'], job.id)
    pipe.smembers(keys['dependents'])
    pipe.hmget(keys[USAGE_FIELD], USAGE_FIELD, CRASHES_FIELD)
    pipe.zrange(keys['executions'], 0, -1)
    pipe.exists(output_key(job.id))
    *held, has_output = replies(pipe)
    faults = [wrong_type(name, keys[name]) for name, reply in zip(keys, held, strict=True) if is_refused(reply)]
    position, due, dependents, recorded, executions = (None if is_refused(reply) else reply for reply in held)
    used, crashed = recorded or (None, None)
    names = [name.decode('utf-8', 'replace') for name in executions or ()]
    runs = [
        Run(name, fields.text('worker_name'), fields.seconds('created_at'), fields.seconds('last_heartbeat'))
        for name, fields in running(connection, job.id, names, faults)
    ]
    results, broken = see_results(connection, job.id, Looking(reader), _MOST_RESULTS)
    faults += broken
    return Parts(
        position=position,
        due=due,
        dependents=sorted(item.decode('utf-8', 'replace') for item in dependents or ()),
        usage=_objects(USAGE_FIELD, used, faults),
        crashes=_objects(CRASHES_FIELD, crashed, faults),
        runs=runs,
        has_output=bool(has_output),
        results=results,
        # Older versions of RQ keep the error in the job.
        error=(results[0].exc_string if results else job._exc_info) or None,
        faults=faults,
    )


def running(connection: Redis, job_id: str, names: list[str], faults: list[Fault]) -> Iterator[tuple[str, Fields]]:
    """Read the records of runs, without those that have ended since.

    Args:
        connection: the store.
        job_id: the job of all of them; '' where each name begins with its own.
        names: RQ's names of the runs.
        faults: receives what cannot be read of a run, after it was taken.
    """
    pipe = connection.pipeline(transaction=False)
    keys = [
        f'{RQ_KEY_PREFIX}:execution:{job_id}:{name}' if job_id else f'{RQ_KEY_PREFIX}:execution:{name}'
        for name in names
    ]
    for key in keys:
        pipe.hgetall(key)
    for name, key, raw in zip(names, keys, replies(pipe) if keys else [], strict=True):
        if raw or is_refused(raw):
            fields = Fields(raw, key)
            yield name, fields
            faults += [replace(fault, field=f'executions/{name}/{fault.field}') for fault in fields.faults]


def _objects(name: str, stored: bytes | None, faults: list[Fault]) -> list[dict[str, Any]]:
    fields = Fields({name.encode(): stored or b''}, '')
    read = fields.list(name)
    good = [item for item in read if isinstance(item, dict) and all(map(_is_plain, item.values()))]
    if len(good) < len(read):
        fields.faults.append(Fault(name, stored or b'', 'not a list of objects'))
    faults += fields.faults
    return good


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float))

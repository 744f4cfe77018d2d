"""What a dead worker left, as it is found: an execution and its job, each of which may be broken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import StartedJobRegistry

from rq_leveldb.unreadable import Fault, UnreadableJob, is_wrong_type, list_aside

from .sealed import restore_sealed
from .site import Site

__all__ = ['Found', 'all_queue_names', 'find', 'read_as', 'read_fields', 'read_many', 'read_members', 'text_of']


def text_of(value: Any) -> str:
    """Return a value as text; bytes that are not UTF-8 show as escapes."""
    return value.decode('utf-8', 'backslashreplace') if isinstance(value, bytes) else str(value)


def read_as(connection: Redis, kind: str, key: str, read: Callable[[str], Any], otherwise: Any) -> Any:
    """Return what a key holds; where that is something of another type it is listed, and left alone.

    Args:
        connection: the store.
        kind: of which type it should be, in words.
        key: the key.
        read: returns what it holds.
        otherwise: what is returned for a key of another type.
    """
    try:
        return read(key)
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        list_aside(connection, key, f'holds another type of value than a {kind}')
        return otherwise


def read_members(connection: Redis, key: str) -> list[str]:
    """Return the members of a set in order, without those that are no text; an empty list for another type of value."""
    found = []
    for member in sorted(read_as(connection, 'set', key, connection.smembers, ())):
        try:
            found.append(member.decode('utf-8') if isinstance(member, bytes) else str(member))
        except UnicodeDecodeError:
            list_aside(connection, key, f'a member is no text: {text_of(member)}')
    return found


def all_queue_names(site: Site) -> list[str]:
    """Return the names of all queues that RQ knows, and of the worker's own."""
    prefix = site.queue_class.redis_queue_namespace_prefix
    known = (key.removeprefix(prefix) for key in read_members(site.connection, Queue.redis_queues_keys))
    return list(dict.fromkeys([*(queue.name for queue in site.queues), *known]))


def read_fields(connection: Redis, key: str, wanted: Sequence[str]) -> dict[str, str]:
    """Return those fields of a hash that exist; none of another type of value."""
    (fields,) = read_many(connection, [key], wanted)
    return fields


def read_many(connection: Redis, keys: Sequence[str], wanted: Sequence[str]) -> list[dict[str, str]]:
    """Return those fields of several hashes that exist, in one round trip; none of another type of value."""
    found: list[dict[str, str]] = []
    if not keys:
        return found
    with connection.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hmget(key, wanted)
        replies = pipeline.execute(raise_on_error=False)
    for key, values in zip(keys, replies, strict=True):
        if isinstance(values, Exception):
            if not is_wrong_type(values):
                raise values
            list_aside(connection, key, 'holds another type of value than a hash')
            values = [None] * len(wanted)
        found.append({name: text_of(value) for name, value in zip(wanted, values, strict=True) if value is not None})
    return found


@dataclass
class Found:
    """An execution that has not ended, and its job.

    Args:
        execution: with what could be read of it.
        fields: its fields as text; empty if it has expired.
        job: None if there is no such job, or if it cannot be read.
        fault: what is wrong with the job, if it cannot be read.
        queue_name: the job's queue.
    """

    execution: Execution
    fields: Mapping[str, str]
    job: Job | None
    fault: UnreadableJob | None
    queue_name: str

    @property
    def job_id(self) -> str:
        """The job's id."""
        return str(self.execution.job_id)


def find(site: Site, composite: str, name: str = '', queue_name: str = '') -> Found:
    """Return an execution and its job.

    Args:
        site: of the worker that looks.
        composite: the execution's composite key.
        name: the worker that had it; '' to go by the execution, else by the job.
        queue_name: where it was found; '' to go by the job.
    """
    job_id, _, execution_id = composite.rpartition(':')
    connection = site.connection
    execution = Execution(execution_id, job_id, connection)
    raw: dict[bytes, bytes] = read_as(connection, 'hash', execution.key, connection.hgetall, {})
    with contextlib.suppress(KeyError, ValueError, TypeError, OverflowError, OSError):
        execution.restore(raw)
    # The key under which it was found counts, whatever its fields say.
    execution.job_id = job_id
    fields = {text_of(field): text_of(value) for field, value in raw.items()}
    job: Job | None = None
    fault: UnreadableJob | None = None
    try:
        job = _fetch(site, job_id)
    except NoSuchJobError:
        pass
    except UnreadableJob as error:
        fault = error
    if job is not None and (status := job.get_status(refresh=False)) not in set(JobStatus):
        job, fault = None, UnreadableJob(job_id, [Fault('status', str(status or '').encode(), 'not a status')])
    if job is not None:
        queue_name = job.origin
        stored = job.worker_name or ''
    else:
        about = read_fields(connection, site.job_class.key_for(job_id), ('origin', 'worker_name'))
        stored = about.get('worker_name', '')
        queue_name = queue_name or _queue_of(site, composite, about.get('origin', ''))
    execution.worker_name = name or fields.get('worker_name') or stored
    return Found(execution, fields, job, fault, queue_name)


def _fetch(site: Site, job_id: str) -> Job:
    try:
        raw: dict[bytes, bytes] = site.connection.hgetall(site.job_class.key_for(job_id))  # type: ignore[assignment]
    except ResponseError as error:
        if not is_wrong_type(error):
            raise
        raise UnreadableJob(job_id, [Fault('', b'', 'it holds another type of value than a hash')]) from error
    if not raw:
        raise NoSuchJobError(f'No such job: {job_id}')
    return restore_sealed(site, job_id, raw)


def _queue_of(site: Site, composite: str, origin: str) -> str:
    """Return the queue in whose registry of started jobs an execution stands; what a broken job says may be wrong."""
    names = [origin, *(queue.name for queue in site.queues)]
    for name in filter(None, names):
        with contextlib.suppress(ResponseError):
            if site.connection.zscore(StartedJobRegistry.key_template.format(name), composite) is not None:
                return name
    return origin or site.queues[0].name

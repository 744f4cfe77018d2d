"""Read what RQ keeps in the store in order to show it. What cannot be read is named, and the rest is shown.

Nothing here may fail because of what is stored. A record is read as far as possible and comes with its faults. A key
that holds another type of value counts as a fault of the record that refers to it.
"""

from __future__ import annotations

import binascii
import json
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

from redis.exceptions import ResponseError
from rq import Queue
from rq.job import Job
from rq.registry import (
    BaseRegistry,
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ReadyJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)
from rq.results import Result
from rq.utils import as_text, utcparse
from rq.worker import BaseWorker
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from .records import PAUSED_KEY
from .unreadable import Fault, UnreadableJob, is_wrong_type, restore_job, show_bytes

if TYPE_CHECKING:
    from redis import Redis

__all__ = [
    'COUNTED',
    'REGISTRIES',
    'UNREADABLE',
    'Fields',
    'Names',
    'Seen',
    'Strange',
    'count_jobs',
    'count_servers',
    'find_paused',
    'find_queues',
    'find_workers',
    'is_refused',
    'registry_key',
    'replies',
    'see_jobs',
    'see_many_results',
    'see_results',
    'wrong_type',
]

UNREADABLE = 'unreadable'
"""Status of a job whose own cannot be read."""

REGISTRIES: Mapping[str, type[BaseRegistry]] = {
    'started': StartedJobRegistry,
    'finished': FinishedJobRegistry,
    'failed': FailedJobRegistry,
    'deferred': DeferredJobRegistry,
    # Briefly, between the end of the last dependency and the queue.
    'ready_to_enqueue': ReadyJobRegistry,
    'scheduled': ScheduledJobRegistry,
    'canceled': CanceledJobRegistry,
}
COUNTED = ('queued', *REGISTRIES)
"""The states that are counted; RQ keeps stopped jobs among the failed ones."""

# Scored by the time at which the entry expires.
_EXPIRING = ('finished', 'failed')
_LARGEST = 2**63 - 1
# A kilobyte of compressed data may unpack to a megabyte.
_MOST_UNPACKED = 256 << 20
_MOST_PACKING = 1032

Value = TypeVar('Value')


@dataclass(frozen=True)
class Seen:
    """A job as far as it can be read.

    Args:
        job: RQ's job; what cannot be read has RQ's default.
        faults: what cannot be read.
    """

    job: Job
    faults: tuple[Fault, ...] = ()

    @property
    def status(self) -> str:
        """Its status, or `UNREADABLE`."""
        if any(fault.field in ('', 'status') for fault in self.faults):
            return UNREADABLE
        return str(self.job.get_status(refresh=False).value)


@dataclass(frozen=True)
class Strange:
    """Something that is stored where a record should be.

    Args:
        key: where it is in the store.
        reason: what is wrong with it.
    """

    key: str
    reason: str


@dataclass(frozen=True)
class Names:
    """The names that RQ keeps of its queues or workers.

    Args:
        names: those that can be read, sorted.
        strange: what is stored among them but is not a name.
    """

    names: list[str]
    strange: tuple[Strange, ...] = ()


def replies(pipe: Any) -> list[Any]:
    """Execute a pipeline and return the replies; a key of another type is an exception among them.

    Args:
        pipe: a pipeline without a transaction.

    Raises:
        RedisError: the store refused a command for another reason.
    """
    found: list[Any] = pipe.execute(raise_on_error=False)
    for reply in found:
        if isinstance(reply, Exception) and not is_wrong_type(reply):
            raise reply
    return found


def is_refused(reply: Any) -> bool:
    """Return whether a reply says that the key holds another type."""
    return isinstance(reply, ResponseError)


def wrong_type(field: str, key: str) -> Fault:
    """Return the fault of a record whose key holds another type.

    Args:
        field: which part of the record is there; '' for all of it.
        key: the key.
    """
    return Fault(field, key.encode(), f'the key {key} holds another type of value')


def see_jobs(
    connection: Redis, job_ids: Sequence[str], serializer: Any = None, job_class: type[Job] = Job
) -> list[Seen | None]:
    """Return jobs as far as they can be read, with None for each one that is gone.

    Args:
        connection: the store.
        job_ids: their ids.
        serializer: of the jobs.
        job_class: what they become.
    """
    if not job_ids:
        return []
    pipe = connection.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hgetall(job_class.key_for(job_id))
    return [
        _see(connection, job_id, raw, serializer, job_class) for job_id, raw in zip(job_ids, replies(pipe), strict=True)
    ]


def _see(connection: Redis, job_id: str, raw: Any, serializer: Any, job_class: type[Job]) -> Seen | None:
    def make() -> Job:
        return job_class(job_id, connection=connection, serializer=serializer)

    if not is_refused(raw) and not raw:
        return None
    try:
        job = make()
    except ValueError as error:
        # RQ would not read it either. The id is shown, but the job's methods are of no use.
        nameless = job_class(connection=connection, serializer=serializer)
        nameless._id = job_id
        nameless.data = b''
        return Seen(nameless, (Fault('', job_id.encode('utf-8', 'backslashreplace'), str(error)),))
    # RQ's job needs this before it is restored.
    job.data = b''
    if is_refused(raw):
        return Seen(job, (wrong_type('', as_text(job_class.key_for(job_id))),))
    faults: list[Fault] = []
    for name in ('data', 'exc_info'):
        packed = raw.get(name.encode(), b'')
        if _is_bomb(packed):
            faults.append(Fault(name, packed, 'too large when it is unpacked'))
            raw = {**raw, name.encode(): b''}
    if b'data' not in raw:
        faults.append(Fault('data', b'', 'is missing'))
        raw = {**raw, b'data': b''}
    # Making a job takes a third of the time.
    made = [job]
    try:
        return Seen(restore_job(lambda: made.pop() if made else make(), raw), tuple(faults))
    except UnreadableJob as error:
        faults += error.faults
    broken = {fault.field for fault in faults}
    readable = {name: value for name, value in raw.items() if name.decode('utf-8', 'backslashreplace') not in broken}
    try:
        return Seen(restore_job(make, {b'data': b'', **readable}), tuple(faults))
    except UnreadableJob as error:
        job = make()
        job.data = b''
        return Seen(job, (*faults, *error.faults))


def see_results(connection: Redis, job_id: str, serializer: Any, most: int = 10) -> tuple[list[Result], list[Fault]]:
    """Return a job's results, newest first, and what cannot be read of them.

    Args:
        connection: the store.
        job_id: the job.
        serializer: reads what it returned.
        most: how many at most.
    """
    return see_many_results(connection, [job_id], serializer, most)[0]


def see_many_results(
    connection: Redis, job_ids: Sequence[str], serializer: Any, most: int = 1
) -> list[tuple[list[Result], list[Fault]]]:
    """Return the results of jobs in one round trip, each as `see_results` does.

    Args:
        connection: the store.
        job_ids: the jobs.
        serializer: reads what they returned.
        most: how many results of a job at most.
    """
    if not job_ids:
        return []
    pipe = connection.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.xrevrange(Result.get_key(job_id), '+', '-', count=most)
    return [_results(connection, *pair, serializer) for pair in zip(job_ids, replies(pipe), strict=True)]


def _results(connection: Redis, job_id: str, stored: Any, serializer: Any) -> tuple[list[Result], list[Fault]]:
    if is_refused(stored):
        return [], [wrong_type('results', Result.get_key(job_id))]
    found: list[Result] = []
    faults: list[Fault] = []
    for entry, payload in stored:
        # RQ does not convert empty values, which then are neither text nor time.
        payload = {name: value for name, value in (payload or {}).items() if value}
        try:
            if _is_bomb(binascii.a2b_base64(payload.get(b'exc_string', b''))):
                raise ValueError('too large when it is unpacked')
            found.append(Result.restore(job_id, entry.decode(), payload, connection=connection, serializer=serializer))
        except Exception as error:
            shown = b', '.join(b'%s=%s' % pair for pair in sorted(payload.items()))
            faults.append(Fault('results', shown, f'{type(error).__name__}: {error}'))
    return found, faults


def _is_bomb(packed: bytes) -> bool:
    """Return whether RQ would unpack more than is reasonable, without doing so."""
    if len(packed) * _MOST_PACKING <= _MOST_UNPACKED:
        return False
    unpacker = zlib.decompressobj()
    left = _MOST_UNPACKED
    try:
        while packed and not unpacker.eof:
            left -= len(unpacker.decompress(packed, 1 << 20))
            if left < 0:
                return True
            packed = unpacker.unconsumed_tail
    except zlib.error:
        # Not compressed; RQ takes it as it is.
        return False
    return False


def find_queues(connection: Redis) -> Names:
    """Return the names of all queues.

    Args:
        connection: the store.
    """
    return _names(connection, Queue.redis_queues_keys, Queue.redis_queue_namespace_prefix)


def find_paused(connection: Redis) -> Names:
    """Return the names of the queues that are paused.

    Args:
        connection: the store.
    """
    return _names(connection, PAUSED_KEY, Queue.redis_queue_namespace_prefix)


def find_workers(connection: Redis) -> Names:
    """Return the names of all workers.

    Args:
        connection: the store.
    """
    return _names(connection, BaseWorker.redis_workers_keys, BaseWorker.redis_worker_namespace_prefix)


def _names(connection: Redis, key: str, prefix: str) -> Names:
    pipe = connection.pipeline(transaction=False)
    pipe.smembers(key)
    (members,) = replies(pipe)
    if is_refused(members):
        return Names([], (Strange(key, 'holds another type of value than a set'),))
    names: list[str] = []
    strange: list[Strange] = []
    for member in sorted(members):
        try:
            text = member.decode()
        except UnicodeDecodeError:
            strange.append(Strange(key, f'{show_bytes(member)} in it is not UTF-8'))
            continue
        if text.startswith(prefix):
            names.append(text[len(prefix) :])
        else:
            strange.append(Strange(key, f'{show_bytes(member)} in it does not begin with {prefix}'))
    return Names(names, tuple(strange))


def registry_key(state: str, name: str) -> str:
    """Return the store's key under which a queue's jobs of a state are kept.

    Args:
        state: one of `COUNTED`.
        name: the queue's name.
    """
    if state == 'queued':
        return f'{Queue.redis_queue_namespace_prefix}{name}'
    return REGISTRIES[state].key_template.format(name)


def count_jobs(connection: Redis, names: Sequence[str]) -> list[dict[str, int | None]]:
    """Return how many jobs of each state queues have.

    This only counts, without RQ's own cleanup, which would fail jobs and call their callbacks here.

    Args:
        connection: the store.
        names: the queues.

    Returns:
        For each queue the number by state; None if the key holds another type.
    """
    if not names:
        return []
    pipe = connection.pipeline(transaction=False)
    now = time.time()
    for name in names:
        for state in COUNTED:
            key = registry_key(state, name)
            if state == 'queued':
                pipe.llen(key)
            else:
                pipe.zcard(key)
            if state in _EXPIRING:
                # As RQ removes it: below 0 is what is kept for ever.
                pipe.zcount(key, 0, now)
    found = iter(replies(pipe))

    def count(state: str) -> int | None:
        number, expired = next(found), next(found) if state in _EXPIRING else 0
        return None if is_refused(number) else max(0, int(number) - int(expired))

    return [{state: count(state) for state in COUNTED} for _ in names]


def count_servers(connection: Redis, names: Sequence[str]) -> list[int | None]:
    """Return how many workers take jobs from queues; those count whose record is there and says nothing of their end.

    Args:
        connection: the store.
        names: the queues.

    Returns:
        For each queue the number; None if the key holds another type.
    """
    if not names:
        return []
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.smembers(WORKERS_BY_QUEUE_KEY % name)
    members = replies(pipe)
    keys = sorted({key for found in members if not is_refused(found) for key in found})
    for key in keys:
        pipe.hmget(key, 'birth', 'death')
    alive = {
        key
        for key, fields in zip(keys, replies(pipe) if keys else [], strict=True)
        if is_refused(fields) or (fields[0] and not fields[1])
    }
    return [None if is_refused(found) else len(alive.intersection(found)) for found in members]


class Fields:
    """The fields of a record that is not a job, read one by one; what cannot be read is None and noted.

    Args:
        raw: the hash; an exception where the key holds another type.
        key: the key.
    """

    def __init__(self, raw: Any, key: str) -> None:
        self.faults: list[Fault] = []
        self._raw: Mapping[bytes, bytes] = {}
        if is_refused(raw):
            self.faults.append(wrong_type('', key))
        else:
            self._raw = raw

    def text(self, name: str) -> str | None:
        """Return a field as text, None where it is empty or missing."""
        return self._read(name, str)

    def whole(self, name: str) -> int | None:
        """Return a field as an integer of 64 bits."""
        return self._read(name, _whole)

    def number(self, name: str) -> float | None:
        """Return a field as a finite number."""
        return self._read(name, _number)

    def moment(self, name: str) -> datetime | None:
        """Return a field as the point in time that RQ writes as text."""
        return self._read(name, utcparse)

    def seconds(self, name: str) -> datetime | None:
        """Return a field as the point in time that RQ writes as seconds since the epoch; RQ requires it."""
        found = self._read(name, _from_seconds)
        if found is None and not any(fault.field in ('', name) for fault in self.faults):
            self.faults.append(Fault(name, self._raw.get(name.encode(), b''), 'is missing'))
        return found

    def list(self, name: str) -> list[Any]:
        """Return a field as the list that its JSON holds, or an empty list if it cannot be read."""
        return self._read(name, _list) or []

    def _read(self, name: str, convert: Callable[[str], Value]) -> Value | None:
        value = self._raw.get(name.encode())
        if not value:
            return None
        try:
            return convert(value.decode())
        except (ValueError, TypeError, OverflowError, OSError, RecursionError) as error:
            self.faults.append(Fault(name, value, f'{type(error).__name__}: {error}'))
            return None


def _whole(text: str) -> int:
    value = int(text)
    if abs(value) > _LARGEST:
        raise ValueError('too large a number')
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError('not a finite number')
    return value


def _from_seconds(text: str) -> datetime:
    return datetime.fromtimestamp(_number(text), timezone.utc)


def _list(text: str) -> list[Any]:
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError('not a list')
    return value

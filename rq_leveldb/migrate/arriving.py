"""Jobs that come into the target: their keys are written there, and they come into queues and registries.

Each comes where it was in the source, except for those that RQ itself would do something about now: a dependent whose
dependencies have ended is enqueued, and a job with a rate limit waits for its turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rq.job import JobStatus
from rq.queue import Queue
from rq.rate_limit import ACQUIRE_AND_ENQUEUE_SCRIPT
from rq.utils import current_timestamp, now, utcformat, utcparse

from rq_leveldb.migrate.dependencies import Dependent, ids_in
from rq_leveldb.migrate.scope import RQ
from rq_leveldb.migrate.value import NO_EXPIRY, Slice, Value, digest_of, read_whole, slices_of
from rq_leveldb.migrate.wire import Command, RefusedPlace, Wire

__all__ = ['KINDS', 'Arrival', 'Taken', 'keys_of']

KINDS = (b'hash', b'set', b'set', b'stream', b'string')
"""The types of a job's keys, in the order of `keys_of`."""

_QUEUE = Queue.redis_queue_namespace_prefix.encode()


def keys_of(job_id: bytes) -> list[bytes]:
    """Return the names of all keys that a job has where it is not running."""
    job = RQ + b'job:' + job_id
    # RQ writes it with two colons.
    dependencies = RQ + b'job::' + job_id + b':dependencies'
    return [job, job + b':dependents', dependencies, RQ + b'results:' + job_id, RQ + b'output:' + job_id]


class Taken(NamedTuple):
    """A job that is on its way.

    Args:
        id: its id.
        queue: key of the queue that it was in.
        times: how often it was there.
        places: its scores in the registries that it was in.
        values: what its keys held, in the order of `keys_of`: when each expires and its slices.
    """

    id: bytes
    queue: bytes
    times: int
    places: dict[bytes, bytes]
    values: list[tuple[int, list[Slice]]]

    @property
    def fields(self) -> dict[bytes, bytes]:
        """The fields of its hash; none if it has expired."""
        return {
            name: value
            for part in self.values[0][1]
            for name, value in zip(part.items[::2], part.items[1::2], strict=True)
        }

    @property
    def dependent(self) -> Dependent:
        """What it depends on."""
        return Dependent(self.fields, ids_in(self.values[2][1]))


class Arrival:
    """The commands that write jobs into the target.

    Args:
        outside: statuses, in the target, of dependencies that do not come along; None of one that is not there.
    """

    def __init__(self, outside: dict[bytes, bytes | None]) -> None:
        self.commands: list[Command] = []
        self._outside = outside
        self._statuses = dict(outside)
        self._reads: list[tuple[int, bytes, bytes, int, bytes]] = []
        self._limits: dict[bytes, bytes] = {}

    def add(self, jobs: Sequence[Taken]) -> None:
        """Add jobs, in the order in which they come into their queues."""
        for job in jobs:
            self._statuses[job.id] = job.fields.get(b'status')
        for job in jobs:
            # What is left there of a job that had this id and is gone.
            self.commands.append((b'UNLINK', *keys_of(job.id)[2:]))
            for name, kind, (expires, parts) in zip(keys_of(job.id), KINDS, job.values, strict=True):
                self._write(name, kind, expires, parts)
        for job in jobs:
            self._place(job)
        for key, most in self._limits.items():
            self.commands.append(_acquire(key, most))

    def verify(self, target: Wire, replies: list[Any]) -> None:
        """Compare what was written with what was read.

        Args:
            target: where it was written.
            replies: to the commands.

        Raises:
            RefusedPlace: it is not the same.
        """
        for at, name, kind, expires, digest in self._reads:
            if replies[at] == -2 and expires != NO_EXPIRY:
                # Its time had come.
                continue
            parts = slices_of(kind, replies[at + 1])
            if replies[at] != expires or (parts is not None and digest_of(kind, expires, parts) != digest):
                raise RefusedPlace(
                    target.url,
                    title=f'{name.decode("utf-8", "backslashreplace")} is not what was written there',
                    advice='The source still has it, under rq-leveldb:migration:moving. Please report this.',
                )

    def _write(self, name: bytes, kind: bytes, expires: int, parts: list[Slice]) -> None:
        if not parts or expires == -2:
            return
        value = Value(name, kind, expires, parts)
        self.commands += value.commands()
        if kind == b'set':
            # Others may wait there for the same job already.
            return
        self._reads.append((len(self.commands), name, kind, expires, value.digest))
        self.commands += [(b'PEXPIRETIME', name), read_whole(name, kind)]

    def _place(self, job: Taken) -> None:
        """Put a job where it was."""
        fields = job.fields
        status = fields.get(b'status')
        queue = fields.get(b'origin', b'')
        add = self.commands.append
        add((b'SADD', Queue.redis_queues_keys, _QUEUE + queue))
        if group := fields.get(b'group_id'):
            add((b'SADD', RQ + b'group:' + group, job.id))
            add((b'SADD', RQ + b'groups', group))
        for place in (b'finished', b'failed', b'canceled', b'scheduled'):
            if place in job.places:
                add((b'ZADD', RQ + place + b':' + queue, job.places[place], job.id))
        dependent = job.dependent
        if dependent.waits(self._statuses if status == b'deferred' else self._outside):
            self._defer(job, dependent, queue)
        elif status in (b'deferred', b'ready_to_enqueue'):
            self._enqueue(job, queue)
        elif status in (b'queued', b'rate_limited'):
            if fields.get(b'rate_limit_key') and fields.get(b'rate_limit_concurrency'):
                self._limit(job)
            else:
                add((b'SADD', Queue.redis_queues_keys, job.queue))
                add((b'RPUSH', job.queue, *[job.id] * max(job.times, 1)))
        elif job.times:
            # It was enqueued again while it was running.
            add((b'RPUSH', job.queue, *[job.id] * job.times))

    def _defer(self, job: Taken, dependent: Dependent, queue: bytes) -> None:
        key, _, dependencies, *_ = keys_of(job.id)
        score = job.places.get(b'deferred', b'%f' % current_timestamp())
        self.commands += [
            (b'HSET', key, b'status', JobStatus.DEFERRED.value),
            (b'ZADD', RQ + b'deferred:' + queue, score, job.id),
            (b'SADD', dependencies, *dependent.dependencies),
        ]
        self.commands += ((b'SADD', RQ + b'job:' + other + b':dependents', job.id) for other in dependent.dependencies)

    def _enqueue(self, job: Taken, queue: bytes) -> None:
        """Enqueue a job whose dependencies are met, as RQ's ReadyJobRegistry does."""
        fields = job.fields
        if fields.get(b'rate_limit_key') and fields.get(b'rate_limit_concurrency'):
            self._limit(job)
            return
        key = keys_of(job.id)[0]
        push = b'LPUSH' if fields.get(b'enqueue_at_front') == b'1' else b'RPUSH'
        self.commands += [
            (b'HSET', key, b'status', JobStatus.QUEUED.value, b'enqueued_at', utcformat(now())),
            (push, _QUEUE + queue, job.id),
        ]
        if fields.get(b'ttl', b'').isdigit():
            self.commands.append((b'EXPIRE', key, fields[b'ttl']))

    def _limit(self, job: Taken) -> None:
        """Have a job with a rate limit wait for its turn, as RQ does with one that is enqueued again."""
        fields = job.fields
        limit, most = fields[b'rate_limit_key'], fields[b'rate_limit_concurrency']
        score: Any = job.places.get(b'rate_limited')
        if score is None:
            score = _created(fields)
        self.commands += [
            (b'SADD', RQ + b'rl-keys', limit),
            (b'HSET', RQ + b'rl:' + limit, b'concurrency', most),
            (b'HSET', keys_of(job.id)[0], b'status', JobStatus.RATE_LIMITED.value),
            (b'ZADD', RQ + b'rl:' + limit + b':rate_limited', score, job.id),
        ]
        self._limits[limit] = most


def _created(fields: dict[bytes, bytes]) -> str:
    """Return when a job was created, in seconds since the epoch."""
    try:
        return repr(utcparse(fields[b'created_at'].decode()).timestamp())
    except (KeyError, ValueError):
        return repr(float(current_timestamp()))


def _acquire(limit: bytes, most: bytes) -> Command:
    """Return RQ's script that enqueues as many jobs with a rate limit as may be enqueued."""
    key = RQ + b'rl:' + limit
    return (
        *(b'EVAL', ACQUIRE_AND_ENQUEUE_SCRIPT, 2, key + b':allowed', key + b':rate_limited'),
        *(most, current_timestamp(), utcformat(now()), _QUEUE, RQ + b'job:'),
    )

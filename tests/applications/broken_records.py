"""A store with one of everything that RQ keeps, twice, and what breaks any part of one of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from hypothesis import strategies as st
from rq import Queue, Retry, SimpleWorker, cron_scheduler_registry
from rq.cron import CronScheduler
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import ReadyJobRegistry
from rq.utils import now

__all__ = ['STATES', 'Damage', 'Records', 'damages']

STATES = ('queued', 'started', 'finished', 'failed', 'deferred', 'ready_to_enqueue', 'scheduled', 'canceled')
_BACKUP = 'backup of the test'

_values = st.one_of(
    st.sampled_from(
        [b'', b'abc', b'\xff', b'1.5', b'-1', b'9' * 400, b'nan', b'inf', b'[1', b'{}', b'[null]', b'[' * 9000]
    ),
    st.binary(max_size=20),
)


@dataclass(frozen=True)
class Damage:
    """What is done to one key: another type, another value of one of its parts, or that part taken away.

    Args:
        key: which of the keys, counted round.
        part: which of its parts, counted round.
        kind: 'type', 'value' or 'missing'.
        value: the new value.
    """

    key: int
    part: int
    kind: str
    value: bytes


damages = st.builds(
    Damage, st.integers(0, 199), st.integers(0, 59), st.sampled_from(['type', 'value', 'value', 'missing']), _values
)


def run_well() -> int:
    return 1


def run_badly() -> None:
    raise ValueError('badly')


class Records:
    """Two of everything; those of the queue `spoiled` are damaged, those of `sound` must go on being shown.

    Args:
        connection: the store.
    """

    def __init__(self, connection: redis.Redis) -> None:
        self.connection: Any = connection
        for name in ('spoiled', 'sound'):
            self._jobs(name)
            self._worker(name)
        self._cron('spoiled')
        connection.hset(
            'rq-leveldb:tally', mapping={'started|sound': 3, 'bucket|wait|0.1|sound': 2, 'sum|wait|sound': 1}
        )
        history = self._history()
        keys: list[Any] = sorted(connection.keys())
        for key in keys:
            # However long the test takes.
            connection.persist(key)
        self.damaged = [key for key in keys if b'sound' not in key and not key.startswith(b'rq-leveldb:')]
        self.damaged += [b'rq-leveldb:tally', *history]

    def _jobs(self, name: str) -> None:
        connection = self.connection
        queue = Queue(name, connection=connection)
        queue.enqueue(run_well, job_id=f'{name}-finished', result_ttl=-1)
        queue.enqueue(run_badly, job_id=f'{name}-failed')
        SimpleWorker([queue], connection=connection).work(burst=True, logging_level='CRITICAL')
        waits = queue.enqueue(run_well, job_id=f'{name}-queued', retry=Retry(max=2, interval=[1, 2]), ttl=9000)
        queue.enqueue(run_well, job_id=f'{name}-deferred', depends_on=waits)
        queue.enqueue_at(now().replace(year=2199), run_well, job_id=f'{name}-scheduled')
        queue.enqueue(run_well, job_id=f'{name}-canceled').cancel()
        ready = Job.create(run_well, id=f'{name}-ready_to_enqueue', connection=connection, origin=name)
        ready.set_status(JobStatus.READY_TO_ENQUEUE)
        ready.save()
        ReadyJobRegistry(queue=queue).add(ready)
        started = Job.create(run_well, id=f'{name}-started', connection=connection, origin=name)
        started.set_status(JobStatus.STARTED)
        started.save()
        connection.hset(
            started.key, 'usage', json.dumps([{'started': 1.0, 'wall': 1.0, 'cpu': 1.0, 'memory': 5, 'exit': 0}])
        )
        connection.hset(started.key, 'crashes', json.dumps([{'at': 'then', 'exit': 'so'}]))
        connection.set(f'rq:output:{name}-started', 'printed')
        with connection.pipeline() as pipe:
            Execution.create(started, ttl=9000, pipeline=pipe, worker_name=f'{name}-worker')
            pipe.execute()

    def _history(self) -> list[bytes]:
        now = int(time.time())
        numbers = {f'{part}|0a': '1,2,3,4,5' for part in range(60)}
        hashes = {f'names:{now // 86400}': {'0a': '["sound", "run_well"]'}, f'hours:{now // 86400}': numbers}
        hashes[f'minutes:{now // 3600}'] = numbers
        for name, fields in hashes.items():
            self.connection.hset(f'rq-leveldb:history:{name}', mapping=fields)
        return [f'rq-leveldb:history:{name}'.encode() for name in hashes]

    def _worker(self, name: str) -> None:
        connection = self.connection
        worker = SimpleWorker([Queue(name, connection=connection)], name=f'{name}-worker', connection=connection)
        worker.register_birth()
        worker.heartbeat(9000)
        connection.hset(worker.key, mapping={'max_children': 3, 'total_working_time': 1.5, 'successful_job_count': 2})

    def _cron(self, name: str) -> None:
        scheduler = CronScheduler(self.connection, name=f'{name}-cron')
        scheduler.register(run_well, 'sound', interval=60)
        scheduler.register_birth()
        # Not to be taken for dead in a long test.
        self.connection.zadd(cron_scheduler_registry.get_registry_key(), {scheduler.name: time.time() + 9000})

    @contextmanager
    def broken(self, damage: Damage) -> Iterator[bytes]:
        """Break something for a while; the value is its key.

        Args:
            damage: how.
        """
        connection = self.connection
        key = self.damaged[damage.key % len(self.damaged)]
        assert connection.copy(key, _BACKUP)
        try:
            self._break(key, damage)
            yield key
        finally:
            connection.delete(key)
            connection.rename(_BACKUP, key)

    def _break(self, key: bytes, damage: Damage) -> None:
        connection = self.connection
        kind = connection.type(key)
        if damage.kind == 'type':
            connection.delete(key)
            if kind == b'string':
                connection.rpush(key, damage.value)
            else:
                connection.set(key, damage.value)
        elif kind == b'hash':
            fields = sorted(connection.hkeys(key))
            field = fields[damage.part % len(fields)]
            if damage.kind == 'missing':
                connection.hdel(key, field)
            else:
                connection.hset(key, field, damage.value)
        elif damage.kind == 'missing':
            connection.delete(key)
        elif kind == b'string':
            connection.set(key, damage.value)
        elif kind == b'list':
            connection.lpush(key, damage.value)
        elif kind == b'set':
            connection.sadd(key, damage.value)
        elif kind == b'zset':
            connection.zadd(key, {damage.value: float('inf') if damage.part % 2 else time.time() + 100})
        else:
            entry = dict(connection.xrange(key)[-1][1])
            name = sorted(entry)[damage.part % len(entry)]
            connection.xadd(key, {**entry, name: damage.value})

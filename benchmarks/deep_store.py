"""Fills a store with jobs of one state: one is made by RQ, and its keys are repeated under other ids."""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import hiredis
from redis import Redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.results import Result

from rq_leveldb.client import autostart
from rq_leveldb.location import Location

STATES = ('queued', 'finished', 'failed', 'scheduled')
QUEUE = 'deep'
FUNCTION = 'operator.add'
# Jobs that are sent at once; the next batch is on its way while the store works on one.
_BATCH = 500
# Jobs that end in the same second.
_A_SECOND = 20
_REGISTRIES = {'finished': 'rq:finished:', 'failed': 'rq:failed:', 'scheduled': 'rq:scheduled:'}

Command = tuple[Any, ...]


def job_id(state: str, number: int) -> str:
    """The id of a job: as random as RQ's, and the same each time."""
    return str(uuid.UUID(bytes=hashlib.blake2b(f'{state}-{number}'.encode(), digest_size=16).digest(), version=4))


def fill(connection: Redis, location: Location, state: str, start: int, stop: int, tell: Callable[[int], None]) -> None:
    """Put the jobs with these numbers into a store, as RQ would have left them.

    Finished jobs are kept for ever and failed ones for a year, which is RQ's default; of those, twenty end in the same
    second. Scheduled ones are due from tomorrow on, as many a second.

    Args:
        connection: to the store.
        location: of the store.
        state: one of `STATES`.
        start: number of the first.
        stop: number after the last.
        tell: called with how many more there are.
    """
    queue = Queue(QUEUE, connection=connection)
    model = _model(queue, state)
    commands = _commands(connection, model)
    ended = model.ended_at.strftime('%Y-%m-%dT%H:%M:%S').encode() if model.ended_at else None
    pack = hiredis.pack_command
    block = b''.join(map(pack, commands))
    marks = model.id.encode()
    registry = _REGISTRIES.get(state)
    score = int(time.time()) + (86_400 if state == 'scheduled' else 31_536_000)
    replies = 0
    reader = hiredis.Reader()
    model.delete()
    with autostart.connect(location) as connected:

        def receive(number: int) -> None:
            found = 0
            while found < number:
                reply = reader.gets()
                if reply is False:
                    reader.feed(connected.recv(1 << 16))
                    continue
                if isinstance(reply, hiredis.HiredisError):
                    raise reply
                found += 1

        for first, last in _batches(start, stop):
            ids = [job_id(state, number).encode() for number in range(first, last)]
            parts = []
            for number, name in zip(range(first, last), ids, strict=True):
                part = block.replace(marks, name)
                if ended is not None and model.ended_at is not None:
                    # Only the seconds, so that lengths stay.
                    at = model.ended_at - timedelta(seconds=(stop - number) // _A_SECOND)
                    part = part.replace(ended, at.strftime('%Y-%m-%dT%H:%M:%S').encode())
                parts.append(part)
            if registry is None:
                parts.append(pack(('RPUSH', queue.key, *ids)))
            else:
                pairs: list[Any] = []
                for number, name in zip(range(first, last), ids, strict=True):
                    pairs += ['+inf' if state == 'finished' else str(score + number // _A_SECOND), name]
                parts.append(pack(('ZADD', registry + QUEUE, *pairs)))
            connected.sendall(b''.join(parts))
            if replies:
                receive(replies)
                tell(_BATCH)
            replies = len(ids) * len(commands) + 1
        receive(replies)
        tell(_BATCH)


def _batches(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for first in range(start, stop, _BATCH):
        yield first, min(stop, first + _BATCH)


def _model(queue: Queue, state: str) -> Job:
    """Let RQ make a job of a state."""
    if state == 'scheduled':
        job: Job = queue.enqueue_at(datetime.now(timezone.utc) + timedelta(days=1), FUNCTION, 1, 2)
        return job
    if state == 'queued':
        job = queue.enqueue(FUNCTION, 1, 2)
        queue.remove(job.id)
        return job
    own = Queue(f'{QUEUE}-model', connection=queue.connection)
    job = own.enqueue(FUNCTION, 1, 2 if state == 'finished' else None, result_ttl=-1)
    logging.getLogger('rq.worker').setLevel(logging.CRITICAL)
    SimpleWorker([own], connection=queue.connection).work(burst=True, logging_level='CRITICAL')
    own.delete()
    found = Job.fetch(job.id, connection=queue.connection)
    found.origin = QUEUE
    queue.connection.hset(found.key, 'origin', QUEUE)
    queue.connection.sadd(Queue.redis_queues_keys, queue.key)
    return found


def _commands(connection: Redis, job: Job) -> list[Command]:
    """What writes a job's own keys."""
    fields = connection.hgetall(job.key)
    commands: list[Command] = [('HSET', job.key, *(part for pair in fields.items() for part in pair))]
    expires = connection.expiretime(job.key)
    if expires > 0:
        commands.append(('EXPIREAT', job.key, str(expires)))
    results = Result.get_key(job.id)
    for _, entry in connection.xrange(results):
        commands.append(('XADD', results, '*', *(part for pair in entry.items() for part in pair)))
        expires = connection.expiretime(results)
        if expires > 0:
            commands.append(('EXPIREAT', results, str(expires)))
    return commands

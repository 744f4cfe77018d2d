"""What a client was told is true, whenever the store is killed."""

from __future__ import annotations

import multiprocessing
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from rq_leveldb import Redis
from tests.client.support import kill

KILLS = 12
WRITERS = 4


def write(url: str, writer: int, report: SimpleQueue[tuple[set[bytes], set[bytes]]], stop: Event) -> None:
    """Push values, each once, until told to stop; report which were acknowledged and which are in doubt."""
    acknowledged, in_doubt = set(), set()
    number = 0
    with Redis.from_url(url) as client:
        while not stop.is_set():
            value = b'%d:%d' % (writer, number)
            number += 1
            try:
                if number % 2:
                    client.rpush('list', value)
                else:
                    with client.pipeline() as pipeline:
                        pipeline.rpush('list', value).incr('count').execute()
                acknowledged.add(value)
            except redis_py.ConnectionError:
                in_doubt.add(value)
    report.put((acknowledged, in_doubt))


def length_of(client: Redis, key: str) -> int:
    """Return how long a list is; 0 where the store that is asked is about to be gone.

    A process that was killed counts as dead a moment before its last thread has let go of its sockets.
    """
    try:
        return int(client.llen(key))
    except redis_py.ConnectionError:
        return 0


@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_lost_and_nothing_is_written_twice(store_dir: Path, redis: Redis) -> None:
    context = multiprocessing.get_context('fork')
    report: SimpleQueue[tuple[set[bytes], set[bytes]]] = context.SimpleQueue()
    stop = context.Event()
    url = f'leveldb://{store_dir}'
    writers = [context.Process(target=write, args=(url, number, report, stop)) for number in range(WRITERS)]
    for writer in writers:
        writer.start()
    length = 0
    for _ in range(KILLS):
        # Under load: not before something was written since the last time.
        while (now := length_of(redis, 'list')) < length + 20:
            pass
        length = now
        kill(redis)
    stop.set()
    reports = [report.get() for _ in writers]
    for writer in writers:
        writer.join()
    acknowledged = set().union(*(known for known, _ in reports))
    in_doubt = set().union(*(doubted for _, doubted in reports))
    found: list[Any] = redis.lrange('list', 0, -1)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found) <= acknowledged | in_doubt
    assert len(in_doubt) <= KILLS * WRITERS
    for number in range(WRITERS):
        own = [int(value.split(b':')[1]) for value in found if value.startswith(b'%d:' % number)]
        assert own == sorted(own)

"""Many queues, queues that are none, and messages that are no commands: the worker hears of work, and rests else."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest
import worker_jobs
from rq import Queue
from rq.job import JobStatus

from rq_leveldb.worker.loop import Loop
from rq_leveldb.worker.watch import CommandWatch, QueueWatch
from tests.until import until
from tests.worker.support import Workers


@pytest.fixture
def loop() -> Iterator[Loop]:
    """Return a loop."""
    with closing(Loop()) as loop:
        yield loop


class Heard:
    """A watch, and what it said."""

    def __init__(self, redis: Any, loop: Loop) -> None:
        self.loop = loop
        self.ready = 0
        self.lost: list[Exception] = []
        self.wrong: list[tuple[str, str]] = []
        self.watch = QueueWatch(redis, loop, self._ready, self.lost.append, lambda *what: self.wrong.append(what))

    def _ready(self) -> None:
        self.ready += 1

    def turn(self, condition: Any, seconds: float = 10.0) -> None:
        """Run the loop until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, 'it did not happen in time'
            self.loop.run_once(0.1)


def keys(count: int) -> list[str]:
    return [f'rq:queue:q{number}' for number in range(count)]


@pytest.mark.parametrize('number', [0, 31, 32, 150, 2499])
def test_any_of_many_queues_is_heard_of(redis: Any, loop: Loop, number: int) -> None:
    heard = Heard(redis, loop)
    heard.watch.arm(keys(2500), 60)
    assert heard.watch.armed

    redis.rpush(keys(2500)[number], 'job')

    heard.turn(lambda: heard.ready)
    assert redis.lrange(keys(2500)[number], 0, -1) == [b'job']
    assert not heard.lost
    heard.watch.close()
    assert not heard.watch.armed


def test_queues_need_none_of_the_pools_connections(redis: Any, loop: Loop) -> None:
    redis.connection_pool.max_connections = 2
    heard = Heard(redis, loop)
    heard.watch.arm(keys(300), 60)

    assert len(redis.client_list()) <= 2 + 32

    heard.watch.close()
    until(lambda: len(redis.client_list()) <= 2)


def test_other_queues_than_before(redis: Any, loop: Loop) -> None:
    heard = Heard(redis, loop)
    heard.watch.arm(keys(40), 60)
    heard.watch.arm(['rq:queue:other'], 60)
    redis.rpush(keys(1)[0], 'job')
    loop.run_once(0.3)
    assert not heard.ready

    redis.rpush('rq:queue:other', 'job')

    heard.turn(lambda: heard.ready)
    heard.watch.close()


@pytest.mark.parametrize('number', [0, 40])
def test_a_queue_that_is_none_is_said_once_and_the_others_are_watched(redis: Any, loop: Loop, number: int) -> None:
    names = keys(50)
    wrong = names[number]
    redis.set(wrong, 'something else')
    heard = Heard(redis, loop)
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        heard.watch.arm(names, 60)
        loop.run_once(0.05)
    assert heard.wrong == [(wrong, 'string')]
    assert heard.ready < 10
    assert not heard.lost

    before = heard.ready
    redis.rpush(names[1], 'job')
    heard.turn(lambda: heard.ready > before)
    redis.lpop(names[1])
    redis.delete(wrong)
    redis.rpush(wrong, 'job')
    heard.watch.arm(names, 60)
    before = heard.ready
    heard.turn(lambda: heard.ready > before)
    heard.watch.close()


@pytest.mark.needs_store('it kills the server, which nobody starts again')
def test_a_store_that_went_away_is_noticed(redis: Any, loop: Loop) -> None:
    heard = Heard(redis, loop)
    heard.watch.arm(keys(50), 60)
    psutil.Process(redis.info('server')['process_id']).kill()

    heard.turn(lambda: heard.lost)

    heard.watch.close()
    heard.watch.arm(keys(50), 60)
    redis.rpush(keys(50)[45], 'job')
    heard.turn(lambda: heard.ready)
    heard.watch.close()


def test_whatever_a_handler_raises_the_next_message_is_handled(redis: Any, loop: Loop) -> None:
    seen: list[Any] = []
    failed: list[BaseException] = []

    def handle(message: dict[str, Any]) -> None:
        if message['data'] == b'exit':
            raise SystemExit(1)
        seen.append(json.loads(message['data']))

    watch = CommandWatch(redis, loop, 'channel', handle, lambda error: pytest.fail(repr(error)), failed.append)
    watch.open()
    for text in ('[' * 100_000, 'exit', '{}', '"the last"'):
        redis.publish('channel', text)

    end = time.monotonic() + 10
    while 'the last' not in seen and time.monotonic() < end:
        loop.run_once(0.1)

    assert seen == [{}, 'the last']
    assert [type(error) for error in failed] == [RecursionError, SystemExit]
    watch.close()


def test_a_worker_with_many_queues(workers: Workers, redis: Any) -> None:
    names = [f'q{number}' for number in range(300)]
    worker = workers.start('--max-children', '2', *names)
    redis.publish('rq:pubsub:one', '[' * 100_000)

    jobs = [Queue(names[number], connection=redis).enqueue(worker_jobs.add, number, 1) for number in (299, 0, 150)]

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
    past = jobs[0].enqueued_at
    assert past is not None
    scheduled = Queue(names[200], connection=redis).enqueue_at(past, worker_jobs.add, 1, 1)
    until(lambda: scheduled.get_status() == JobStatus.FINISHED)
    output = workers.stop(worker)
    assert 'could not connect' not in output
    assert output.count('not a command') == 1

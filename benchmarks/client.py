"""One client of a place for jobs, in a process of its own: `python -m benchmarks.client URL TASK JSON`.

It gets ready, says so, waits for a line on its standard input, does its task, and prints a JSON object. Progress of
long tasks goes to standard output too, as numbers of jobs.
"""

from __future__ import annotations

import cProfile
import json
import logging
import os
import pstats
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from rq import Queue, SimpleWorker
from rq.job import Job

from benchmarks.jobs import nothing

WARM_UP = 100


def connect(url: str) -> Any:
    """The connection that a user of that place would have."""
    if url.startswith('leveldb:'):
        import rq_leveldb

        return rq_leveldb.Redis.from_url(url)
    import redis

    return redis.Redis.from_url(url)


def ready() -> None:
    print('ready', flush=True)
    sys.stdin.readline()


def start() -> tuple[float, float]:
    """The moment at which a task begins, and the processor time spent so far."""
    return time.perf_counter(), time.process_time()


def spent(began: tuple[float, float]) -> dict[str, Any]:
    """When a task began and ended, and the seconds of processor time that it took."""
    return {'began': began[0], 'ended': time.perf_counter(), 'cpu': time.process_time() - began[1]}


class RQTasks:
    """What is done through RQ. Each task returns the moments at which it began and ended, and what else it measured."""

    def __init__(self, url: str) -> None:
        self.connection = connect(url)
        self.connection.ping()

    def queue(self, name: str = 'default') -> Queue:
        return Queue(name, connection=self.connection)

    def enqueue(self, count: int) -> dict[str, Any]:
        return self._enqueue(count, Queue)

    def enqueue_ours(self, count: int) -> dict[str, Any]:
        """The same with this package's Queue."""
        from rq_leveldb.api import Queue

        return self._enqueue(count, Queue)

    def _enqueue(self, count: int, queue_class: type[Queue]) -> dict[str, Any]:
        queue, warm = (queue_class(name, connection=self.connection) for name in ('default', 'warm'))
        for number in range(WARM_UP):
            warm.enqueue(nothing, number)
        ready()
        began = start()
        for number in range(count):
            queue.enqueue(nothing, number)
        return spent(began)

    def enqueue_many(self, count: int, batch: int, name: str = 'default') -> dict[str, Any]:
        queue = self.queue(name)
        ready()
        began = start()
        for first in range(0, count, batch):
            last = min(first + batch, count)
            queue.enqueue_many([Queue.prepare_data(nothing, (number,)) for number in range(first, last)])
            print(last, flush=True)
        return spent(began)

    def dequeue(self, count: int, name: str) -> dict[str, Any]:
        queue = self.queue(name)
        ready()
        began = start()
        for _ in range(count):
            assert Queue.dequeue_any([queue], timeout=None, connection=self.connection) is not None
        return spent(began)

    def work(self, count: int) -> dict[str, Any]:
        queue = self.queue()
        queue.enqueue_many([Queue.prepare_data(nothing, (number,)) for number in range(count)])
        worker = SimpleWorker([queue], connection=self.connection)
        ready()
        began = start()
        worker.work(burst=True, logging_level='ERROR')
        found = spent(began)
        assert queue.finished_job_registry.count == count, 'not all jobs were done'
        return found

    def depth(self, shallow: str, count: int, rounds: int) -> dict[str, Any]:
        """The speed at this place's depth over that at a shallow place of the same kind, in alternating rounds."""
        places = {'deep': self.connection, 'shallow': connect(shallow)}
        speeds: dict[str, dict[str, list[float]]] = {'enqueue': {}, 'dequeue': {}}
        ready()
        for turn in range(rounds + 1):
            for name, connection in places.items():
                queue = Queue('deep', connection=connection)
                began = time.perf_counter()
                for number in range(count):
                    queue.enqueue(nothing, number)
                middle = time.perf_counter()
                jobs = []
                for _ in range(count):
                    result = Queue.dequeue_any([queue], timeout=None, connection=connection)
                    assert result is not None
                    jobs.append(result[0])
                ended = time.perf_counter()
                if turn:  # the first round warms up
                    speeds['enqueue'].setdefault(name, []).append(count / (middle - began))
                    speeds['dequeue'].setdefault(name, []).append(count / (ended - middle))
                with connection.pipeline(transaction=False) as pipe:
                    pipe.delete(queue.intermediate_queue_key, *(job.key for job in jobs))
                    pipe.execute()
        return {
            verb: [100 * deep / flat for deep, flat in zip(found['deep'], found['shallow'], strict=True)]
            for verb, found in speeds.items()
        }

    def cancel(self, count: int) -> dict[str, Any]:
        """Milliseconds of canceling jobs in the middle of a deep queue: the whole call, and its transaction alone."""
        queue = self.queue('deep')
        middle = queue.count // 2
        identifiers = queue.get_job_ids(middle, 2 * count)
        jobs = [Job.fetch(identifier, connection=self.connection) for identifier in identifiers]
        ready()
        calls, transactions = [], []
        before = self._spent_in_transactions()
        for job in jobs[:count]:
            pipe = self.connection.pipeline()
            job.cancel(pipeline=pipe)
            began = time.perf_counter()
            pipe.execute()
            transactions.append(1000 * (time.perf_counter() - began))
        after = self._spent_in_transactions()
        for job in jobs[count:]:
            began = time.perf_counter()
            job.cancel()
            calls.append(1000 * (time.perf_counter() - began))
        found: dict[str, Any] = {'call': calls, 'transaction': transactions}
        if before is not None and after is not None and after[0] > before[0]:
            found['server'] = [(after[1] - before[1]) / (after[0] - before[0]) / 1000]
        return found

    def _spent_in_transactions(self) -> tuple[float, float] | None:
        """The server's own count of EXEC and of the microseconds spent in them, where it keeps them."""
        found = self.connection.info('commandstats').get('cmdstat_exec')
        return (float(found['calls']), float(found['usec'])) if isinstance(found, dict) else None

    def ping(self, count: int) -> dict[str, Any]:
        ready()
        began = start()
        for _ in range(count):
            self.connection.ping()
        return spent(began)


class HueyTasks:
    """The same through Huey, in its own words."""

    def __init__(self, url: str) -> None:
        from huey import SqliteHuey

        parts = urlsplit(url)
        # With the default of 5 s, some of eight clients that sync each write give up: "database is locked".
        fsync = parse_qs(parts.query)['fsync'] == ['1']
        self.huey = SqliteHuey(filename=parts.path, fsync=fsync, timeout=60)
        self.nothing = self.huey.task()(nothing)

    def enqueue(self, count: int) -> dict[str, Any]:
        for number in range(WARM_UP):
            self.nothing(number)
        while self.huey.dequeue() is not None:
            pass
        ready()
        began = start()
        for number in range(count):
            self.nothing(number)
        return spent(began)

    def work(self, count: int) -> dict[str, Any]:
        for number in range(count):
            self.nothing(number)
        ready()
        began = start()
        done = 0
        while (task := self.huey.dequeue()) is not None:
            self.huey.execute(task)
            done += 1
        found = spent(began)
        assert done == count, 'not all jobs were done'
        return found


def profiled(task: Callable[..., dict[str, Any]], options: dict[str, Any], path: str) -> dict[str, Any]:
    profile = cProfile.Profile()
    found = profile.runcall(task, **options)
    with open(path, 'w') as file:
        pstats.Stats(profile, stream=file).sort_stats('tottime').print_stats(40)
    return found


def main(url: str, task: str, options: str) -> None:
    logging.getLogger('huey').setLevel(logging.ERROR)
    tasks: Any = HueyTasks(url) if url.startswith('huey:') else RQTasks(url)
    profile = os.environ.get('BENCHMARKS_CLIENT_PROFILE')
    if profile:
        found = profiled(getattr(tasks, task), json.loads(options), profile)
    else:
        found = getattr(tasks, task)(**json.loads(options))
    print(json.dumps(found), flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])

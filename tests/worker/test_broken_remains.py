"""What a dead worker left may be broken: that one thing is set aside, and everything else is recovered."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Queue, Retry
from rq.job import Job, JobStatus

from rq_leveldb.unreadable import read_aside
from tests.until import until
from tests.worker.support import Workers

NOT_TEXT = b'\xff\xfe'

# What is broken: r is the store, j the job's key, e its execution's, w the worker's.
BREAK: dict[str, Callable[[Any, str, str, str], object]] = {
    'half an execution': lambda r, j, e, w: (r.delete(e), r.hset(e, 'last_heartbeat', 1)),
    'an execution without a date': lambda r, j, e, w: r.hset(e, 'created_at', 'yesterday'),
    'an execution that is not text': lambda r, j, e, w: r.hset(e, mapping={'worker_name': NOT_TEXT, 'pid': NOT_TEXT}),
    'an execution of another type': lambda r, j, e, w: (r.delete(e), r.set(e, 'x')),
    'an execution with a broken pid': lambda r, j, e, w: r.hset(e, mapping={'pid': '-1', 'pid_started': NOT_TEXT}),
    'no execution': lambda r, j, e, w: r.delete(e),
    'a job with an unknown status': lambda r, j, e, w: r.hset(j, 'status', 'dancing'),
    'a job with a broken date': lambda r, j, e, w: r.hset(j, 'started_at', 'yesterday'),
    'a job with a broken time-out': lambda r, j, e, w: r.hset(j, 'timeout', '1.5'),
    'a job whose queue is not text': lambda r, j, e, w: r.hset(j, 'origin', NOT_TEXT),
    'a job of another type': lambda r, j, e, w: (r.delete(j), r.set(j, 'x')),
    'no job': lambda r, j, e, w: r.delete(j),
    'a worker with a broken pid': lambda r, j, e, w: r.hset(w, 'pid', NOT_TEXT),
    'a worker with a broken start': lambda r, j, e, w: r.hset(w, mapping={'started': NOT_TEXT, 'boot_id': NOT_TEXT}),
    'a worker whose queues are not text': lambda r, j, e, w: r.hset(w, mapping={'queues': NOT_TEXT, 'cron': NOT_TEXT}),
    'half a worker': lambda r, j, e, w: (r.delete(w), r.hset(w, 'last_heartbeat', 'x')),
    'a worker of another type': lambda r, j, e, w: (r.delete(w), r.set(w, 'x')),
    'executions of another type': lambda r, j, e, w: (r.delete(f'{w}:executions'), r.set(f'{w}:executions', 'x')),
    'an execution with a strange name': lambda r, j, e, w: r.sadd(f'{w}:executions', NOT_TEXT, 'x', ':', 'a:b:c'),
    'claims of another type': lambda r, j, e, w: r.set(f'{w}:claims', 'x'),
    'a claim that is not text': lambda r, j, e, w: r.hset(f'{w}:claims', NOT_TEXT, NOT_TEXT),
    'a started entry that is not text': lambda r, j, e, w: r.zadd('rq:wip:default', {NOT_TEXT: 1, 'x': 1, ':': 1}),
    'a worker whose name is not text': lambda r, j, e, w: r.sadd('rq:workers', NOT_TEXT, 'x', 'rq:worker:'),
}


@pytest.mark.parametrize('what', BREAK)
def test_the_rest_is_recovered(workers: Workers, queue: Queue, tmp_path: Path, what: str) -> None:
    connection = queue.connection
    worker = workers.start('--max-children', '2', name='one')
    gate, traces = tmp_path / 'gate', tmp_path / 'traces'
    job, neighbour = (
        queue.enqueue(worker_jobs.trace_and_wait, str(traces), str(gate), retry=retry) for retry in (None, Retry(max=1))
    )
    until(lambda: traces.exists() and len(traces.read_text().split()) == 2)
    (execution,) = job.get_executions()
    worker.kill()
    worker.wait()
    gate.touch()

    BREAK[what](connection, job.key, execution.key, 'rq:worker:one')
    second = workers.launch('--maintenance-interval', '1', name='two')
    after = queue.enqueue(worker_jobs.add, 1, 2)

    until(lambda: after.get_status() == JobStatus.FINISHED)
    until(lambda: neighbour.get_status() == JobStatus.FINISHED)
    until(lambda: execution.composite_key.encode() not in connection.zrange('rq:wip:default', 0, -1))
    if what == 'a job of another type':
        assert [entry.key for entry in read_aside(connection)] == [job.key]
    elif what != 'no job':
        until(lambda: connection.hget(job.key, 'status') == b'failed')
        assert Job.fetch(job.id, connection=connection).latest_result().exc_string
        assert connection.zscore('rq:failed:default', job.id)
    assert second.poll() is None
    assert not connection.smembers('rq:workers') & {b'rq:worker:one'}
    assert 'Traceback' not in workers.stop(second)


def test_maintenance_goes_on_after_what_cannot_be_read(workers: Workers, queue: Queue) -> None:
    connection: Any = queue.connection
    ready, broken, between = (queue.enqueue(worker_jobs.add, number, 1) for number in range(3))
    connection.delete(queue.key)
    connection.hset(ready.key, 'status', 'ready_to_enqueue')
    connection.hset(broken.key, mapping={'status': 'ready_to_enqueue', 'timeout': 'soon'})
    connection.hset(between.key, 'created_at', 'never')
    connection.zadd('rq:ready:default', {broken.id: 1, NOT_TEXT: 2, ready.id: 3, 'gone': 4})
    connection.rpush('rq:queue:default:intermediate', between.id, NOT_TEXT, 'gone')
    connection.set('rq:deferred:default', 'of another type')
    connection.zadd('rq:failed:default', {'long ago': 1})
    connection.sadd('rq:workers:default', NOT_TEXT)
    connection.hset('rq:rate-limit:x', 'concurrency', 'many')
    connection.sadd('rq:rate-limits', NOT_TEXT, 'rq:rate-limit:x')

    worker = workers.start('--maintenance-interval', '1')

    until(lambda: ready.get_status() == JobStatus.FINISHED)
    for job in (broken, between):
        until(lambda job=job: connection.hget(job.key, 'status') == b'failed')
    until(lambda: not connection.exists('rq:queue:default:intermediate', 'rq:ready:default'))
    until(lambda: connection.zscore('rq:failed:default', 'long ago') is None)
    assert worker.poll() is None


def test_many_expired_entries_go_in_slices_between_which_others_are_served(workers: Workers, queue: Queue) -> None:
    connection: Any = queue.connection
    connection.zadd('rq:finished:default', {f'{number}': 1 + number for number in range(3500)})
    connection.zadd('rq:finished:default', {'for ever': '+inf', 'not yet': time.time() + 1000})
    connection.config_resetstat()
    workers.start('--maintenance-interval', '1')
    until(lambda: connection.zcard('rq:finished:default') == 2)
    assert connection.info('commandstats')['cmdstat_zremrangebyscore']['calls'] >= 4


def test_a_registry_of_another_type_does_not_stop_the_others(workers: Workers, queue: Queue) -> None:
    queue.connection.set('rq:canceled:default', 'of another type')
    queue.connection.set('rq:finished:other', 'of another type')
    queue.connection.zadd('rq:failed:default', {'long ago': 1})
    other = workers.start('other', 'default', '--maintenance-interval', '1')

    until(lambda: queue.connection.zscore('rq:failed:default', 'long ago') is None)

    assert 'queue other, finished jobs failed' in workers.stop(other)

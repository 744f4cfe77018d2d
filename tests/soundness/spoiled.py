"""A place in which everything that a check of jobs knows is wrong once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from rq import Queue
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit

__all__ = ['UNFIXABLE', 'make_old', 'spoil']

Problems = dict[tuple[str, str], Callable[[], Any]]

UNFIXABLE = {
    ('again', 'rq:scheduled:default'),
    ('type', 'rq:failed:other'),
    ('type', 'rq:job:strange'),
    ('unreadable', 'rq:job:unreadable'),
}
"""What a repair leaves as it is."""


def make_old(job: Job) -> None:
    """Let a job have been enqueued so long ago that nobody can be running it unnoticed."""
    job.connection.hset(job.key, 'enqueued_at', '2026-01-01T00:00:00.000000Z')


def spoil(connection: Any) -> Problems:
    """Fill a place with sound jobs and with damage.

    Args:
        connection: the place, which is empty.

    Returns:
        For each problem its kind and key, and what says whether it is repaired.
    """
    queue = Queue(connection=connection)
    found: Problems = {}

    def enqueue(job_id: str, **options: Any) -> Job:
        job = queue.enqueue('worker_jobs.nothing', job_id=job_id, **options)
        make_old(job)
        return job

    def ended(job_id: str, status: JobStatus, **options: Any) -> Job:
        job = enqueue(job_id, **options)
        connection.lrem(queue.key, 0, job_id)
        job.set_status(status)
        return job

    def score(registry: str, job_id: str) -> Any:
        return connection.zscore(f'rq:{registry}:default', job_id)

    def position(job_id: str) -> Any:
        return connection.lpos(queue.key, job_id)

    def status(job_id: str) -> str:
        return str((connection.hget(f'rq:job:{job_id}', 'status') or b'').decode())

    def lacks(registry: str, job_id: str) -> bool:
        return score(registry, job_id) is None

    def is_mended(key: str) -> bool:
        found: list[int] = connection.smismember(key, ['sound-dependent', 'nobody'])
        return found == [1, 0]

    def is_gone(key: str) -> bool:
        return not connection.exists(key)

    tomorrow = datetime.now(timezone.utc) + timedelta(days=1)
    enqueue('sound')
    queue.enqueue_at(tomorrow, 'worker_jobs.nothing', job_id='sound-later')
    enqueue('sound-dependent', depends_on='sound')
    enqueue('sound-canceled').cancel()

    enqueue('lost')
    connection.lrem(queue.key, 0, 'lost')
    found['nowhere', 'rq:job:lost'] = lambda: position('lost') is not None
    enqueue('lost-front', at_front=True)
    connection.hset('rq:job:lost-front', 'enqueue_at_front', 1)
    connection.lrem(queue.key, 0, 'lost-front')
    found['nowhere', 'rq:job:lost-front'] = lambda: position('lost-front') == 0
    limit = RateLimit('narrow', 1)
    enqueue('let-through', rate_limit=limit)
    connection.lrem(queue.key, 0, 'let-through')
    found['nowhere', 'rq:job:let-through'] = lambda: position('let-through') is not None
    enqueue('held-back', rate_limit=limit)
    connection.zrem('rq:rl:narrow:rate_limited', 'held-back')
    found['nowhere', 'rq:job:held-back'] = lambda: connection.zscore('rq:rl:narrow:rate_limited', 'held-back')
    enqueue('without-slot', rate_limit=RateLimit('other', 1))
    connection.lrem(queue.key, 0, 'without-slot')
    connection.zrem('rq:rl:other:allowed', 'without-slot')
    found['nowhere', 'rq:job:without-slot'] = lambda: (
        status('without-slot') == 'rate_limited' and connection.zscore('rq:rl:other:rate_limited', 'without-slot')
    )
    queue.enqueue_at(tomorrow, 'worker_jobs.nothing', job_id='unscheduled')
    connection.zrem('rq:scheduled:default', 'unscheduled')
    found['nowhere', 'rq:job:unscheduled'] = lambda: score('scheduled', 'unscheduled')
    ended('unready', JobStatus.READY_TO_ENQUEUE)
    found['nowhere', 'rq:job:unready'] = lambda: score('ready', 'unready')
    ended('uncanceled', JobStatus.CANCELED)
    found['nowhere', 'rq:job:uncanceled'] = lambda: score('canceled', 'uncanceled')

    enqueue('undeferred', depends_on='sound')
    connection.zrem('rq:deferred:default', 'undeferred')
    found['nowhere', 'rq:job:undeferred'] = lambda: score('deferred', 'undeferred')
    enqueue('forgotten', depends_on='sound')
    connection.srem('rq:job:sound:dependents', 'forgotten')
    found['forgotten', 'rq:job:forgotten'] = lambda: connection.sismember('rq:job:sound:dependents', 'forgotten')
    enqueue('first')
    enqueue('met', depends_on='first')
    connection.lrem(queue.key, 0, 'first')
    connection.delete('rq:job:first', 'rq:job:first:dependents')
    found['met', 'rq:job:met'] = lambda: (
        status('met') == 'ready_to_enqueue' and score('ready', 'met') and score('deferred', 'met') is None
    )

    ended('kept', JobStatus.FINISHED, result_ttl=100)
    found['kept', 'rq:job:kept'] = lambda: score('finished', 'kept') and 0 < connection.ttl('rq:job:kept') <= 100
    ended('kept-failed', JobStatus.FAILED, failure_ttl=-1)
    found['kept', 'rq:job:kept-failed'] = lambda: (
        score('failed', 'kept-failed') == -1 and connection.ttl('rq:job:kept-failed') == -1
    )

    enqueue('waits').set_status(JobStatus.STARTED)
    found['waits', 'rq:job:waits'] = lambda: status('waits') == 'queued' and position('waits') is not None
    ended('runs', JobStatus.STARTED)
    connection.zadd('rq:executions:runs', {'execution': 2e9})
    connection.hset('rq:execution:runs:execution', mapping={'id': 'execution', 'job_id': 'runs', 'worker_name': 'none'})
    found['unregistered', 'rq:job:runs'] = lambda: score('wip', 'runs:execution') == 2e9 - 60
    ended('abandoned', JobStatus.STARTED)
    found['abandoned', 'rq:job:abandoned'] = lambda: any(
        entry.startswith(b'abandoned:') for entry in connection.zrange('rq:wip:default', 0, -1)
    )

    connection.rpush(queue.key, 'nobody')
    found['jobless', queue.key] = lambda: position('nobody') is None
    for name in ('scheduled', 'deferred', 'failed', 'canceled', 'finished', 'ready'):
        connection.zadd(f'rq:{name}:default', {'nobody': 2e9})
        found['jobless', f'rq:{name}:default'] = partial(lacks, name, 'nobody')
    connection.sadd('rq:groups', 'listed')
    for key in ('rq:group:listed', 'rq:job:sound:dependents'):
        connection.sadd(key, 'sound-dependent', 'nobody')
        found['jobless', key] = partial(is_mended, key)
    ended('failed', JobStatus.FAILED)
    connection.zadd('rq:failed:default', {'failed': 2e9})
    connection.expire('rq:job:failed', 100)
    connection.rpush(queue.key, 'failed')
    found['ended', queue.key] = lambda: (
        status('failed') == 'queued' and connection.ttl('rq:job:failed') == -1 and score('failed', 'failed') is None
    )
    ended('done-before', JobStatus.FINISHED)
    connection.expire('rq:job:done-before', 100)
    connection.zadd('rq:scheduled:default', {'done-before': 2e9})
    found['ended', 'rq:scheduled:default'] = lambda: (
        status('done-before') == 'scheduled' and connection.ttl('rq:job:done-before') == -1
    )
    connection.zadd('rq:scheduled:default', {'sound': 2e9})
    found['again', 'rq:scheduled:default'] = lambda: False
    enqueue('stopped').cancel()
    connection.rpush(queue.key, 'stopped')
    found['misplaced', queue.key] = lambda: position('stopped') is None
    ended('done', JobStatus.FINISHED)
    connection.zadd('rq:finished:default', {'done': 2e9})
    connection.zadd('rq:canceled:default', {'done': 1})
    found['misplaced', 'rq:canceled:default'] = lambda: score('canceled', 'done') is None
    enqueue('twice')
    connection.rpush(queue.key, 'twice', 'twice')
    found['twice', queue.key] = lambda: len(connection.lpos(queue.key, 'twice', count=0)) == 1

    connection.xadd('rq:results:gone', {'type': '1'})
    connection.set('rq:output:gone', 'printed')
    connection.zadd('rq:executions:gone', {'execution': 1})
    connection.hset('rq:execution:gone:execution', 'id', 'execution')
    connection.sadd('rq:job:gone:dependents', 'sound')
    connection.sadd('rq:job::gone:dependencies', 'sound')
    for key in (
        *('rq:results:gone', 'rq:output:gone', 'rq:executions:gone', 'rq:execution:gone:execution'),
        *('rq:job:gone:dependents', 'rq:job::gone:dependencies'),
    ):
        found['orphan', key] = partial(is_gone, key)
    connection.hset('rq:job:remains', 'worker_name', 'none')
    found['remains', 'rq:job:remains'] = lambda: not connection.exists('rq:job:remains')
    connection.sadd('rq:workers', 'rq:worker:gone')
    found['gone', 'rq:workers'] = lambda: not connection.sismember('rq:workers', 'rq:worker:gone')
    Queue('unlisted', connection=connection).enqueue('worker_jobs.nothing')
    connection.srem('rq:queues', 'rq:queue:unlisted')
    found['unlisted', 'rq:queue:unlisted'] = lambda: connection.sismember('rq:queues', 'rq:queue:unlisted')
    connection.sadd('rq:group:unlisted', 'sound')
    found['unlisted', 'rq:group:unlisted'] = lambda: connection.sismember('rq:groups', 'unlisted')

    connection.set('rq:failed:other', 'a string')
    found['type', 'rq:failed:other'] = lambda: False
    connection.set('rq:job:strange', 'a string')
    found['type', 'rq:job:strange'] = lambda: False
    enqueue('unreadable')
    connection.hset('rq:job:unreadable', 'retries_left', '2.0')
    found['unreadable', 'rq:job:unreadable'] = lambda: False
    return found

"""Many jobs changed at once: what comes of it is what RQ's own methods leave, one by one."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError
from rq import Queue
from rq.exceptions import InvalidJobOperation
from rq.group import Group
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit
from rq.registry import CanceledJobRegistry, FailedJobRegistry

from rq_leveldb import Redis
from rq_leveldb.jobs.cancellation import cancel_many
from rq_leveldb.jobs.deletion import GONE, delete_many
from rq_leveldb.jobs.requeueing import NOT_THERE, requeue_many
from rq_leveldb.lookup import Seen, see_jobs
from rq_leveldb.reading import Reader
from tests.cli.support import Call, work

FUNCTION = 'cli_jobs.fail'


def fail_some(redis: Redis, count: int = 1) -> list[str]:
    """Return the ids of failed jobs, each with something else to it."""
    queue, group = Queue('mail', connection=redis), Group.create(redis, 'some')
    for number in range(count):
        queue.enqueue(FUNCTION, job_id=f'plain-{number}')
    queue.enqueue(FUNCTION, job_id='meta', meta={'user': 'alice'}, ttl=3000, description='é')
    queue.enqueue(FUNCTION, job_id='limited', rate_limit=RateLimit('key', 1))
    Queue('other', connection=redis).enqueue(FUNCTION, job_id='elsewhere', failure_ttl=-1, at_front=True)
    group.enqueue_many(queue, [Queue.prepare_data(FUNCTION, job_id='grouped')])
    queue.enqueue('cli_jobs.add', 1, 2, depends_on='plain-0', job_id='dependent')
    work(redis, 'mail', 'other')
    redis.hset('rq:job:plain-0', 'status', 'stopped')
    return [*(f'plain-{number}' for number in range(count)), 'meta', 'limited', 'elsewhere', 'grouped']


def wait_some(redis: Redis) -> list[str]:
    """Return the ids of jobs that wait, each with something else to it."""
    queue, group = Queue('mail', connection=redis), Group.create(redis, 'some')
    queue.enqueue('cli_jobs.add', job_id='first')
    queue.enqueue('cli_jobs.add', job_id='second', at_front=True, ttl=3000)
    queue.enqueue('cli_jobs.add', job_id='deferred', depends_on='first')
    queue.enqueue_in(timedelta(hours=1), 'cli_jobs.add', job_id='scheduled')
    queue.enqueue('cli_jobs.add', job_id='limited', rate_limit=RateLimit('key', 1))
    queue.enqueue('cli_jobs.add', job_id='also-limited', rate_limit=RateLimit('key', 1))
    group.enqueue_many(queue, [Queue.prepare_data('cli_jobs.add', job_id='grouped')])
    return ['second', 'first', 'deferred', 'scheduled', 'limited', 'also-limited', 'grouped']


def see(redis: Redis, job_ids: list[str]) -> list[Seen]:
    found = see_jobs(redis, job_ids, Reader())
    assert None not in found
    return [seen for seen in found if seen is not None]


def jobs(redis: Redis, job_ids: list[str]) -> list[Job]:
    return [seen.job for seen in see(redis, job_ids)]


def fetch(redis: Redis, job_id: str) -> Job:
    return Job.fetch(job_id, connection=redis)


def state(redis: Any) -> dict[str, Any]:
    """Return all that is stored, except for times."""
    found: dict[str, Any] = {}
    for key in {raw.decode() for raw in redis.keys('rq:*') if not raw.startswith(b'rq:worker')}:
        if ':results:' in key:
            found[key] = redis.xlen(key)
        elif redis.type(key) == b'zset':
            found[key] = [member for member, _ in sorted(redis.zrange(key, 0, -1, withscores=True))]
        elif redis.type(key) == b'hash':
            found[key] = {name: value for name, value in redis.hgetall(key).items() if not is_a_time(name)}
        elif redis.type(key) == b'list':
            found[key] = redis.lrange(key, 0, -1)
        elif redis.type(key) == b'set':
            found[key] = redis.smembers(key)
        found[f'{key} expires'] = redis.ttl(key) > 0
    return found


def is_a_time(name: bytes) -> bool:
    return name.endswith((b'_at', b'heartbeat')) or name == b'worker_name'


Way = Callable[[Redis, list[str]], Any]
WAYS: dict[str, tuple[Callable[[Redis], list[str]], Way, Way]] = {
    'requeue': (
        fail_some,
        lambda redis, ids: [fetch(redis, job_id).requeue() for job_id in ids],
        lambda redis, ids: requeue_many(redis, jobs(redis, ids)),
    ),
    'requeue at the front': (
        fail_some,
        lambda redis, ids: [fetch(redis, job_id).requeue(at_front=True) for job_id in ids],
        lambda redis, ids: requeue_many(redis, jobs(redis, ids), at_front=True),
    ),
    'delete failed': (
        fail_some,
        lambda redis, ids: [fetch(redis, job_id).delete() for job_id in ids],
        lambda redis, ids: delete_many(redis, see(redis, ids)),
    ),
    'delete with dependents': (
        fail_some,
        lambda redis, ids: [fetch(redis, job_id).delete(delete_dependents=True) for job_id in ids],
        lambda redis, ids: delete_many(redis, see(redis, ids), with_dependents=True),
    ),
    'delete waiting': (
        wait_some,
        lambda redis, ids: [fetch(redis, job_id).delete() for job_id in ids],
        lambda redis, ids: delete_many(redis, see(redis, ids)),
    ),
    'cancel': (
        wait_some,
        lambda redis, ids: [fetch(redis, job_id).cancel() for job_id in ids],
        lambda redis, ids: cancel_many(redis, jobs(redis, ids)),
    ),
    'cancel and enqueue dependents': (
        wait_some,
        lambda redis, ids: [fetch(redis, job_id).cancel(enqueue_dependents=True) for job_id in ids[:2]],
        lambda redis, ids: cancel_many(redis, jobs(redis, ids[:2]), enqueue_dependents=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize('way', WAYS)
def test_the_store_says_what_it_says_after_rqs_own_method(way: str, redis: Redis) -> None:
    prepare, by_rq, by_us = WAYS[way]
    by_rq(redis, prepare(redis))
    expected = state(redis)
    redis.flushdb()
    assert not any(by_us(redis, prepare(redis)))
    assert state(redis) == expected


def test_the_order_is_kept(redis: Redis) -> None:
    ids = fail_some(redis, 250)
    ids.remove('elsewhere')
    assert not any(requeue_many(redis, jobs(redis, ids)))
    assert Queue('mail', connection=redis).job_ids == ids


def requeue_and_fail_again(redis: Redis) -> None:
    job = fetch(redis, 'plain-1')
    job.requeue()
    work(redis, 'mail')
    job.meta['seen'] = 'again'
    job.save_meta()


@pytest.mark.parametrize('meanwhile', [
    lambda redis: fetch(redis, 'plain-1').delete(),
    lambda redis: fetch(redis, 'plain-1').requeue(),
    lambda redis: redis.zrem('rq:failed:mail', 'plain-1'),
], ids=['deleted', 'requeued', 'taken out'])  # fmt: skip
def test_a_job_that_somebody_else_changed_is_not_requeued(meanwhile: Callable[[Redis], Any], redis: Redis) -> None:
    chosen = jobs(redis, fail_some(redis, 3)[:3])
    meanwhile(redis)
    before = redis.hgetall('rq:job:plain-1'), Queue('mail', connection=redis).job_ids
    first, second, third = requeue_many(redis, chosen)
    assert (first, third) == (None, None)
    assert isinstance(second, NOT_THERE)
    assert (redis.hgetall('rq:job:plain-1'), Queue('mail', connection=redis).job_ids[: len(before[1])]) == before


def test_a_job_that_ran_and_failed_again_meanwhile_keeps_what_it_wrote(redis: Redis) -> None:
    chosen = jobs(redis, fail_some(redis, 3)[:3])
    requeue_and_fail_again(redis)
    assert requeue_many(redis, chosen) == [None] * 3
    assert fetch(redis, 'plain-1').meta == {'seen': 'again'}


def test_a_job_that_is_given_twice_is_requeued_once(redis: Redis) -> None:
    ids = fail_some(redis, 1)
    first, second = requeue_many(redis, jobs(redis, [ids[0], ids[0]]))
    assert first is None
    assert isinstance(second, InvalidJobOperation)
    assert Queue('mail', connection=redis).job_ids == [ids[0]]


def test_a_job_that_was_started_or_deleted_meanwhile_is_left_to_rq(redis: Redis) -> None:
    ids = wait_some(redis)
    seen = see(redis, ids[:3])
    redis.lrem('rq:queue:mail', 1, ids[0])
    redis.zadd('rq:wip:mail', {f'{ids[0]}:x': time.time() + 100})
    redis.hset(f'rq:job:{ids[0]}', 'status', 'started')
    fetch(redis, ids[1]).delete()
    canceled = [job.job for job in seen]
    outcomes = cancel_many(redis, canceled)
    assert (outcomes[0], outcomes[2]) == (None, None)
    assert isinstance(outcomes[1], InvalidJobOperation)
    assert not Job.exists(ids[1], redis)
    assert isinstance(delete_many(redis, seen)[1], GONE)


def test_one_that_cannot_be_written_is_told_and_the_others_are_done(redis: Redis) -> None:
    chosen = jobs(redis, fail_some(redis, 1))
    redis.delete('rq:queue:other')
    redis.set('rq:queue:other', 'text')
    outcomes = dict(zip([job.id for job in chosen], requeue_many(redis, chosen), strict=True))
    error = outcomes.pop('elsewhere')
    assert isinstance(error, ResponseError)
    assert 'WRONGTYPE' in str(error)
    assert not any(outcomes.values())


def test_jobs_that_are_canceled_one_by_one_are_told_as_canceled(redis: Redis, call: Call) -> None:
    ids = wait_some(redis)
    assert call('cancel', 'limited', 'second') == (0, 'Canceled 2 jobs.\n')
    code, text = call('cancel', 'first', 'gone', 'deferred', 'second', '--enqueue-dependents')
    assert (code, text.count('Error: ')) == (1, 2)
    assert 'job gone: there is no such job' in text
    assert 'job second: it is canceled' in text
    canceled = {'limited', 'second', 'first', 'deferred'}
    assert {job_id for job_id in ids if fetch(redis, job_id).is_canceled} == canceled


class NoScripts(Redis):
    """A client of a user who may run no scripts."""

    def execute_command(self, *command: Any, **options: Any) -> Any:
        if command[0] == 'EVALSHA':
            raise NoPermissionError("User x has no permissions to run the 'evalsha' command")
        return super().execute_command(*command, **options)


def test_without_scripts_rqs_methods_do_it(redis: Redis, url: str) -> None:
    ids = fail_some(redis, 3)[:3]
    with NoScripts.from_url(url) as connection:
        assert requeue_many(connection, jobs(connection, ids)) == [None] * 3
    assert Queue('mail', connection=redis).job_ids == ids


class OwnJob(Job):
    """An application's job: its own keys, and a field of its own that is written with the others."""

    redis_job_namespace_prefix = 'own:job:'

    def restore(self, raw_data: Any) -> Any:
        super().restore(raw_data)
        self.tenant = raw_data.get(b'tenant', b'?').decode()

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        return {**super().to_dict(include_meta, include_result), 'tenant': getattr(self, 'tenant', 'new') + '+'}


class Fetched(OwnJob):
    """One that is also fetched in its own way."""

    @classmethod
    def fetch(cls, id: str, connection: Any = None, serializer: Any = None) -> Job:
        job = super().fetch(id, connection, serializer)
        job.meta['fetched'] = True
        return job


@pytest.mark.parametrize('job_class', [OwnJob, Fetched])
def test_an_applications_own_job_class(job_class: type[Job], redis: Redis, call: Call) -> None:
    queue = Queue('mail', connection=redis, job_class=job_class)
    # Those that failed in one second are in the order of their ids.
    ids = [queue.enqueue(FUNCTION, job_id=f'job-{number}').id for number in range(3)]
    redis.delete(queue.key)
    for job in job_class.fetch_many(ids, connection=redis):
        assert job is not None
        job.set_status(JobStatus.FAILED)
        job.failed_job_registry.add(job)
    path = f'{job_class.__module__}.{job_class.__qualname__}'
    before = [redis.hget(f'own:job:{job_id}', 'tenant') for job_id in ids]
    assert call('requeue', '--all', '--job-class', path) == (
        0, 'Requeueing 3 jobs from failed queue\nRequeued 3 jobs.\n',
    )  # fmt: skip
    assert queue.job_ids == ids
    assert [redis.hget(f'own:job:{job_id}', 'tenant') for job_id in ids] == [one + b'+' for one in before]
    assert [job.meta for job in queue.jobs] == [{'fetched': True} if job_class is Fetched else {}] * 3


@pytest.mark.needs_store('the command line in a process of its own')
@pytest.mark.parametrize('command', [('requeue', '--all'), ('cancel', '--all', '--yes')], ids=' '.join)
def test_whoever_is_killed_each_job_is_in_one_place(command: tuple[str, ...], redis: Redis, store_dir: Path) -> None:
    queue, failed = Queue('mail', connection=redis), FailedJobRegistry('mail', connection=redis)
    canceled = CanceledJobRegistry('mail', connection=redis)
    is_requeue = command[0] == 'requeue'
    before, after = (failed.key, queue.key) if is_requeue else (queue.key, canceled.key)
    pipe = redis.pipeline()
    jobs = [Job.create(FUNCTION, connection=redis, origin='mail') for _ in range(3000)]
    for job in jobs:
        job.set_status(JobStatus.FAILED if is_requeue else JobStatus.QUEUED, pipeline=pipe)
        job.save(pipeline=pipe)
        if is_requeue:
            failed.add(job, pipeline=pipe)
        else:
            queue.push_job_id(job.id, pipeline=pipe)
    pipe.sadd('rq:queues', queue.key)
    pipe.execute()

    def size(key: str) -> int:
        return int(redis.llen(key) if key == queue.key else redis.zcard(key))

    arguments = [sys.executable, '-m', 'rq_leveldb', *command, '--url', f'leveldb://{store_dir}']
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    while not size(after) and process.poll() is None:
        time.sleep(0)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert size(after) > 0
    assert size(before) + size(after) == 3000
    expected = 'queued' if is_requeue else 'canceled'
    moved = redis.lrange(after, 0, -1) if after == queue.key else redis.zrange(after, 0, -1)
    assert {redis.hget(f'rq:job:{job_id.decode()}', 'status') for job_id in moved} == {expected.encode()}

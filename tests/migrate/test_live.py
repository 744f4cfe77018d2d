"""rq-leveldb migrate --live between two stores: each step by hand, and the command as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import worker_jobs
from rq import Callback, Queue, Repeat, Retry, SimpleWorker
from rq.group import Group
from rq.job import Dependency, Job, JobStatus
from rq.rate_limit import RateLimit, RateLimitRegistry
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

from rq_leveldb import Redis
from rq_leveldb.migrate import LiveMigration, Outcome, Wire
from rq_leveldb.migrate.record import STEPS
from rq_leveldb.migrate.step import Seen, Step
from rq_leveldb.paused_queues import is_paused, pause
from tests.conftest import stop_store


class Places:
    def __init__(self, directory: Path) -> None:
        self.source, self.target = f'leveldb://{directory}/a', f'leveldb://{directory}/b'
        self.old, self.new = Redis.from_url(self.source), Redis.from_url(self.target)
        self.queue, self.there = Queue('default', connection=self.old), Queue('default', connection=self.new)

    def job(self, job: Job | str) -> Job:
        """The job as the target has it."""
        return Job.fetch(job if isinstance(job, str) else job.id, connection=self.new)

    def move(self, is_worked: Callable[[], bool] = lambda: False) -> Outcome:
        # Nobody waits here for jobs to be some seconds old.
        for key in self.old.scan_iter('rq:job:*', _type='HASH'):
            self.old.hset(key, 'created_at', '2020-01-01T00:00:00.000000Z')
        with LiveMigration(self.source, self.target, is_worked=is_worked) as migration:
            return migration.run(migration.plan())

    def work(self, redis: Redis) -> None:
        SimpleWorker(['default', 'other'], connection=redis).work(burst=True, logging_level='CRITICAL')


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    places = Places(tmp_path)
    yield places
    places.old.close()
    places.new.close()
    for name in ('a', 'b'):
        stop_store(tmp_path / name)


@pytest.fixture
def step(places: Places) -> Iterator[Step]:
    with Wire(places.source) as source, Wire(places.target) as target:
        yield Step(source, target)


def seen(*jobs: Job) -> list[Seen]:
    return [Seen(job.id.encode(), b'rq:queue:default', 1) for job in jobs]


def fields(redis: Redis, job: Job) -> dict[Any, Any]:
    found: dict[Any, Any] = redis.hgetall(job.key)
    assert found.pop(b'created_at')
    return found


def test_jobs_in_every_state_come_over_as_they_were(places: Places) -> None:
    queue = places.queue
    before = [queue.enqueue(worker_jobs.nothing) for _ in range(120)]
    first = queue.enqueue(worker_jobs.add, 1, 2, at_front=True, meta={'a': 1}, on_success=Callback(print), ttl=900)
    parent = queue.enqueue(worker_jobs.add, 3, 4)
    child = queue.enqueue(worker_jobs.add, 5, 6, depends_on=parent)
    due = datetime.now(timezone.utc) + timedelta(days=2)
    scheduled = queue.enqueue_at(due, worker_jobs.nothing)
    canceled = queue.enqueue(worker_jobs.nothing)
    canceled.cancel()
    other = Queue('other', connection=places.old)
    finished, failed = other.enqueue(worker_jobs.add, 7, 8), other.enqueue(worker_jobs.add, 'a', 1)
    SimpleWorker(['other'], connection=places.old).work(burst=True, logging_level='CRITICAL')
    jobs = (first, parent, child, scheduled, canceled, finished, failed)
    held = {job.id: fields(places.old, job) for job in jobs}
    expires = {job.id: places.old.pexpiretime(job.key) for job in jobs}
    order = queue.job_ids

    outcome = places.move()

    assert outcome.moved == len(before) + len(jobs)
    assert not outcome.left.count
    assert not list(places.old.scan_iter('rq:job:*'))
    assert places.there.job_ids == order
    assert {job.id: fields(places.new, job) for job in jobs} == held
    assert {job.id: places.new.pexpiretime(job.key) for job in jobs} == expires
    scheduled_there = ScheduledJobRegistry('default', connection=places.new).get_scheduled_time(scheduled.id)
    assert scheduled_there == due.replace(microsecond=0)
    assert DeferredJobRegistry('default', connection=places.new).get_job_ids() == [child.id]
    assert FinishedJobRegistry('other', connection=places.new).get_job_ids() == [finished.id]
    assert FailedJobRegistry('other', connection=places.new).get_job_ids() == [failed.id]
    assert places.job(canceled).id in places.there.canceled_job_registry
    assert places.job(finished).return_value() == 15
    assert 'TypeError' in (places.job(failed).latest_result().exc_string or '')
    places.work(places.new)
    assert places.job(child).return_value() == 11


@pytest.mark.parametrize('boundary', ['taken', 'put', 'put and run', 'dropped'])
def test_what_was_killed_between_two_parts_of_a_step_is_completed(places: Places, step: Step, boundary: str) -> None:
    parent = places.queue.enqueue(worker_jobs.add, 1, 2)
    child = places.queue.enqueue(worker_jobs.add, 3, 4, depends_on=parent)
    rest = places.queue.enqueue(worker_jobs.add, 5, 6)
    assert step.take([[*seen(parent), Seen(child.id.encode(), b'', 0)]]) == ['']
    assert places.queue.job_ids == [rest.id]
    assert not places.old.exists(parent.key, parent.dependents_key, child.key)
    assert not places.there.job_ids
    if boundary != 'taken':
        assert step.put() == []
        assert places.there.job_ids == [parent.id]
    if boundary == 'put and run':
        places.work(places.new)
        places.new.delete(parent.key)
    if boundary == 'dropped':
        step.drop()
        assert not step.is_under_way()
        assert not list(places.old.scan_iter('rq-leveldb:migration*'))

    outcome = places.move()

    assert not outcome.left.count
    assert not list(places.old.scan_iter('*job*'))
    places.work(places.new)
    if boundary == 'put and run':
        # It is not brought back.
        assert not places.new.exists(parent.key)
    else:
        assert len(places.job(parent).results()) == 1
    assert [result.return_value for result in places.job(child).results()] == [7]
    assert places.job(rest).return_value() == 11


def test_a_step_that_was_put_is_not_put_again_by_whoever_stood_still(places: Places, step: Step) -> None:
    job = places.queue.enqueue(worker_jobs.nothing)
    step.take([seen(job)])
    step.put()
    places.there.empty()
    step.put()
    assert not places.there.job_ids
    assert places.new.scard(STEPS) == 1
    other = places.queue.enqueue(worker_jobs.nothing)
    step.drop()
    step.take([seen(other)])
    step.put()
    step.drop()
    assert places.there.job_ids == [other.id]


def test_a_step_does_not_end_the_next_one(places: Places, step: Step) -> None:
    first, second = (places.queue.enqueue(worker_jobs.nothing) for _ in range(2))
    with Wire(places.source) as source, Wire(places.target) as target:
        slow = Step(source, target)
        step.take([seen(first)])
        slow.put()
        step.put()
        step.drop()
        step.take([seen(second)])
        slow.drop()
    assert step.is_under_way()
    step.put()
    step.drop()
    assert places.there.job_ids == [first.id, second.id]


def test_keys_of_another_type_are_in_nobodys_way(places: Places, step: Step) -> None:
    first, second, third = (places.queue.enqueue(worker_jobs.nothing) for _ in range(3))
    places.old.set('rq:finished:default', 'x')
    places.old.set(second.dependents_key, 'x')
    assert step.take([seen(first), seen(second), seen(third)]) == ['', 'unreadable', '']
    step.put()
    step.drop()
    assert places.queue.job_ids == [second.id]
    outcome = places.move()
    assert list(outcome.left.some) == [second.id]
    assert places.there.job_ids == [first.id, third.id]


def test_a_job_that_was_enqueued_again_since_it_was_seen_is_in_its_queue(places: Places, step: Step) -> None:
    job = places.queue.enqueue(worker_jobs.nothing)
    assert step.take([[Seen(job.id.encode(), b'rq:queue:default', 0)]]) == ['']
    step.put()
    step.drop()
    assert places.there.job_ids == [job.id]
    assert not places.queue.job_ids


def test_what_expires_on_its_way_is_gone_and_what_waits_in_the_target_goes_on_waiting(
    places: Places, step: Step
) -> None:
    job, parent = places.queue.enqueue(worker_jobs.nothing, ttl=60), places.queue.enqueue(worker_jobs.nothing)
    places.new.sadd(parent.dependents_key, 'somebody')
    child = places.queue.enqueue(worker_jobs.nothing, depends_on=parent)
    step.take([seen(job), [*seen(parent), Seen(child.id.encode(), b'', 0)]])
    places.old.pexpire(f'rq-leveldb:migration:moving:{job.key}', 0)
    assert step.put() == []
    step.drop()
    assert places.there.job_ids == [parent.id]
    assert places.new.smembers(parent.dependents_key) == {b'somebody', child.id.encode()}


def test_what_a_worker_has_stays_until_it_is_done(places: Places) -> None:
    running = places.queue.enqueue(worker_jobs.nothing)
    dependent = places.queue.enqueue(worker_jobs.nothing, depends_on=running)
    waiting = places.queue.enqueue(worker_jobs.nothing, depends_on=[running])
    free = places.queue.enqueue(worker_jobs.nothing)
    # As RQ's worker does before anything else is written.
    assert places.old.lpop('rq:queue:default') == running.id.encode()
    asked: list[str] = []

    def is_worked() -> bool:
        asked.append(running.get_status())
        if len(asked) == 2:
            assert places.there.job_ids == [free.id]
            assert places.old.exists(dependent.key, waiting.key) == 2
            places.queue.push_job_id(running.id)
            SimpleWorker(['default'], connection=places.old).work(max_jobs=1, burst=True, logging_level='CRITICAL')
        return True

    outcome = places.move(is_worked)

    assert not outcome.left.count
    assert asked[1] == 'queued'
    assert places.job(running).get_status() == JobStatus.FINISHED
    assert places.there.job_ids[0] == free.id
    assert set(places.there.job_ids) == {free.id, dependent.id, waiting.id}


def test_what_nobody_will_finish_is_named(places: Places) -> None:
    lost = places.queue.enqueue(worker_jobs.nothing)
    places.old.lpop('rq:queue:default')
    dependent = places.queue.enqueue(worker_jobs.nothing, depends_on=lost)
    outcome = places.move()
    assert set(outcome.left.some) == {lost.id, dependent.id}
    assert 'a worker has it' in outcome.left.some[lost.id]
    assert lost.get_status() == JobStatus.QUEUED


def test_a_job_that_both_have_stays_and_is_given_back_in_its_place(places: Places, step: Step) -> None:
    jobs = [places.queue.enqueue(worker_jobs.nothing, job_id=name) for name in ('one', 'two', 'three')]
    child = places.queue.enqueue(worker_jobs.nothing, depends_on='two')
    held = {key: places.old.type(key) for key in places.old.scan_iter()}
    step.take([seen(jobs[0]), [*seen(jobs[1]), Seen(child.id.encode(), b'', 0)]])
    # In the moment between.
    places.there.enqueue(worker_jobs.nothing, job_id='two')
    assert step.put() == [b'two']
    step.give_back()
    assert places.queue.job_ids == ['one', 'two', 'three']
    assert {key: places.old.type(key) for key in places.old.scan_iter()} == held
    assert places.old.smembers('rq:job:two:dependents') == {child.id.encode()}

    outcome = places.move()

    assert outcome.moved == 2
    assert outcome.left.some['two'] == 'both have a job of this id'
    assert set(outcome.left.some) == {'two', child.id}
    assert places.there.job_ids == ['two', 'one', 'three']
    assert places.queue.job_ids == ['two']


def test_a_dependent_of_a_job_that_ended_in_the_target_is_enqueued_there(places: Places) -> None:
    places.there.enqueue(worker_jobs.nothing, job_id='done')
    places.there.enqueue_in(timedelta(days=1), worker_jobs.nothing, job_id='later')
    places.work(places.new)
    # As they are registered where the dependency is not known yet.
    for name, other in (('first', 'done'), ('second', 'later')):
        job = Job.create(worker_jobs.nothing, id=name, depends_on=other, connection=places.old, origin='default')
        job.set_status(JobStatus.DEFERRED)
        job.register_dependency()
        job.save()
    # RQ takes what it does not find for done.
    late = places.queue.enqueue(worker_jobs.nothing, depends_on='later')
    assert late.get_status() == JobStatus.QUEUED

    assert not places.move().left.count

    assert places.there.job_ids == ['first']
    assert places.job('first').get_status() == JobStatus.QUEUED
    assert places.job('second').get_status() == places.job(late).get_status() == JobStatus.DEFERRED
    places.new.zadd('rq:scheduled:default', {'later': 1})
    SimpleWorker(['default'], connection=places.new).work(burst=True, with_scheduler=True, logging_level='CRITICAL')
    places.work(places.new)
    assert places.job(late).get_status() == places.job('second').get_status() == JobStatus.FINISHED


def test_a_dependent_whose_worker_came_too_late_is_enqueued(places: Places) -> None:
    failed = places.queue.enqueue(worker_jobs.add, 'a', 1)
    depends = Dependency([failed], allow_failure=True)
    dependent = places.queue.enqueue(worker_jobs.nothing, depends_on=depends)
    strict = places.queue.enqueue(worker_jobs.nothing, depends_on=failed)

    class Dying(SimpleWorker):
        def _enqueue_dependents_safely(self, *arguments: Any, **more: Any) -> None:
            """RQ does this after it has committed the failure."""

    Dying(['default'], connection=places.old).work(burst=True, logging_level='CRITICAL')
    assert dependent.get_status() == JobStatus.DEFERRED
    assert not places.move().left.count
    assert places.there.job_ids == [dependent.id]
    assert places.job(strict).get_status() == JobStatus.DEFERRED


def test_repeats_retries_and_groups_go_on_where_they_were(places: Places) -> None:
    repeating = places.queue.enqueue(worker_jobs.nothing, repeat=Repeat(times=2, interval=0))
    retried = places.queue.enqueue(worker_jobs.add, 'a', 1, retry=Retry(max=2, interval=[3600, 0]))
    SimpleWorker(['default'], connection=places.old).work(burst=True, max_jobs=2, logging_level='CRITICAL')
    group = Group.create(connection=places.old, name='together')
    first, second = group.enqueue_many(places.queue, [Queue.prepare_data(worker_jobs.nothing) for _ in range(2)])
    assert retried.get_status() == JobStatus.SCHEDULED

    assert not places.move().left.count

    assert places.job(retried).retries_left == 1
    assert retried.id in ScheduledJobRegistry('default', connection=places.new)
    there = Group.fetch('together', places.new)
    assert {job.id for job in there.get_jobs()} == {first.id, second.id}
    assert [one.name for one in Group.all(places.new)] == ['together']
    assert not places.old.exists('rq:group:together')
    places.work(places.new)
    # Once here, twice there.
    assert len(places.job(repeating).results()) == 3


def test_a_rate_limit_holds_in_the_target(places: Places) -> None:
    limit = RateLimit('api', concurrency=1)
    running = places.there.enqueue(worker_jobs.nothing, rate_limit=limit)
    jobs = [places.queue.enqueue(worker_jobs.nothing, rate_limit=limit) for _ in range(3)]
    assert [job.get_status() for job in jobs] == ['queued', 'rate_limited', 'rate_limited']

    assert not places.move().left.count

    assert places.there.job_ids == [running.id]
    registry = RateLimitRegistry('api', places.new)
    # Those that waited have times in seconds.
    assert registry.get_rate_limited_job_ids()[0] == jobs[0].id
    assert registry.get_rate_limited_job_count() == 3
    assert not places.old.exists('rq:rl:api:allowed', 'rq:rl:api:rate_limited')
    places.work(places.new)
    assert {places.job(job).get_status() for job in jobs} == {JobStatus.FINISHED}


def test_the_scheduler_of_the_source_keeps_what_is_due(places: Places, step: Step) -> None:
    now = datetime.now(timezone.utc)
    due = places.queue.enqueue_at(now, worker_jobs.nothing)
    later = places.queue.enqueue_at(now + timedelta(hours=1), worker_jobs.nothing)
    places.old.set('rq:scheduler-lock:default', 'somebody', ex=60)
    assert step.take([[Seen(due.id.encode(), b'', 0)], [Seen(later.id.encode(), b'', 0)]]) == ['due', '']
    step.put()
    step.drop()
    places.old.delete('rq:scheduler-lock:default')
    assert step.take([[Seen(due.id.encode(), b'', 0)]]) == ['']


def test_what_is_no_job_is_left_alone(places: Places) -> None:
    job = places.queue.enqueue(worker_jobs.nothing)
    places.old.hset('rq:job:ghost', 'last_heartbeat', 'x')
    places.old.set('rq:job:string', 'x')
    places.old.rpush('rq:queue:default', 'ghost', 'nobody')
    outcome = places.move()
    assert places.there.job_ids == [job.id]
    assert places.queue.job_ids == ['ghost', 'nobody']
    assert list(outcome.left.some) == ['string']
    assert 'cannot be read' in outcome.left.some['string']


def test_cron_requests_and_pauses_are_known_in_the_target(places: Places) -> None:
    for redis, moment in ((places.old, 5), (places.new, 3)):
        redis.zadd('rq:cron_jobs', {'report': moment, str(moment): 1})
    places.old.zadd('rq:cron_job:report:jobs', {'a': 5})
    places.old.expire('rq:cron_job:report:jobs', 1000)
    places.old.set('rq-leveldb:http:idempotency:x', 'old', ex=100)
    places.old.set('rq:cron-due:entry', 'old')
    places.new.set('rq:cron-due:entry', 'new')
    pause(Queue('mail', connection=places.old))
    places.move()
    assert is_paused(Queue('mail', connection=places.new))
    assert places.new.zscore('rq:cron_jobs', 'report') == 5
    assert places.new.zcard('rq:cron_jobs') == 3
    assert places.new.pexpiretime('rq:cron_job:report:jobs') == places.old.pexpiretime('rq:cron_job:report:jobs') > 0
    assert places.new.get('rq-leveldb:http:idempotency:x') == b'old'
    assert 0 < places.new.ttl('rq-leveldb:http:idempotency:x') <= 100
    assert places.new.get('rq:cron-due:entry') == b'new'


def migrate(*arguments: str) -> tuple[int, str]:
    ran = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', 'migrate', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert 'Traceback' not in ran.stdout
    return ran.returncode, ran.stdout


def test_the_command_says_what_it_does(places: Places, step: Step) -> None:
    jobs = [places.queue.enqueue(worker_jobs.nothing, job_id=name) for name in ('one', 'both')]
    places.there.enqueue(worker_jobs.nothing, job_id='both')
    code, out = migrate(places.source, places.target, '--live', '--dry-run')
    assert code == 0
    assert 'Nothing was changed' in out
    assert places.queue.job_ids == ['one', 'both']
    code, out = migrate(places.source, places.target, '--live')
    assert code == 4
    assert 'Jobs: 1 moved' in out
    assert 'both: both have a job of this id' in out
    jobs[1].delete()
    code, out = migrate(places.source, places.target, '--live', '--json')
    assert code == 0
    assert json.loads(out)['outcome']['moved'] == 0
    assert places.there.job_ids == ['both', 'one']
    code, out = migrate(places.source, places.target, '--live', '--merge')
    assert code == 2
    assert 'leave out --merge' in out


def test_jobs_on_their_way_are_in_the_way_of_every_other_migration(places: Places, step: Step, tmp_path: Path) -> None:
    job = places.queue.enqueue(worker_jobs.nothing)
    step.take([seen(job)])
    for arguments, said in (
        ((places.source, places.target), 'run this again with --live'),
        ((places.source, f'leveldb://{tmp_path}/c', '--live'), f'on their way to {places.target}'),
        ((places.target, places.source, '--live'), f'on their way to {places.target}'),
    ):
        code, out = migrate(*arguments)
        assert code == 3, out
        assert said in out
    stop_store(tmp_path / 'c')
    code, out = migrate(places.source, places.target, '--live')
    assert code == 0
    assert places.there.job_ids == [job.id]

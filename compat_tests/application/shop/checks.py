"""What the shop relies on, one function per feature.

Each starts with an empty database, asserts, and returns what it saw, so that the same check can be compared between
one place of the jobs and another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from rq import Callback, Queue, RateLimit, Repeat, Retry, SimpleWorker, Webhook, Worker, cancel_job, requeue_job
from rq.command import send_shutdown_command, send_stop_job_command
from rq.cron import CronScheduler, get_cron_job_ids
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.group import Group
from rq.job import Dependency, Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended, resume, suspend
from rq.worker import DequeueStrategy

from shop import tasks
from shop.serializer import CompressedJSON

Seen = dict[str, Any]
Check = Callable[['Shop'], Seen]
CHECKS: dict[str, Check] = {}
WORKER_CLASSES = {'simple': SimpleWorker, 'fork': Worker}


class Shop:
    """The shop as a check finds it: an empty database and a class of workers."""

    def __init__(self, connection: Any, worker_class: str) -> None:
        self.connection = connection
        self.worker_class: Any = WORKER_CLASSES[worker_class]
        self.forks = worker_class == 'fork'

    def queue(self, name: str = 'default', **options: Any) -> Queue:
        return Queue(name, connection=self.connection, **options)

    def work(
        self, *names: str, scheduler: bool = False, strategy: Any = DequeueStrategy.DEFAULT, **options: Any
    ) -> Any:
        """Works until the queues are empty and returns the worker."""
        worker = self.worker_class(list(names or ['default']), connection=self.connection, **options)
        worker.work(burst=True, logging_level='CRITICAL', with_scheduler=scheduler, dequeue_strategy=strategy)
        return worker

    def fetch(self, job: Job, **options: Any) -> Job:
        return Job.fetch(job.id, connection=self.connection, **options)

    @contextmanager
    def worker_process(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """RQ's fork worker as a process of its own, the way it runs in production."""
        process = subprocess.Popen([sys.executable, '-m', 'shop.staff', *arguments])
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


def check(function: Check) -> Check:
    CHECKS[function.__name__] = function
    return function


def raises(kind: type[Exception], function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    try:
        function(*arguments, **options)
    except kind as error:
        return type(error).__name__
    raise AssertionError(f'no {kind.__name__}')


@check
def decorated_jobs(shop: Shop) -> Seen:
    job = tasks.price.delay(3, each=7)
    assert job.get_status() == JobStatus.QUEUED
    assert shop.queue().job_ids == [job.id]
    assert job.get_position() == 0
    shop.work()
    job.refresh()
    assert job.return_value() == 21
    assert job.is_finished
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.enqueued_at is not None
    assert job.enqueued_at <= job.started_at <= job.ended_at
    assert 0 < shop.connection.ttl(job.key) <= 300
    assert job.id in shop.queue().finished_job_registry
    letter = tasks.mail.enqueue('ann')
    ahead = tasks.mail.enqueue('bob', job_id='ahead')
    assert shop.queue('mail').job_ids == ['ahead', letter.id]
    shop.work('mail')
    assert tasks.entries() == ['price 3', 'mail bob', 'mail ann']
    assert (ahead.meta, ahead.description) == ({'kind': 'mail'}, 'a letter')
    return {'timeout': job.timeout, 'hash': sorted(key.decode() for key in shop.connection.hkeys(job.key))}


@check
def kinds_of_functions(shop: Shop) -> Seen:
    queue = shop.queue()
    jobs = [
        queue.enqueue('shop.tasks.price', 2),
        queue.enqueue(tasks.Warehouse('Wels').ship, 'a desk'),
        queue.enqueue(tasks.Warehouse.towns),
        queue.enqueue(tasks.fetch, '/prices'),
        queue.enqueue(tasks.echo, args=(1, 'zwei'), kwargs={'timeout': 3, 'ttl': 4}),
        queue.enqueue(tasks.echo, b'\x00\xff', nothing=None, when=datetime(2024, 2, 29, tzinfo=timezone.utc)),
        queue.enqueue(max, 3, 9),
    ]
    shop.work()
    values = [job.return_value(refresh=True) for job in jobs]
    assert values[:5] == [
        10,
        'a desk from Wels',
        ['Graz', 'Linz'],
        'fetched /prices',
        [[1, 'zwei'], {'timeout': 3, 'ttl': 4}],
    ]
    assert values[5:] == [[[b'\x00\xff'], {'nothing': None, 'when': datetime(2024, 2, 29, tzinfo=timezone.utc)}], 9]
    return {'calls': [job.get_call_string() for job in jobs]}


@check
def dependencies(shop: Shop) -> Seen:
    queue = shop.queue()
    parts = [queue.enqueue(tasks.price, quantity) for quantity in (1, 2, 3)]
    bill = queue.enqueue(tasks.invoice, 'ann', depends_on=parts)
    letter = queue.enqueue(tasks.mail, 'ann', depends_on=bill)
    assert bill.get_status() == JobStatus.DEFERRED
    assert set(queue.deferred_job_registry.get_job_ids()) == {bill.id, letter.id}
    assert len(bill.dependency_ids) == 3
    assert parts[0].dependent_ids == [bill.id]
    shop.work()
    assert bill.return_value(refresh=True) == {'customer': 'ann', 'total': 30}
    assert letter.get_status() == JobStatus.FINISHED
    assert queue.deferred_job_registry.count == 0

    broken = queue.enqueue(tasks.charge, 'stolen')
    never = queue.enqueue(tasks.mail, 'bob', depends_on=broken)
    anyway = queue.enqueue(
        tasks.mail, 'cid', depends_on=Dependency([broken], allow_failure=True, enqueue_at_front=True)
    )
    shop.work()
    assert broken.get_status() == JobStatus.FAILED
    assert never.get_status() == JobStatus.DEFERRED
    assert anyway.get_status() == JobStatus.FINISHED
    late = queue.enqueue(tasks.mail, 'dan', depends_on=parts[0])
    assert late.get_status() == JobStatus.QUEUED
    shop.work()

    first = queue.enqueue(tasks.price, 1)
    second = queue.enqueue(tasks.price, 2, depends_on=first)
    first.cancel(enqueue_dependents=True)
    assert second.get_status() == JobStatus.QUEUED
    shop.work()
    assert second.return_value(refresh=True) == 10
    return {'journal': sorted(tasks.entries()), 'deferred': queue.deferred_job_registry.count}


@check
def retries(shop: Shop) -> Seen:
    queue = shop.queue()
    lucky = queue.enqueue(tasks.flaky, 'lucky', 2, retry=Retry(max=3))
    unlucky = queue.enqueue(tasks.flaky, 'unlucky', 5, retry=Retry(max=2))
    asked = queue.enqueue(tasks.try_again, 'asked', 2)
    shop.work()
    assert lucky.return_value(refresh=True) == 'lucky after 3'
    assert (lucky.get_status(), unlucky.get_status(), asked.get_status()) == ('finished', 'failed', 'finished')
    assert 'try 3 of unlucky' in unlucky.latest_result().exc_string
    lucky.refresh()
    unlucky.refresh()
    assert (lucky.retries_left, unlucky.retries_left) == (1, 0)

    waits = queue.enqueue(tasks.flaky, 'waits', 1, retry=Retry(max=1, interval=[1]))
    shop.work()
    assert waits.get_status() == JobStatus.SCHEDULED
    due = queue.scheduled_job_registry.get_scheduled_time(waits)
    time.sleep(max(0.0, due.timestamp() - time.time()) + 0.01)
    shop.work(scheduler=True)
    assert waits.return_value(refresh=True) == 'waits after 2'
    kinds = [[result.type.name for result in job.results()] for job in (lucky, unlucky, asked, waits)]
    return {'kinds': kinds, 'failed': queue.failed_job_registry.get_job_ids() == [unlucky.id]}


@check
def scheduled_jobs(shop: Shop) -> Seen:
    queue = shop.queue()
    past = queue.enqueue_at(datetime.now(timezone.utc) - timedelta(minutes=5), tasks.price, 1)
    long_past = queue.enqueue_at(datetime(2020, 1, 1, 12, tzinfo=timezone.utc), tasks.price, 2)
    later = queue.enqueue_in(timedelta(hours=1), tasks.price, 3)
    registry = queue.scheduled_job_registry
    assert registry.get_job_ids() == [long_past.id, past.id, later.id]
    assert registry.get_scheduled_time(long_past) == datetime(2020, 1, 1, 12, tzinfo=timezone.utc)
    assert abs(registry.get_scheduled_time(later).timestamp() - time.time() - 3600) < 5
    assert shop.connection.zscore(registry.key, long_past.id) == 1577880000.0
    shop.work()
    assert past.get_status() == JobStatus.SCHEDULED
    shop.work(scheduler=True)
    assert tasks.entries() == ['price 2', 'price 1']
    assert registry.get_job_ids() == [later.id]
    later.cancel()
    assert later.id in queue.canceled_job_registry
    assert registry.count == 0
    return {'status': later.get_status()}


@check
def callbacks(shop: Shop) -> Seen:
    queue = shop.queue()
    good = queue.enqueue(tasks.charge, 'visa', job_id='good', on_success=Callback(tasks.celebrate, timeout=5))
    bad = queue.enqueue(tasks.charge, 'stolen', job_id='bad', on_failure=Callback('shop.tasks.console'))
    both = queue.enqueue(tasks.price, 1, job_id='both', on_success=tasks.celebrate, on_failure=tasks.console)
    shop.work()
    assert tasks.entries() == ['success good charged visa', 'failure bad CardDeclined', 'price 1', 'success both 5']
    return {'names': [job._success_callback_name or job._failure_callback_name for job in (good, bad, both)]}


@check
def stopping_a_job(shop: Shop) -> Seen:
    queue = shop.queue()
    job = queue.enqueue(tasks.slow, 60, job_id='endless', on_stopped=Callback(tasks.tidy_up))
    with shop.worker_process('default', 'long-worker') as process:
        assert shop.connection.blpop(f'shop:running:{job.id}', timeout=30) is not None
        worker = Worker.all(connection=shop.connection)[0]
        assert worker.get_state() == 'busy'
        assert worker.get_current_job_id() == job.id
        assert job.get_status() == JobStatus.STARTED
        assert queue.started_job_registry.get_job_ids() == [job.id]
        send_stop_job_command(shop.connection, job.id)
        result = Result.fetch_latest(job, timeout=30)
        assert result is not None
        seen = {'result': result.type.name, 'why': result.exc_string, 'name': worker.name}
        send_shutdown_command(shop.connection, 'long-worker')
        assert process.wait(30) == 0
    assert job.get_status() == JobStatus.STOPPED
    assert tasks.entries() == ['stopped endless']
    assert Worker.count(connection=shop.connection) == 0
    return seen


@check
def killed_process(shop: Shop) -> Seen:
    """With a process per job, its death by a signal is an ordinary failure."""
    if not shop.forks:
        return {}
    queue = shop.queue()
    job = queue.enqueue(tasks.die, job_id='victim')
    after = queue.enqueue(tasks.price, 1)
    shop.work(work_horse_killed_handler=tasks.bury)
    assert job.get_status() == JobStatus.FAILED
    assert after.get_status() == JobStatus.FINISHED
    assert tasks.entries() == ['buried victim', 'price 1']
    return {'why': job.latest_result().exc_string}


@check
def groups(shop: Shop) -> Seen:
    queue = shop.queue()
    group = Group.create(connection=shop.connection, name='orders')
    datas = [Queue.prepare_data(tasks.price, (quantity,), job_id=f'order-{quantity}') for quantity in range(1, 6)]
    group.enqueue_many(queue, datas)
    assert sorted(job.id for job in group.get_jobs()) == [f'order-{quantity}' for quantity in range(1, 6)]
    assert {job.group_id for job in group.get_jobs()} == {'orders'}
    shop.work()
    again = Group.fetch('orders', connection=shop.connection)
    assert sorted(job.return_value() for job in again.get_jobs()) == [5, 10, 15, 20, 25]
    shop.fetch(again.get_jobs()[0]).delete()
    assert len(again.get_jobs()) == 4
    assert [other.name for other in Group.all(connection=shop.connection)] == ['orders']
    for job in again.get_jobs():
        job.delete()
    Group.clean_registries(connection=shop.connection)
    assert Group.all(connection=shop.connection) == []
    return {'keys': sorted(key.decode() for key in shop.connection.scan_iter('rq:group*'))}


@check
def unique_jobs(shop: Shop) -> Seen:
    queue = shop.queue()
    first = queue.enqueue(tasks.price, 1, job_id='only-once', unique=True)
    again = raises(DuplicateJobError, queue.enqueue, tasks.price, 2, job_id='only-once', unique=True)
    assert queue.count == 1
    shop.work()
    assert first.return_value(refresh=True) == 5
    still = raises(DuplicateJobError, queue.enqueue, tasks.price, 2, job_id='only-once', unique=True)
    shop.fetch(first).delete()
    queue.enqueue(tasks.price, 3, job_id='only-once', unique=True)
    queue.enqueue_in(timedelta(hours=1), tasks.price, 4, job_id='tomorrow', unique=True)
    twice = raises(DuplicateJobError, queue.enqueue_in, timedelta(1), tasks.price, 4, job_id='tomorrow', unique=True)
    return {
        'errors': [again, still, twice],
        'queued': queue.job_ids,
        'later': queue.scheduled_job_registry.get_job_ids(),
    }


@check
def rate_limits(shop: Shop) -> Seen:
    queue = shop.queue()
    limit = RateLimit('bank', concurrency=2)
    jobs = [queue.enqueue(tasks.price, number, rate_limit=limit, job_id=f'bank-{number}') for number in range(5)]
    statuses = [job.get_status().value for job in jobs]
    assert statuses == ['queued', 'queued', 'rate_limited', 'rate_limited', 'rate_limited']
    registry = RateLimitRegistry('bank', connection=shop.connection)
    assert registry.get_allowed_job_ids() == ['bank-0', 'bank-1']
    assert registry.get_rate_limited_job_ids() == ['bank-2', 'bank-3', 'bank-4']
    jobs[0].cancel()
    assert jobs[2].get_status() == JobStatus.QUEUED
    shop.work()
    assert [job.return_value(refresh=True) for job in jobs] == [None, 5, 10, 15, 20]
    assert registry.get_allowed_job_count() == registry.get_rate_limited_job_count() == 0
    assert tasks.entries() == ['price 1', 'price 2', 'price 3', 'price 4']
    registry.cleanup()
    return {'keys': sorted(key.decode() for key in shop.connection.keys('rq:rl*'))}


@check
def repeats(shop: Shop) -> Seen:
    queue = shop.queue()
    at_once = queue.enqueue(tasks.price, 1, repeat=Repeat(times=2))
    shop.work()
    assert tasks.entries() == ['price 1'] * 3
    assert shop.fetch(at_once).repeats_left == 0
    assert len(at_once.results()) == 3
    hourly = queue.enqueue(tasks.price, 2, repeat=Repeat(times=2, interval=[3600, 7200]))
    shop.work()
    assert hourly.get_status() == JobStatus.SCHEDULED
    due = queue.scheduled_job_registry.get_scheduled_time(hourly).timestamp() - time.time()
    assert 3590 < due <= 3600
    return {'left': shop.fetch(hourly).repeats_left}


@check
def results(shop: Shop) -> Seen:
    queue = shop.queue()
    kept = queue.enqueue(tasks.price, 1, result_ttl=-1)
    dropped = queue.enqueue(tasks.price, 2, result_ttl=0)
    brief = queue.enqueue(tasks.price, 3, result_ttl=100)
    failed = queue.enqueue(tasks.charge, 'stolen', failure_ttl=50)
    assert kept.latest_result() is None
    shop.work()
    assert shop.connection.ttl(kept.key) == -1
    assert 95 < shop.connection.ttl(brief.key) <= 100
    assert raises(NoSuchJobError, shop.fetch, dropped) == 'NoSuchJobError'
    assert not shop.connection.exists(dropped.key)
    result = failed.latest_result()
    assert result.type == Result.Type.FAILED
    assert 'CardDeclined: no funds on \N{CREDIT CARD}' in result.exc_string
    assert 45 < shop.connection.ttl(Result.get_key(failed.id)) <= 50
    assert kept.latest_result().return_value == 5
    for _ in range(12):
        queue.enqueue_job(shop.fetch(kept))
        shop.work()
    history = kept.results()
    assert [entry.created_at for entry in history] == sorted((entry.created_at for entry in history), reverse=True)
    assert Result.count(kept) == len(history)
    # RQ asks for about ten (MAXLEN ~): the store keeps ten, Redis may keep a hundred more.
    assert len(history) >= 10
    return {'worker': bool(result.worker_name), 'type': shop.connection.type(Result.get_key(kept.id)).decode()}


@check
def waiting_for_a_result(shop: Shop) -> Seen:
    """A blocking read of the result's stream wakes up when another process writes it."""
    job = shop.queue().enqueue(tasks.price, 4)
    with shop.worker_process('default', 'burst', 'burst'):
        result = job.latest_result(timeout=30)
    assert result is not None
    assert result.return_value == 20
    return {'type': result.type.name}


@check
def custom_serializers(shop: Shop) -> Seen:
    seen = {}
    for serializer, expected in ((CompressedJSON, b'x\x9c'), (JSONSerializer, b'["shop.tasks.echo"')):
        queue = shop.queue(serializer=serializer)
        job = queue.enqueue(tasks.echo, 1, word='caf\xe9', meta={'of': 'shop'})
        assert shop.connection.hget(job.key, 'data') is not None
        shop.work(serializer=serializer)
        fetched = shop.fetch(job, serializer=serializer)
        assert fetched.return_value() == [[1], {'word': 'caf\xe9'}]
        assert fetched.args == [1]
        raw = fetched.data
        assert raw.startswith(expected)
        seen[serializer.__name__] = fetched.get_meta()
    queue = shop.queue(serializer=CompressedJSON)
    wrong = queue.enqueue(tasks.echo, 2)
    shop.work(serializer=JSONSerializer)
    assert wrong.get_status() == JobStatus.FAILED
    return {'meta': seen, 'failed': queue.failed_job_registry.count}


@check
def exception_handlers(shop: Shop) -> Seen:
    queue = shop.queue()
    queue.enqueue(tasks.charge, 'stolen', job_id='declined')
    queue.enqueue(tasks.flaky, 'x', 1, job_id='flaky')
    worker = shop.work(exception_handlers=[tasks.second_handler, tasks.ask_the_boss][::-1])
    assert tasks.entries() == ['boss declined CardDeclined', 'boss flaky ConnectionError', 'second flaky']
    assert sorted(queue.failed_job_registry.get_job_ids()) == ['declined', 'flaky']
    worker.refresh()
    assert (worker.failed_job_count, worker.successful_job_count) == (2, 0)
    return {'last line': Job.fetch('declined', shop.connection).latest_result().exc_string.splitlines()[-1]}


@check
def registries_and_requeue(shop: Shop) -> Seen:
    queue = shop.queue()
    flaky = queue.enqueue(tasks.flaky, 'one', 1)
    other = queue.enqueue(tasks.flaky, 'two', 2)
    shop.work()
    registry = queue.failed_job_registry
    assert sorted(registry.get_job_ids()) == sorted([flaky.id, other.id])
    assert registry.count == len(registry) == 2
    requeue_job(flaky.id, connection=shop.connection)
    assert registry.requeue(other.id, at_front=True).id == other.id
    assert queue.job_ids == [other.id, flaky.id]
    assert raises(InvalidJobOperation, registry.requeue, flaky.id) == 'InvalidJobOperation'
    shop.work()
    assert (flaky.get_status(), other.get_status()) == (JobStatus.FINISHED, JobStatus.FAILED)
    assert shop.fetch(other).requeue().get_status() == JobStatus.QUEUED
    shop.work()
    assert other.return_value(refresh=True) == 'two after 3'
    assert registry.count == 0
    assert set(queue.finished_job_registry.get_job_ids()) == {flaky.id, other.id}
    queue.finished_job_registry.remove(flaky, delete_job=True)
    assert not Job.exists(flaky.id, shop.connection)
    return {'finished': queue.finished_job_registry.get_job_ids() == [other.id]}


@check
def cancel_and_position(shop: Shop) -> Seen:
    queue = shop.queue()
    jobs = [queue.enqueue(tasks.price, number, job_id=f'j{number}') for number in range(50)]
    assert [jobs[number].get_position() for number in (0, 1, 25, 49)] == [0, 1, 25, 49]
    cancel_job('j25', connection=shop.connection)
    jobs[0].cancel()
    jobs[49].cancel()
    assert jobs[25].get_position() is None
    assert [jobs[number].get_position() for number in (1, 24, 26, 48)] == [0, 23, 24, 46]
    assert raises(InvalidJobOperation, shop.fetch(jobs[25]).cancel) == 'InvalidJobOperation'
    assert sorted(queue.canceled_job_registry.get_job_ids()) == ['j0', 'j25', 'j49']
    queue.remove('j30')
    jobs[31].delete()
    assert queue.count == 45
    front = queue.enqueue(tasks.price, 99, at_front=True)
    assert (front.get_position(), jobs[1].get_position()) == (0, 1)
    assert queue.get_job_ids(offset=1, length=3) == ['j1', 'j2', 'j3']
    assert [job.id for job in queue.get_jobs(44, 5)] == ['j47', 'j48']
    shop.work()
    assert tasks.entries() == [f'price {number}' for number in [99, *range(1, 25), *range(26, 30), *range(32, 49)]]
    queue.enqueue(tasks.price, 1)
    queue.enqueue(tasks.price, 2)
    assert queue.empty() == 2
    assert queue.is_empty()
    queue.delete()
    assert Queue.all(connection=shop.connection) == []
    return {'status': jobs[25].get_status()}


@check
def meta(shop: Shop) -> Seen:
    job = shop.queue().enqueue(tasks.progress, 3, meta={'by': 'ann'})
    shop.work()
    assert job.get_meta() == {'by': 'ann', 'step': 3}
    job.meta['read'] = True
    job.save_meta()
    return shop.fetch(job).meta


@check
def timeouts(shop: Shop) -> Seen:
    queue = shop.queue()
    slow = queue.enqueue(tasks.slow, 30, job_timeout=1)
    gone = queue.enqueue(tasks.price, 1, ttl=1)
    stays = queue.enqueue(tasks.price, 2, ttl='1h', job_timeout='2m')
    assert 3590 < shop.connection.ttl(stays.key) <= 3600
    shop.work()
    assert slow.get_status() == JobStatus.FAILED
    assert 'JobTimeoutException' in slow.latest_result().exc_string
    assert raises(NoSuchJobError, shop.fetch, gone) == 'NoSuchJobError'
    assert tasks.entries() == ['price 2']
    return {'timeout': shop.fetch(stays).timeout, 'why': slow.latest_result().exc_string.splitlines()[-1]}


@check
def webhooks(shop: Shop) -> Seen:
    command = [sys.executable, '-m', 'shop.receiver']
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        url = f'http://127.0.0.1:{int(receiver.stdout.readline())}/paid'
        hook = Webhook(url, 'finished', method='POST', headers={'X-Token': 'secret'})
        other = Webhook(url, 'failed', method='POST')
        shop.queue().enqueue(tasks.charge, 'visa', job_id='paid', webhooks=[hook, other])
        shop.work()
        request = json.loads(receiver.stdout.readline())
    body = request['body']
    assert (request['path'], request['token']) == ('/paid', 'secret')
    assert (body['job_id'], body['status'], body['func_name']) == ('paid', 'finished', 'shop.tasks.charge')
    return {'fields': sorted(body)}


@check
def cron(shop: Shop) -> Seen:
    scheduler = CronScheduler(connection=shop.connection, logging_level='CRITICAL', name='clock')
    scheduler.register(tasks.nightly, 'default', interval=3600, name='nightly')
    scheduler.register(tasks.price, 'default', args=(7,), cron='0 0 1 1 *', name='new-year')
    scheduler.register_birth()
    started = [entry.name for entry in scheduler.enqueue_jobs()]
    assert scheduler.enqueue_jobs() == []
    shop.work()
    (job_id,) = get_cron_job_ids('nightly', shop.connection)
    assert Job.fetch(job_id, shop.connection).return_value() == 'done'
    scheduler.save()
    fetched = CronScheduler.fetch('clock', shop.connection)
    names = sorted(entry.name for entry in fetched.get_jobs())
    scheduler.register_death()
    assert CronScheduler.all(shop.connection) == []
    return {'started': started, 'names': names, 'journal': tasks.entries()}


@check
def workers_and_suspension(shop: Shop) -> Seen:
    queue = shop.queue()
    queue.enqueue(tasks.price, 1)
    queue.enqueue(tasks.charge, 'stolen')
    worker = shop.work('default', 'mail', name='anna')
    assert Worker.count(connection=shop.connection) == 0
    worker.refresh()
    assert (worker.successful_job_count, worker.failed_job_count) == (1, 1)
    assert worker.total_working_time > 0
    assert worker.death_date is not None
    idle = shop.worker_class([queue], name='bert', connection=shop.connection)
    idle.register_birth()
    assert [other.name for other in Worker.all(connection=shop.connection)] == ['bert']
    assert [other.name for other in Worker.all(queue=queue)] == ['bert']
    assert raises(ValueError, shop.worker_class([queue], name='bert', connection=shop.connection).register_birth)
    idle.register_death()
    suspend(shop.connection, ttl=60)
    assert is_suspended(shop.connection)
    queue.enqueue(tasks.price, 2)
    shop.work()
    assert queue.count == 1
    resume(shop.connection)
    shop.work()
    assert queue.count == 0
    return {
        'queues': sorted(other.name for other in Queue.all(connection=shop.connection)),
        'names': worker.queue_names(),
    }


@check
def priorities(shop: Shop) -> Seen:
    for number in range(3):
        for name in ('low', 'high'):
            shop.queue(name).enqueue(tasks.mail, f'{name}{number}')
    shop.work('high', 'low')
    order = tasks.entries()
    assert order == [f'mail {name}{number}' for name in ('high', 'low') for number in range(3)]
    shop.connection.delete(tasks.journal)
    for name in ('low', 'high'):
        for number in range(3):
            shop.queue(name).enqueue(tasks.mail, f'{name}{number}')
    shop.work('high', 'low', strategy=DequeueStrategy.ROUND_ROBIN)
    return {'round robin': tasks.entries()}


@check
def many_at_once(shop: Shop) -> Seen:
    queue = shop.queue()
    datas = [
        Queue.prepare_data(tasks.price, (number,), job_id=f'many-{number}', meta={'number': number})
        for number in range(500)
    ]
    jobs = queue.enqueue_many(datas)
    assert queue.job_ids == [f'many-{number}' for number in range(500)]
    with shop.connection.pipeline() as pipe:
        queue.enqueue(tasks.price, 900, pipeline=pipe)
        queue.enqueue_many([Queue.prepare_data(tasks.price, (901,))], pipeline=pipe)
        assert queue.count == 500
        pipe.execute()
    assert queue.count == 502
    fetched = Job.fetch_many([job.id for job in jobs] + ['missing'], connection=shop.connection)
    assert fetched[-1] is None
    assert [job.meta['number'] for job in fetched[:-1] if job] == list(range(500))
    with shop.connection.pipeline() as pipe:
        queue.enqueue(tasks.price, 902, pipeline=pipe)
    assert queue.count == 502
    return {'emptied': queue.empty(), 'left': shop.connection.dbsize()}


@check
def at_once_without_a_worker(shop: Shop) -> Seen:
    queue = shop.queue(is_async=False)
    good = queue.enqueue(tasks.charge, 'visa', on_success=tasks.celebrate, job_id='now')
    bad = queue.enqueue(tasks.charge, 'stolen', on_failure=tasks.console, job_id='never')
    assert good.return_value() == 'charged visa'
    assert (good.get_status(), bad.get_status()) == (JobStatus.FINISHED, JobStatus.FAILED)
    return {'journal': tasks.entries()}


@check
def own_use_of_the_connection(shop: Shop) -> Seen:
    """Applications keep their own things beside RQ's: counters, locks, transactions."""
    shop.connection.hset('shop:stock', mapping={'desk': 3, 'chair': 9})
    jobs = [shop.queue().enqueue(tasks.reserve, 'desk') for _ in range(3)]
    shop.work()
    assert [job.return_value(refresh=True) for job in jobs] == [2, 1, 0]
    assert shop.connection.hgetall('shop:stock') == {b'desk': b'0', b'chair': b'9'}
    assert not shop.connection.exists('shop:stock-lock')
    texts = tasks.connect(decode_responses=True)
    texts.set('shop:motto', 'gr\xfc\xdf Gott', ex=60)
    assert texts.get('shop:motto') == 'gr\xfc\xdf Gott'
    other = tasks.connect(db=1)
    assert other.get('shop:motto') is None
    other.set('shop:motto', 'elsewhere')
    assert texts.get('shop:motto') == 'gr\xfc\xdf Gott'
    other.flushdb()
    with shop.connection.pubsub(ignore_subscribe_messages=True) as channel:
        channel.subscribe('shop:news')
        assert channel.get_message(timeout=5) is None
        assert shop.connection.publish('shop:news', 'open') == 1
        message = channel.get_message(timeout=5)
        assert message is not None
    return {
        'message': message['data'].decode(),
        'keys': sorted(key.decode() for key in shop.connection.scan_iter('shop:*')),
    }


@check
def several_workers(shop: Shop) -> Seen:
    """Three worker processes empty one queue; nothing runs twice, nothing is left."""
    queue = shop.queue()
    queue.enqueue_many([Queue.prepare_data(tasks.count_once, (number,)) for number in range(60)])
    command = [sys.executable, '-m', 'shop.staff', 'default']
    staff = [subprocess.Popen([*command, f'{os.getpid()}-{number}', 'burst']) for number in range(3)]
    assert [worker.wait(60) for worker in staff] == [0, 0, 0]
    counted = shop.connection.hgetall('shop:counted')
    assert counted == {str(number).encode(): b'1' for number in range(60)}
    assert queue.count == 0
    return {'finished': queue.finished_job_registry.count, 'started': queue.started_job_registry.count}

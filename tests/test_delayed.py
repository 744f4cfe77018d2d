"""DelayedJob's front: what is enqueued for a call, how often it is tried, and what is refused."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import hooked_jobs
import plain_jobs
import pytest
from hooked_jobs import Mobile, Phone, total
from plain_jobs import Device, add, fail
from rq import Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from rq_leveldb import Queue
from rq_leveldb.delayed import delay, growing_pauses, handle_asynchronously
from tests.worker.support import work


@pytest.fixture(autouse=True)
def default_place(store_dir: Path, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')


def result(job: Job) -> Any:
    """Run what is queued and return what came out of a job."""
    work(Queue(job.origin))
    return job.return_value()


def test_a_delayed_call_is_a_plain_job() -> None:
    radio = Device('radio')
    expected = {
        delay(add)(2, right=3): ('plain_jobs.add', 5),
        delay(plain_jobs).add(2, 3): ('plain_jobs.add', 5),
        delay(math).sqrt(9): ('math.sqrt', 3.0),
        delay(Device).kinds(2): ('plain_jobs.Device.kinds', ['Device', 'Device']),
        delay(Device).double(2): ('plain_jobs.Device.double', 4),
        delay(radio).double(2): ('plain_jobs.Device.double', 4),
        delay(radio).activate('Ada'): ('activate', 'radio of Ada'),
        delay(radio.activate)('Ada'): ('activate', 'radio of Ada'),
        delay(radio).ping(): ('ping', 'radio'),
        delay(radio)('Hello'): ('__call__', 'Hello, radio'),
    }

    work(Queue())

    assert {job: (job.func_name, job.return_value()) for job in expected} == expected


def test_options_are_those_of_delayed_job_and_of_rq(redis: Any) -> None:
    queue = Queue('tracking', connection=redis, serializer=JSONSerializer)
    first = delay(add, queue=queue, max_run_time=60, meta={'kind': 'sum'}, description='a sum')(1, 2)
    second = delay(add, queue=queue, at_front=True, retry=Retry(3, 9))(3, 4)

    assert queue.job_ids == [second.id, first.id]
    assert (first.timeout, first.meta, first.description) == (60, {'kind': 'sum'}, 'a sum')
    assert (second.timeout, second.retries_left, second.retry_intervals) == (4 * 60 * 60, 3, [9])


def test_run_at_is_a_time_or_how_long_from_now() -> None:
    registry = Queue().scheduled_job_registry
    when = datetime(2100, 1, 1, tzinfo=timezone.utc)
    now = datetime.now(timezone.utc)

    at = delay(add, run_at=when, at_front=True)(1, 2)
    soon = delay(add, run_at=timedelta(minutes=5))(1, 2)

    assert registry.get_scheduled_time(at) == when
    assert registry.get_scheduled_time(soon) >= now + timedelta(seconds=299)
    assert at.enqueue_at_front


def test_pauses_grow_until_the_attempts_are_used_up() -> None:
    """DelayedJob's README: 5 seconds + N ** 4; with 25 attempts, the last one comes 20 days later."""
    job, queue, pauses = delay(fail, max_attempts=3)(), Queue(), []

    while job.should_retry:
        pauses.append(job.get_retry_interval())
        work(queue)
        job.refresh()
        assert job.is_scheduled
        queue.scheduled_job_registry.remove(job)
        queue.enqueue_job(job)
    work(queue)

    assert pauses == [6, 21]
    assert job.is_failed
    by_default = growing_pauses()
    assert by_default is not None
    assert (by_default.max, len(by_default.intervals), sum(by_default.intervals) // 86400) == (24, 24, 20)
    assert delay(fail, max_attempts=1)().retries_left is None


def test_a_method_that_is_handled_asynchronously() -> None:
    phone = Phone('555')

    job = phone.ring(2)

    assert (job.func_name, job.origin) == ('ring_without_delay', 'default')
    assert result(job) == '555: ring ring'
    assert phone.ring.without_delay(1) == '555: ring'
    assert Phone.ring.__doc__ == 'Ring.'


def test_other_ways_to_the_same_method_do_not_enqueue_it_twice() -> None:
    jobs = [Phone.ring(Phone('555'), 2), delay(Phone('555')).ring(2), Mobile('555').ring(2)]

    work(Queue())

    assert [job.return_value() for job in jobs] == ['555: ring ring'] * 3
    assert Queue().is_empty()


def test_options_that_are_called_for_each_job() -> None:
    job = Phone('555').call(Phone('666'))

    assert job.origin == 'calls-555'
    assert Queue('calls-555').scheduled_job_registry.get_job_ids() == [job.id]
    assert job.retries_left == 2


def test_a_function_that_is_handled_asynchronously() -> None:
    first, second = total(1, 2), total(3)

    assert first.func_name == 'hooked_jobs.total.without_delay'
    assert Queue('sums').job_ids == [second.id, first.id]
    assert result(first) == 3
    assert total.without_delay(4, 5) == 9


def local() -> Any:
    class Local:
        def method(self) -> None:
            """Do nothing."""

    return Local()


def of_the_script() -> Any:
    return type('Script', (), {'__module__': '__main__', 'method': lambda self: None})()


@pytest.mark.parametrize(
    ('enqueue', 'kind', 'words'),
    [
        (lambda: delay(lambda: None)(), ValueError, '<lambda> is a lambda or is defined inside a function'),
        (lambda: delay(local()).method(), ValueError, 'Local is a lambda or is defined inside a function'),
        (lambda: delay(of_the_script()).method(), ValueError, 'Script is defined in the script that was started'),
        (lambda: delay(Device.Part).perform(), ValueError, 'Device.Part.perform is nested in more than one class'),
        (lambda: delay(hooked_jobs).timedelta(1), TypeError, 'is not a function or method'),
        (lambda: delay(Device)('radio'), TypeError, 'is not a function or method'),
        (lambda: delay(Device('radio')).name(), TypeError, "'radio' is not a function or method"),
        (lambda: delay(Device('radio')).nothing(), AttributeError, 'nothing'),
        (lambda: delay([1]).append(2), ValueError, 'find nothing or something else there'),
        (lambda: delay(plain_jobs.Nothing('radio')).activate(''), ValueError, 'counts as false'),
        (lambda: delay(Device(Lock())).activate(''), TypeError, 'cannot pickle'),  # type: ignore[arg-type]
        (lambda: delay(add, priority=3)(1, 2), TypeError, 'RQ has no priorities. Use another queue'),
        (lambda: delay(add, job_timeout=3)(1, 2), TypeError, 'job_timeout'),
        (lambda: delay(add, max_attempts=0)(1, 2), ValueError, 'max_attempts is 0, but a job runs at least once'),
        (lambda: Phone.lookup('555'), ValueError, 'lookup'),  # type: ignore[call-arg, arg-type]
        (lambda: handle_asynchronously(staticmethod(add)), TypeError, 'decorates functions and methods'),
    ],
)
def test_what_cannot_be_a_job_is_refused_with_a_reason(enqueue: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        enqueue()
    assert Queue().is_empty()


if TYPE_CHECKING:
    # A wrong argument is an error, as in a direct call.
    delay(add)(1, 'two')  # type: ignore[arg-type]
    delay(Device('radio').activate, queue='default')(1)  # type: ignore[arg-type]
    Phone('555').ring('twice')  # type: ignore[arg-type]
    total(1, '2')  # type: ignore[arg-type]

"""Resque's shape: which job a class becomes, its hooks, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hooked_jobs
import plain_jobs
import pytest
from hooked_jobs import Report, noted
from rq.job import Job
from rq.serializers import JSONSerializer

from rq_leveldb import Queue, resque
from tests.worker.support import work


@pytest.fixture(autouse=True)
def default_place(store_dir: Path, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', f'leveldb://{store_dir}')


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """The file that the hooks of a report write to."""
    return tmp_path / 'notes'


def enqueued(job: Job | None) -> Job:
    assert job is not None
    return job


def report(notes: Path, what: str = '') -> Job:
    """Enqueue a report and run it; return its job, with what was noted when it was enqueued forgotten."""
    job = enqueued(resque.enqueue(Report, str(notes), what))
    notes.unlink()
    work(Queue('reports'))
    job.refresh()
    return job


def test_a_class_without_hooks_is_a_plain_job(redis: Any) -> None:
    job = enqueued(resque.enqueue(plain_jobs.Mail, 'Ada', subject='Engines'))

    assert (job.func_name, job.args, job.kwargs) == ('plain_jobs.Mail.perform', ('Ada',), {'subject': 'Engines'})
    assert (job.origin, job.timeout, job.meta) == ('mail', 17, {'kind': 'letter'})
    work(Queue('mail'))
    assert job.return_value() == 'Engines to Ada'


def test_a_class_may_inherit_perform_or_need_itself() -> None:
    inherited = enqueued(resque.enqueue(plain_jobs.Express, 'Ada'))
    counted = enqueued(resque.enqueue(plain_jobs.Counted, 3))

    assert inherited.func_name == 'plain_jobs.Express.perform'
    work(Queue('urgent'))
    work(Queue('mail'))
    assert [inherited.return_value(), counted.return_value()] == ['none to Ada', 5]


def test_another_queue_and_another_serializer(redis: Any) -> None:
    queue = Queue('other', connection=redis, serializer=JSONSerializer)

    job = enqueued(resque.enqueue_to(queue, plain_jobs.Mail, 'Ada'))
    hooked = enqueued(resque.enqueue_to(queue, hooked_jobs.Report, '/dev/null'))

    assert queue.job_ids == [job.id, hooked.id]
    assert [Job.fetch(each.id, redis, JSONSerializer).args for each in (job, hooked)] == [
        ['Ada'],
        ['hooked_jobs.Report', '/dev/null'],
    ]


def test_later() -> None:
    registry = Queue('mail').scheduled_job_registry
    when = datetime(2100, 1, 1, tzinfo=timezone.utc)
    now = datetime.now(timezone.utc)

    at = enqueued(resque.enqueue_at(when, plain_jobs.Mail, 'Ada'))
    seconds = enqueued(resque.enqueue_in(600, plain_jobs.Mail, 'Ada', subject='later'))
    hours = enqueued(resque.enqueue_in(timedelta(hours=2), plain_jobs.Mail, 'Ada'))

    assert registry.get_scheduled_time(at) == when
    assert registry.get_scheduled_time(seconds) >= now + timedelta(seconds=599)
    assert registry.get_scheduled_time(hours) >= now + timedelta(seconds=7199)
    assert registry.get_job_ids() == [seconds.id, hours.id, at.id]
    assert seconds.kwargs == {'subject': 'later'}
    assert Queue('mail').is_empty()


def test_hooks_run_in_the_order_of_resque(notes: Path) -> None:
    job = report(notes)

    assert noted(notes) == [
        'before first',
        'before Report',
        'a begins',
        'b begins',
        'perform',
        'b ends',
        'a ends',
        'after',
    ]
    assert job.return_value() == 'done'
    assert str(job.description).startswith("hooked_jobs.Report.perform('")


def test_hooks_when_it_is_enqueued(notes: Path) -> None:
    assert resque.enqueue(Report, str(notes)) is not None
    assert resque.enqueue(Report, str(notes), 'unwanted') is None
    assert resque.enqueue_in(60, Report, str(notes), what='unwanted') is None

    assert Queue('reports').count == 1
    assert noted(notes) == [
        *('before_enqueue', 'before_enqueue last', 'after_enqueue'),
        *('before_enqueue', 'before_enqueue last') * 2,
    ]


@pytest.mark.parametrize(
    ('what', 'seen'),
    [
        ('skip before', ['before first']),
        ('skip around', ['before first', 'before Report', 'a begins', 'a ends']),
        ('forgiven', ['perform', 'b forgives', 'b ends', 'a ends', 'after']),
    ],
)
def test_a_job_that_is_not_performed_does_not_fail(notes: Path, what: str, seen: list[str]) -> None:
    job = report(notes, what)

    assert noted(notes)[-len(seen) :] == seen
    assert job.is_finished
    assert job.return_value() is None


@pytest.mark.parametrize(
    ('what', 'seen'),
    [
        ('fail', ['perform', 'a ends', 'on_failure ValueError: as expected']),
        ('fail after', ['after', 'on_failure ValueError: too late']),
    ],
)
def test_a_failure_in_the_job_or_a_hook_is_told(notes: Path, what: str, seen: list[str]) -> None:
    job = report(notes, what)

    assert noted(notes)[-len(seen) :] == seen
    assert job.is_failed


def local_class() -> Any:
    class Local:
        queue = 'mail'
        perform = staticmethod(print)

    return Local


def of_the_script() -> Any:
    return type('Script', (), {'__module__': '__main__', 'queue': 'mail', 'perform': staticmethod(print)})


@pytest.mark.parametrize(
    ('job_class', 'kind', 'words'),
    [
        (plain_jobs.NoQueue, ValueError, "plain_jobs.NoQueue has no queue. Add one to the class, as in queue = 'mail'"),
        (plain_jobs.OfInstances, TypeError, 'plain_jobs.OfInstances.perform is called on the class'),
        (plain_jobs.Ruby, TypeError, 'plain_jobs.Ruby.around_perform is called on the class'),
        (plain_jobs.NeverYields, TypeError, 'plain_jobs.NeverYields.around_perform does not yield'),
        (plain_jobs.NeverAwaited, TypeError, 'plain_jobs.NeverAwaited.after_perform is async'),
        (plain_jobs.Device.Part, ValueError, 'Device.Part.perform is nested in more than one class'),
        (plain_jobs.Device, TypeError, 'is not a class with a perform method'),
        (plain_jobs.Mail(), TypeError, 'is not a class with a perform method'),
        ('plain_jobs.Mail', TypeError, 'is not a class with a perform method'),
        (hooked_jobs.Both, ValueError, 'hooked_jobs.Both has on_failure hooks as well as an on_failure callback'),
        (local_class(), ValueError, 'Local is a lambda or is defined inside a function'),
        (of_the_script(), ValueError, 'Script is defined in the script that was started'),
    ],
)
def test_what_cannot_be_a_job_is_refused_with_a_reason(job_class: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words.replace('(', r'\(')):
        resque.enqueue(job_class)
    assert Queue.all() == []


def test_an_unknown_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_jobs.Mail, 'enqueue_options', {'job_timeout': 5})
    with pytest.raises(TypeError, match='job_timeout'):
        resque.enqueue(plain_jobs.Mail, 'Ada')


def test_a_worker_that_runs_hooks_loads_no_client_and_no_store() -> None:
    code = "import sys, rq_leveldb.resque; print([name for name in sys.modules if name.startswith('rq_leveldb.')])"
    loaded = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout
    assert 'client' not in loaded
    assert 'store' not in loaded


if TYPE_CHECKING:
    # A wrong argument is an error, as in a direct call.
    resque.enqueue(plain_jobs.Mail, 1)  # type: ignore[arg-type]
    resque.enqueue_in(5, plain_jobs.Counted, 'three')  # type: ignore[arg-type]
    resque.enqueue(plain_jobs.Mail, 'Ada', 'Engines', 3)  # type: ignore[call-arg]

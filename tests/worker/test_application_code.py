"""The application's code runs once, in a child, and RQ's methods are called as RQ calls them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import application
import pytest
import worker_jobs
from rq import Queue, Retry
from rq.job import JobStatus

from rq_leveldb.worker import Settings, Worker
from rq_leveldb.worker.untouched import first_touched, is_shipped
from tests.until import until
from tests.worker.support import Workers, work


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the application writes down what is called."""
    path = tmp_path / 'notes'
    path.touch()
    monkeypatch.setenv('APPLICATION_NOTES', str(path))
    return path


def burst(workers: Workers, *options: str) -> str:
    worker = workers.launch('--burst', *options)
    output = worker.communicate(timeout=60)[0]
    assert worker.returncode == 0, output
    return output


def test_a_subclass_sees_the_success_when_rqs_methods_return(workers: Workers, queue: Queue, notes: Path) -> None:
    job = queue.enqueue(worker_jobs.add, 40, 2)

    burst(workers, '-w', 'application.Looks')

    lines = notes.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ['perform', 'counted', 'handled', 'performed']
    assert lines[2:] == ['handled finished 42', 'performed finished 42 True']
    assert job.return_value() == 42


def test_nothing_of_the_application_is_called_for_a_job_that_nobody_enqueued(
    workers: Workers, queue: Queue, notes: Path
) -> None:
    jobs = [queue.enqueue(application.who, meta={'tenant': f't{number}'}) for number in range(4)]

    burst(workers, '-w', 'application.Tenants', '--max-children', '2')

    assert sorted(notes.read_text().splitlines()) == [f'tenant t{number}' for number in range(4)]
    made: list[Any] = [job.return_value() for job in jobs]
    # Each job has the connection that was made in its own process.
    assert all(connection[1] == pid for connection, pid in made)
    assert len({connection[0] for connection, _ in made}) == 4


def test_an_agent_that_an_import_brings_sees_each_job_once(workers: Workers, queue: Queue, notes: Path) -> None:
    jobs = [queue.enqueue(worker_jobs.add, number, 1) for number in range(3)]

    output = burst(workers, '--import', 'patched_on_import', '--max-children', '2')

    assert notes.read_text().splitlines() == ['traced worker_jobs.add'] * 3
    assert [job.return_value() for job in jobs] == [1, 2, 3]
    assert output.count('of-the-application') == 1


def test_threads_that_an_import_starts_are_named_once(workers: Workers, queue: Queue) -> None:
    jobs = [queue.enqueue(worker_jobs.add, number, 1) for number in range(3)]

    output = burst(workers, '--import', 'threaded_on_import', '--max-children', '1')

    assert output.count('threads were started before the first job (reporter)') == 1
    assert [job.return_value() for job in jobs] == [1, 2, 3]


def test_a_job_class_keeps_what_it_keeps(workers: Workers, queue: Queue, notes: Path) -> None:
    own = Queue(connection=queue.connection, job_class=application.TenantJob)
    jobs = []
    for function in (application.tenant, application.tenant_and_fail):
        job = own.create_job(function, retry=Retry(max=1) if function is application.tenant_and_fail else None)
        job.tenant, job.pair = {'schema': 'acme'}, (1, 2)
        jobs.append(own.enqueue_job(job))
    notes.write_text('')

    worker = workers.launch('--burst', '-j', 'application.TenantJob')
    worker.communicate(timeout=60)

    assert jobs[0].return_value() == ({'schema': 'acme'}, (1, 2))
    assert "({'schema': 'acme'}, (1, 2))" in jobs[1].latest_result().exc_string
    for job in jobs:
        assert queue.connection.hmget(job.key, 'tenant', 'pair') == [b'{"schema": "acme"}', b'[1, 2]']
    restored = {int(line.split()[1]) for line in notes.read_text().splitlines() if line.startswith('restored')}
    assert worker.pid not in restored


def test_the_supervisor_unpickles_nothing(workers: Workers, queue: Queue, notes: Path) -> None:
    value = application.Opened()
    job = queue.enqueue(application.take, value, meta={'value': value}, retry=Retry(max=1))
    crashing = queue.enqueue(worker_jobs.segfault, meta={'value': value}, retry=Retry(max=1))
    dependent = queue.enqueue(application.take, value, meta={'value': value}, depends_on=job)
    scheduled = queue.enqueue_at(job.created_at, application.take, value, meta={'value': value})
    notes.write_text('')

    worker = workers.start('--preload', 'auto', '--max-children', '2')
    until(lambda: crashing.get_status() == JobStatus.FAILED)
    for done in (job, dependent, scheduled):
        until(lambda done=done: done.get_status() == JobStatus.FINISHED)

    opened = {int(line.split()[1]) for line in notes.read_text().splitlines()}
    assert opened
    assert worker.pid not in opened


def test_a_method_of_the_parent_that_exits_does_not_end_the_worker(workers: Workers, queue: Queue) -> None:
    worker = workers.start('-w', 'application.Asks', '--job-monitoring-interval', '1')

    slow = queue.enqueue(worker_jobs.sleep, 3)
    until(lambda: slow.get_status() == JobStatus.FINISHED)

    assert worker.poll() is None
    output = workers.stop(worker)
    assert 'SystemExit: 5' in output


def test_a_module_that_exits_while_it_is_preloaded_is_left_to_the_jobs(
    workers: Workers, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only in the process that forks is the file there that makes it exit.
    (tmp_path / 'exits.py').write_text(
        'import os\nif "RQ_JOB_ID" not in os.environ: os._exit(3)\ndef run(): return "ran"\n'
    )
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    worker = workers.start('--preload', 'auto', '--max-children', '1')

    first = queue.enqueue('exits.run')
    until(lambda: first.get_status() == JobStatus.FINISHED)
    second = queue.enqueue('exits.run')
    until(lambda: second.get_status() == JobStatus.FINISHED)

    assert 'exits' in workers.stop(worker)


def test_what_is_as_shipped_is_known(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker([queue], connection=queue.connection, settings=Settings())
    assert first_touched(worker) is None

    with monkeypatch.context() as patch:
        patch.setattr('rq.job.Job.perform', lambda self: None)
        assert first_touched(worker) == 'rq.job.Job.perform'
    with monkeypatch.context() as patch:
        patch.setattr('rq.worker.base.BaseWorker.handle_job_success', lambda self: None)
        # Ours calls RQ's.
        assert first_touched(worker) is not None
    with monkeypatch.context() as patch:
        patch.setattr(worker, 'perform_job', None)
        assert first_touched(worker) == 'rq_leveldb.worker.worker.Worker.perform_job'
    assert first_touched(worker) is None
    assert not is_shipped(application.Looks, 'perform_job')


def test_jobs_see_which_execution_they_are(queue: Queue) -> None:
    job = queue.enqueue(os.getenv, 'RQ_EXECUTION_ID')

    work(queue)

    assert len(cast(str, job.return_value())) == 32

"""rq_leveldb.testing: what an application's tests see of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest
import tested_jobs

from rq_leveldb import JSONSerializer, Queue, Worker
from rq_leveldb.testing import JobStore

pytest_plugins = ['rq_leveldb.testing.fixtures']


@pytest.fixture(autouse=True)
def empty_log() -> None:
    tested_jobs.LOG.clear()


def test_jobs_run_when_they_are_told_to(job_store: JobStore) -> None:
    job = tested_jobs.welcome.delay('Ada')
    assert tested_jobs.LOG == []
    assert job_store.run_all() == [job]
    assert tested_jobs.LOG == ['Ada']
    assert job.return_value() == 'Welcome, Ada'
    assert job_store.run_all() == []


def test_each_test_has_an_empty_store(job_store: JobStore) -> None:
    assert job_store.connection.keys() == []
    tested_jobs.welcome.delay('Bob')


def test_time_passes_for_scheduled_jobs(job_store: JobStore) -> None:
    tested_jobs.welcome.delay('Ada')
    job_store.run_all()
    job_store.travel(timedelta(hours=23))
    job_store.run_all()
    assert tested_jobs.LOG == ['Ada']
    job_store.travel(3601)
    job_store.run_all()
    assert tested_jobs.LOG == ['Ada', 'Ada again']


def test_a_failure_reaches_the_test_when_no_attempt_is_left(job_store: JobStore) -> None:
    job = tested_jobs.flaky.delay(-1)
    job_store.run_all()
    job_store.travel(61)
    job_store.run_all()
    assert job.get_status() == 'scheduled'
    job_store.travel(601)
    with pytest.raises(ConnectionError, match='not yet'):
        job_store.run_all()
    assert job.is_failed


def test_a_failure_can_be_looked_at_instead(job_store: JobStore) -> None:
    job = Queue().enqueue('tested_jobs.flaky', 5)
    job_store.run_all(propagate=False)
    assert job.is_failed
    assert 'not yet' in job.latest_result().exc_string


def test_dependents_run_after_what_they_wait_for(job_store: JobStore) -> None:
    first = tested_jobs.welcome.delay('first')
    tested_jobs.welcome.delay('second', depends_on=first)
    job_store.run_all()
    assert tested_jobs.LOG == ['first', 'second']


def test_queues_may_be_named(job_store: JobStore) -> None:
    queue = Queue('json', serializer=JSONSerializer)
    queue.enqueue(tested_jobs.remind, 'Ada')
    tested_jobs.welcome.delay('Bob')
    job_store.run_all(queue)
    assert tested_jobs.LOG == ['Ada again']


def test_control_c_ends_the_test(job_store: JobStore) -> None:
    tested_jobs.interrupted.delay()
    with pytest.raises(KeyboardInterrupt):
        job_store.run_all()


def test_it_works_in_threads(job_store: JobStore) -> None:
    tested_jobs.welcome.delay('Ada')
    thread = threading.Thread(target=job_store.run_all)
    thread.start()
    thread.join()
    assert tested_jobs.LOG == ['Ada']


def test_no_trace_is_left(job_store: JobStore) -> None:
    tested_jobs.welcome.delay('Ada')
    job_store.run_all()
    assert Worker.count(job_store.connection) == 0
    assert not list(job_store.connection.scan_iter('rq:scheduler*'))


def test_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', 'leveldb:///elsewhere')
    with JobStore() as store:
        tested_jobs.welcome.delay('Ada')
        assert len(store.run_all()) == 1
        path = Path(store.url.removeprefix('leveldb://'))
        assert path.exists()
    assert not path.parent.exists()
    assert os.environ['RQ_LEVELDB_URL'] == 'leveldb:///elsewhere'


def test_sessions_side_by_side(tmp_path: Path) -> None:
    (tmp_path / 'conftest.py').write_text("pytest_plugins = ['rq_leveldb.testing.fixtures']\n")
    (tmp_path / 'test_app.py').write_text(
        'from rq_leveldb import Queue\n'
        'def test_alone(job_store):\n'
        "    assert Queue('q').count == 0\n"
        "    Queue('q').enqueue('builtins.abs', -3)\n"
        '    assert [job.return_value() for job in job_store.run_all()] == [3]\n'
    )
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', str(tmp_path)]
    sessions = [subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for session in sessions:
        output, _ = session.communicate()
        assert session.returncode == 0, output

"""How far a job has come."""

from __future__ import annotations

import pytest
import tested_jobs

from rq_leveldb import progress
from rq_leveldb.testing import JobStore

pytest_plugins = ['rq_leveldb.testing.fixtures']


def test_the_end_is_always_there_and_a_loop_writes_little(job_store: JobStore) -> None:
    job = tested_jobs.count.delay(20_000)
    before = job_store.connection.info('commandstats')['cmdstat_hset']['calls']
    job_store.run_all()
    job.refresh()
    assert job.meta['progress'] == 100
    assert job.meta['progress_text'] == '20,000 of 20,000'
    assert job_store.connection.info('commandstats')['cmdstat_hset']['calls'] - before < 1_000


def test_the_first_turn_is_shown_at_once(job_store: JobStore) -> None:
    job = tested_jobs.count.delay(4, 'a quarter', until=1)
    job_store.run_all()
    job.refresh()
    assert (job.meta['progress'], job.meta['progress_text']) == (25, 'a quarter')


def test_outside_of_a_job_it_does_nothing() -> None:
    progress(1, 2)


def test_there_must_be_something_to_do() -> None:
    with pytest.raises(ValueError, match='above zero'):
        progress(1, 0)

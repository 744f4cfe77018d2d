"""The fixture `job_store` of pytest. To use it, write `pytest_plugins = ['rq_leveldb.testing.fixtures']`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rq_leveldb.testing import JobStore


@pytest.fixture(scope='session')
def _one_job_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobStore]:
    # One store for all tests of this process: to empty it takes a hundredth of the time that a start takes.
    store = JobStore(tmp_path_factory.mktemp('jobs') / 'store')
    # It is not entered: only tests that ask for it have it as their default place.
    yield store
    store.close()


@pytest.fixture
def job_store(_one_job_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> JobStore:
    """Return an empty store, which is the default place during the test."""
    monkeypatch.setenv('RQ_LEVELDB_URL', _one_job_store.url)
    _one_job_store.clear()
    return _one_job_store

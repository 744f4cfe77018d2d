"""Stores in directories of their own, stopped when the test is over; or the server that RQ_LEVELDB_TEST_URL names.

With that variable, tests that ask for `url`, `redis` or `queue` run on a real server, whose database is emptied for
each of them. Tests of what only a store can do are skipped: those that ask for its directory, and those with the mark
`needs_store`, which says why.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rq_leveldb
from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.places import SERVER_VARIABLE


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what a real server cannot do, where tests run on one."""
    if SERVER_VARIABLE in os.environ:
        for item in items:
            for mark in item.iter_markers('needs_store'):
                item.add_marker(pytest.mark.skip(reason=f'on a store only: {mark.args[0]}'))


@pytest.fixture(autouse=True)
def private_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep every test off the user's own store: the default place is in the test's directory."""
    for name in ('RQ_LEVELDB_URL', 'RQ_REDIS_URL', 'REDIS_URL', 'RQ_CONFIG', 'NOTIFY_SOCKET'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path / 'state'))
    yield
    # Workers leave these in the process that it runs in.
    for name in ('RQ_JOB_ID', 'RQ_WORKER_ID', 'RQ_LEVELDB_URL'):
        os.environ.pop(name, None)
    stop_store(tmp_path / 'state' / 'rq-leveldb')


@pytest.fixture
def store_dir(tmp_path: Path) -> Iterator[Path]:
    """Return a data directory that is not made yet; its store is stopped at the end."""
    if SERVER_VARIABLE in os.environ:
        pytest.skip('on a store only: it is about the data directory')
    path = tmp_path / 'store'
    yield path
    stop_store(path)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a new store, or of a real server with nothing in the database."""
    server = os.environ.get(SERVER_VARIABLE)
    if server is None:
        return f'leveldb://{request.getfixturevalue("store_dir")}'
    with Redis.from_url(server) as client:
        client.flushdb()
    return server


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    """Return a client of `url`."""
    with Redis.from_url(url) as client:
        yield client


@pytest.fixture
def packed() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs code in a Python that has no packages of its own, as that below shiv, pex and uWSGI.

    It is told by hand where ours are.
    """
    places = [str(Path(rq_leveldb.__file__).parents[1]), *(path for path in sys.path if 'packages' in path)]
    bare = [os.path.realpath(sys.executable), '-I', '-S']
    missing = subprocess.run([*bare, '-c', 'import rq_leveldb'], cwd='/', capture_output=True, check=False)
    assert missing.returncode, 'the interpreter has the package'

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*bare, '-c', f'import sys; sys.path += {places!r}; {program}', *arguments],
            cwd='/',
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def stop_store(path: Path) -> None:
    """Stop the store of a directory, whatever state it is in."""
    directory = DataDirectory(path)
    running = autostart.running_store(directory)
    if running is not None and not autostart.stop(directory):
        os.kill(running[0].pid, signal.SIGKILL)

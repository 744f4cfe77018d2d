"""A server's password is shown nowhere that others can read: no output, no log, no command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import psutil
import pytest
import redis as redis_py

from compat_tests.real_redis import NoRedisError, RealRedis
from rq_leveldb.location import front_directory
from tests.places import APPLICATIONS

SECRET = 'correct-horse'


@pytest.fixture
def url() -> Iterator[str]:
    """Return the URL of a real server that asks for a password."""
    try:
        server = RealRedis()
    except NoRedisError as error:
        pytest.skip(str(error))
    with server, redis_py.Redis(unix_socket_path=server.socket_path) as client:
        client.config_set('requirepass', SECRET)
        yield f'unix://:{SECRET}@{server.socket_path}?db=0'


def run(url: str, *arguments: str) -> tuple[int, str]:
    """Run a command to its end, and return its exit code and what it said."""
    ended = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        cwd=APPLICATIONS,
        env={**os.environ, 'RQ_LEVELDB_URL': url, 'RQ_LEVELDB_NO_HTTP': '1'},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_no_output_shows_it(url: str) -> None:
    for arguments in (
        ['enqueue', 'cli_jobs.add', ':1', ':2', '--job-id', 'one'],
        ['worker', '--burst'],
        ['status'],
        ['status', '--json'],
        ['info'],
        ['job', 'one'],
    ):
        code, text = run(url, *arguments)
        assert code == 0, text
        assert SECRET not in text
    assert 'finished' in run(url, 'job', 'one')[1]


@pytest.mark.parametrize('command', ['status', 'info', 'worker', 'children', 'http', 'stop', 'token'])
def test_no_error_shows_it(url: str, command: str) -> None:
    options = {'worker': ['--burst'], 'http': ['--http', '256.0.0.1:0']}.get(command, [])
    for wrong in (
        url.replace(SECRET, 'wrong-horse'),
        'redis://:wrong-horse@127.0.0.1:1/0',
        'nonsense://:wrong-horse@host/0',
    ):
        assert 'wrong-horse' not in run(wrong, command, *options)[1]


def test_no_command_line_shows_it(url: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'worker', '--http', '127.0.0.1:0', '-m', '1'],
        cwd=APPLICATIONS,
        env={**os.environ, 'RQ_LEVELDB_URL': url, 'RQ_LEVELDB_HTTP_TOKEN': 'token'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until_served(url)
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        assert len(family) > 2
        for process in family:
            assert SECRET not in ' '.join(process.cmdline())
    finally:
        worker.send_signal(signal.SIGTERM)
        text, _ = worker.communicate(timeout=30)
    assert SECRET not in text


def until_served(url: str) -> None:
    """Wait until the front of a place answers."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            said = json.loads(front_directory(url).http_lock.read_text())
            with urllib.request.urlopen(f'{said["url"]}/healthz', timeout=5):
                return
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError('it does not serve')

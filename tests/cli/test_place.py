"""One place for the worker, its jobs and its front, however it was named; and no password for others to read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import rq

from rq_leveldb import Redis
from rq_leveldb.cli.place import resolve
from rq_leveldb.errors import BadAddress, StoreError, mask_password
from rq_leveldb.location import front_directory
from tests.places import APPLICATIONS


@pytest.fixture(params=['option', 'settings'])
def named(request: pytest.FixtureRequest, store_dir: Path, tmp_path: Path) -> list[str]:
    """Return options that name the test's store, with nothing in the environment that does."""
    url = f'leveldb://{store_dir}'
    if request.param == 'option':
        return ['--url', url]
    (tmp_path / 'place_settings.py').write_text(f'REDIS_URL = {url!r}\n')
    return ['-c', 'place_settings', '--path', str(tmp_path)]


@pytest.fixture
def worker(named: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Return a worker with its front, named in either way."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'worker', '--http', '127.0.0.1:0', '-m', '1', *named],
        cwd=APPLICATIONS,
        env={**os.environ, 'RQ_LEVELDB_HTTP_TOKEN': 'token'},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.terminate()
    process.wait(30)


def test_a_job_that_names_no_connection_enqueues_where_its_worker_looks(
    named: list[str], redis: Redis, tmp_path: Path
) -> None:
    queue = rq.Queue(connection=redis)
    jobs = [queue.enqueue('cli_jobs.delay_another'), queue.enqueue('cli_jobs.enqueue_another')]
    ended = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', 'worker', '--burst', *named],
        cwd=APPLICATIONS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for job in jobs:
        another = rq.job.Job.fetch(str(job.return_value()), connection=redis)
        assert another.return_value() == 5, ended.stderr
    assert not (tmp_path / 'state').exists()


def test_rqs_own_command_does_the_same_for_our_worker(redis: Redis, store_dir: Path, tmp_path: Path) -> None:
    job = rq.Queue(connection=redis).enqueue('cli_jobs.delay_another')
    options = ('--connection-class', 'rq_leveldb.Redis', '--worker-class', 'rq_leveldb.Worker', '--burst')
    ended = subprocess.run(
        [sys.executable, '-m', 'rq.cli', 'worker', '--url', f'leveldb://{store_dir}', *options],
        cwd=APPLICATIONS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert rq.job.Job.fetch(str(job.return_value()), connection=redis).return_value() == 5, ended.stderr
    assert not (tmp_path / 'state').exists()


@pytest.mark.usefixtures('worker')
def test_the_front_serves_the_same_store_and_its_command_line_does_not_name_it(redis: Redis, store_dir: Path) -> None:
    rq.Queue('only-here', connection=redis).enqueue('cli_jobs.add', 1, 1)
    said = _until_served(f'leveldb://{store_dir}')
    request = urllib.request.Request(f'{said["url"]}/v1/queues', headers={'Authorization': 'Bearer token'})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert [item['name'] for item in json.load(answer)['items']] == ['only-here']
    front = psutil.Process(said['pid'])
    for process in (front, *front.children(recursive=True)):
        assert not any('leveldb://' in argument for argument in process.cmdline())


def _until_served(url: str) -> Any:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            said = json.loads(front_directory(url).http_lock.read_text())
            with urllib.request.urlopen(f'{said["url"]}/healthz', timeout=5):
                return said
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError('it does not serve')


@pytest.mark.parametrize(
    ('settings', 'url'),
    [
        ({'REDIS_URL': 'leveldb:///a'}, 'leveldb:///a'),
        ({'REDIS_HOST': 'example.org'}, 'redis://example.org:6379/0'),
        (
            {'REDIS_HOST': '::1', 'REDIS_PORT': 1, 'REDIS_DB': 2, 'REDIS_PASSWORD': 'a/b@c', 'REDIS_SSL': 'yes'},
            'rediss://:a%2Fb%40c@[::1]:1/2',
        ),
        (
            {'REDIS_HOST': 'h', 'REDIS_SSL': True, 'REDIS_SSL_CA_CERTS': '/a b'},
            'rediss://h:6379/0?ssl_ca_certs=%2Fa+b',
        ),
        ({'SENTINEL': {}}, None),
    ],
)
def test_settings_name_one_url(settings: dict[str, Any], url: str | None) -> None:
    assert resolve(None, settings) == url
    assert resolve('leveldb:///given', settings) == 'leveldb:///given'


def test_without_any_it_is_the_default(tmp_path: Path) -> None:
    assert resolve(None, {'QUEUES': ['a']}) == f'leveldb://{tmp_path}/state/rq-leveldb'


@pytest.mark.parametrize(
    ('url', 'shown'),
    [
        ('redis://:secret@host:1/0', 'redis://:***@host:1/0'),
        ('rediss://user:se/cr@et@host', 'rediss://user:***@host'),
        ('unix://user:secret@/path?db=1', 'unix://user:***@/path?db=1'),
        ('redis://host?password=secret&db=1', 'redis://host?password=***&db=1'),
        ('rediss://host?ssl_password=secret', 'rediss://host?ssl_password=***'),
        ('leveldb:///a:b@c', 'leveldb:///a:b@c'),
        ('/var/lib/app', '/var/lib/app'),
    ],
)
def test_a_password_is_never_shown(url: str, shown: str) -> None:
    assert mask_password(url) == shown
    assert shown in str(BadAddress(url))
    assert 'secret' not in StoreError(url).to_json()

"""The commands: a worker with its front, the token, and enqueueing through it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rq_leveldb.location import front_directory
from tests.http.support import TOKEN, FrontProcess
from tests.places import APPLICATIONS
from tests.until import until


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        env={**os.environ, 'PYTHONPATH': path, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_enqueue_goes_through_http(start_front: Callable[..., FrontProcess], connection: Any) -> None:
    from rq import Queue

    front = start_front()
    arguments = ('enqueue', '--url', front.url, '--queue', 'other', '--retry-max', '2', 'http_tasks.add', ':2', 'y:=3')
    done = command(*arguments, RQ_LEVELDB_HTTP_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    assert 'Enqueued http_tasks.add(2, y=3) with job-id' in done.stdout
    (job,) = Queue('other', connection=connection).jobs
    assert (job.args, job.kwargs, job.retries_left) == ([2], {'y': 3}, 2)
    assert f"'{job.id}'" in done.stdout


def test_enqueue_tells_in_words_what_the_front_refuses(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front()
    refused = command('enqueue', '--url', front.url, 'os.system', 'id', RQ_LEVELDB_HTTP_TOKEN=TOKEN)
    assert refused.returncode == 1
    assert 'os.system is not on the list of allowed functions' in refused.stderr
    assert '--allow os.system' in refused.stderr
    unknown = command('enqueue', '--url', front.url, 'http_tasks.add')
    assert unknown.returncode == 1
    assert 'RQ_LEVELDB_HTTP_TOKEN' in unknown.stderr
    nobody = command('enqueue', '--url', 'http://127.0.0.1:1', 'http_tasks.add')
    assert nobody.returncode == 1
    assert 'cannot be reached' in nobody.stderr
    assert command('info', '--url', front.url).returncode == 2


def test_the_token_is_printed(url: str) -> None:
    first, second = command('token', '--url', url), command('token', '--url', url)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert first.stdout.strip() == front_directory(url).token.read_text().strip()


def test_the_token_is_kept_where_the_operator_says(
    start_front: Callable[..., FrontProcess], url: str, tmp_path: Path
) -> None:
    file = tmp_path / 'token'
    elsewhere = {'RQ_LEVELDB_HTTP_TOKEN_FILE': str(file)}
    printed = command('token', '--url', url, **elsewhere).stdout.strip()
    assert file.read_text().strip() == printed
    assert file.stat().st_mode & 0o077 == 0
    assert not front_directory(url).token.exists()
    front = start_front(RQ_LEVELDB_HTTP_TOKEN='', **elsewhere)
    done = command('enqueue', '--url', front.url, 'http_tasks.add', ':1', ':2', **elsewhere)
    assert done.returncode == 0, done.stderr

    missing = command('token', '--url', url, RQ_LEVELDB_HTTP_TOKEN_FILE=str(tmp_path / 'missing' / 'token'))
    assert missing.returncode == 1
    assert str(tmp_path / 'missing' / 'token') in missing.stderr
    assert 'Traceback' not in missing.stderr


def test_a_worker_brings_its_front(url: str) -> None:
    path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
    options = ('--url', url, '--http', '127.0.0.1:0', '--import', 'http_tasks', '--no-status-line')
    worker = subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'worker', *options],
        env={**os.environ, 'PYTHONPATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        lock = front_directory(url).http_lock
        said = until(lambda: lock.exists() and lock.read_text())
        # The token is the one in the data directory, which the command finds by itself.
        done = command('enqueue', '--url', json.loads(said)['url'], 'http_tasks.add', ':1', ':2', RQ_LEVELDB_URL=url)
        assert done.returncode == 0, done.stderr
        assert worker.stdout is not None
        assert any('Successfully completed http_tasks.add(1, 2)' in line for line in worker.stdout)
    finally:
        worker.terminate()
        worker.communicate(timeout=30)

"""The front beside a worker: started, restarted, taken over, and gone with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from rq_leveldb.errors import StoreError
from rq_leveldb.location import front_directory
from rq_leveldb.worker.front import Front
from tests.http.support import TOKEN
from tests.places import APPLICATIONS
from tests.until import until
from tests.worker.support import family

SCRIPT = """
import sys
from rq_leveldb import Redis
from rq_leveldb.worker.worker import Worker
from rq_leveldb.worker import front as front_module
from rq_leveldb.worker.front import Front
url, address = sys.argv[1:]
front = Front(url, address or None, ['--allow', 'http_tasks.*'])
if address:
    front.require()
Worker(['default'], connection=Redis.from_url(url), services=[front]).work()
"""


class Places:
    def __init__(self, url: str) -> None:
        self.url = url
        self.started: list[subprocess.Popen[str]] = []

    def worker(self, address: str = '127.0.0.1:0') -> subprocess.Popen[str]:
        path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
        process = subprocess.Popen(
            [sys.executable, '-c', SCRIPT, self.url, address],
            env={**os.environ, 'PYTHONPATH': path, 'RQ_LEVELDB_HTTP_TOKEN': TOKEN},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def front(self) -> dict[str, Any] | None:
        """Return what the front's lock file says, while it answers."""
        try:
            said = json.loads(front_directory(self.url).http_lock.read_text())
            with urllib.request.urlopen(f'{said["url"]}/healthz', timeout=5):
                return dict(said)
        except (OSError, ValueError):
            return None

    def another_front(self, pid: int) -> dict[str, Any] | None:
        said = self.front()
        return said if said is not None and said['pid'] != pid else None


@pytest.fixture
def places(url: str) -> Iterator[Places]:
    made = Places(url)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def is_gone(pid: int) -> bool:
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == 'Z'
    except FileNotFoundError:
        return True


def test_it_comes_back_when_it_crashes_and_goes_with_its_worker(places: Places) -> None:
    worker = places.worker()
    first = until(places.front)
    os.kill(first['pid'], signal.SIGKILL)
    second = until(lambda: places.another_front(first['pid']))
    worker.kill()
    worker.wait()
    until(lambda: is_gone(second['pid']))
    assert until(lambda: places.front() is None)


def test_it_ends_when_its_worker_is_told_to(places: Places) -> None:
    worker = places.worker()
    front = until(places.front)
    worker.terminate()
    assert worker.wait(30) == 0
    assert is_gone(front['pid'])


def test_a_second_worker_starts_none_and_takes_over(places: Places) -> None:
    first = places.worker()
    front = until(places.front)
    second = places.worker()
    # The second one works by now, and the front is still the first one's.
    until(lambda: len(workers(front['url'])) == 2)
    assert places.front() == front
    first.terminate()
    first.wait(30)
    until(lambda: places.another_front(front['pid']))
    assert second.poll() is None


def workers(url: str) -> list[Any]:
    request = urllib.request.Request(f'{url}/v1/workers', headers={'Authorization': f'Bearer {TOKEN}'})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return list(json.load(answer)['items'])


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(url: str) -> None:
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        front = Front(url, f'127.0.0.1:{other.getsockname()[1]}')
        with pytest.raises(StoreError, match='Something else listens'):
            front.require()


def test_a_default_port_that_is_taken_is_a_warning_and_jobs_run(
    places: Places, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rq import Queue

    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        # As if this were the default: nobody asked for an address on the command line.
        monkeypatch.setenv('RQ_LEVELDB_HTTP', f'127.0.0.1:{other.getsockname()[1]}')
        job = Queue('default', connection=connection).enqueue('http_tasks.add', 1, 2)
        worker = places.worker('')
        assert until(lambda: job.latest_result(timeout=1)).return_value == 3
        assert worker.stdout is not None
        lines = iter(worker.stdout.readline, '')
        warning = next(line for line in lines if 'No HTTP front' in line)
        assert 'Something else listens on this address' in warning
        assert '--no-http' in warning


def has_front(pid: int) -> bool:
    for process in family(pid):
        with contextlib.suppress(psutil.Error):
            if 'http' in process.cmdline():
                return True
    return False


def test_without_an_address_it_is_there_while_somebody_needs_it(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('RQ_LEVELDB_HTTP', '127.0.0.1:0')
    monkeypatch.setattr('tests.http.test_front.SCRIPT', SCRIPT.replace('\nurl,', '\nfront_module._IDLE = 1.0\nurl,'))
    worker = places.worker('')
    lock = front_directory(places.url).http_lock
    said = until(lambda: lock.exists() and lock.read_text() and json.loads(lock.read_text()))
    assert said['pid'] == worker.pid
    assert not has_front(worker.pid)

    # The first request starts it, and is answered.
    assert workers(said['url'])[0]['pid'] == worker.pid
    assert has_front(worker.pid)
    until(lambda: not has_front(worker.pid))
    # When it has ended, the next one starts it again.
    assert len(workers(said['url'])) == 1
    worker.terminate()
    assert worker.wait(30) == 0


def test_it_moves_to_the_directory_that_is_there_now(places: Places, store_dir: Path) -> None:
    worker = places.worker()
    front = until(places.front)
    store_dir.rename(store_dir.with_name('moved'))
    until(lambda: places.another_front(front['pid']))
    assert worker.poll() is None


def test_a_packed_application_has_one(packed: Callable[..., subprocess.CompletedProcess[str]], url: str) -> None:
    ended = packed(
        'from rq_leveldb.__main__ import main; sys.exit(main())',
        *('worker', '--burst', '--http', '127.0.0.1:0', '--url', url),
        *('--import', 'http_tasks', '--path', str(APPLICATIONS)),
    )
    assert ended.returncode == 0, ended.stderr
    assert 'serving on' in ended.stderr

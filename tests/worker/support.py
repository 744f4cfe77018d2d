"""What the worker's tests share: workers in processes of their own, and waiting for what is not announced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import worker_jobs
from redis.exceptions import ConnectionError
from rq import Queue
from rq import Worker as RQWorker
from rq.job import Job

from rq_leveldb.worker import Settings, Worker
from rq_leveldb.worker.site import Site
from tests.places import APPLICATIONS
from tests.until import until


def patiently(call: Any) -> Any:
    """Repeat a call that only reads until the store, which somebody kills, lets it through."""
    end = time.monotonic() + 30
    while True:
        try:
            return call()
        except ConnectionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def work(queue: Queue, **settings: Any) -> Worker:
    """Run what is queued in a worker of this process, and return it."""
    settings.setdefault('max_children', 3)
    worker = Worker([queue], connection=queue.connection, settings=Settings(**settings))
    worker.work(burst=True, logging_level='WARNING')
    return worker


def site_of(worker: Worker) -> Site:
    """Return what the parts of a worker receive."""
    return Site.of(worker, worker.settings)


def fields_of(job: Job) -> dict[bytes, bytes]:
    """Return what the store has of a job but for the moment at which it was enqueued."""
    found: dict[Any, Any] = job.connection.hgetall(job.key)
    assert found.pop(b'enqueued_at')
    return found


class Workers:
    """Starts `rq-leveldb worker` and kills what is left of it at the end.

    Args:
        url: the store.
        connection: a client of it.
    """

    def __init__(self, url: str, connection: Any) -> None:
        self.url = url
        self.connection = connection
        self.started: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str, name: str = 'one') -> subprocess.Popen[str]:
        """Start a worker and wait until it listens."""
        process = self.launch(*arguments, name=name)
        until(lambda: self.state(name) in ('idle', 'busy', 'suspended') or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        return process

    def launch(self, *arguments: str, name: str = 'one', log: Path | None = None) -> subprocess.Popen[str]:
        """Start a worker; what it prints goes to a file, or to a pipe for `stop` to read."""
        path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
        output = subprocess.PIPE if log is None else os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        process = subprocess.Popen(
            [sys.executable, '-m', 'rq_leveldb', 'worker', '--url', self.url, '--no-http', '-n', name, *arguments],
            env={**os.environ, 'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1'},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if log is not None:
            os.close(output)
        self.started.append(process)
        return process

    def state(self, name: str = 'one') -> str:
        """Return the state that the store has of a worker; '' if it knows none."""
        value = self.connection.hget(f'rq:worker:{name}', 'state')
        return value.decode() if value else ''

    def running(self, name: str = 'one') -> int:
        """Return how many jobs RQ says that a worker runs."""
        worker = RQWorker.find_by_key(f'rq:worker:{name}', connection=self.connection)
        return len(worker.get_current_executions()) if worker is not None else 0

    def stop(self, process: subprocess.Popen[str], number: int = signal.SIGTERM) -> str:
        """Stop a worker and return what it printed."""
        process.send_signal(number)
        return process.communicate(timeout=60)[0]

    def close(self) -> None:
        """Kill what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def family(pid: int) -> list[psutil.Process]:
    """Return the processes below one."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def is_running(pid: int) -> bool:
    """Say whether there is such a process that has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def stop_again(process: subprocess.Popen[str]) -> bool:
    """Say whether a worker has ended; if not, send it another SIGTERM."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        return False
    return True


def start_job(queue: Queue, tmp_path: Path, **options: Any) -> tuple[Job, Path, int]:
    """Enqueue a job that waits; return it, the file that it waits for, and its process id, once it runs."""
    started, gate = tmp_path / f'started{time.monotonic_ns()}', tmp_path / f'gate{time.monotonic_ns()}'
    job = queue.enqueue(worker_jobs.wait_for, str(gate), str(started), **options)
    return job, gate, int(until(lambda: started.exists() and started.read_text()))

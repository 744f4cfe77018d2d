"""Clients of the front, and the front as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import Any

import falcon.testing
from rq import Queue
from rq.job import Job, JobStatus
from rq.results import Result

from rq_leveldb.http.application import Application
from rq_leveldb.records import ENDED_KEY
from rq_leveldb.worker.depths import Depths
from rq_leveldb.worker.history import History, entry_text
from rq_leveldb.worker.site import Site
from rq_leveldb.worker.worker import Worker
from tests.places import APPLICATIONS

TOKEN = 'a-token-for-the-tests'


class Api:
    """Speaks to the application as a client with the token does."""

    def __init__(self, front: Application, token: str | None = TOKEN) -> None:
        headers = {'Host': 'localhost:7753'}
        if token is not None:
            headers['Authorization'] = f'Bearer {token}'
        self.client = falcon.testing.TestClient(front.app, headers=headers)

    def get(self, path: str, **options: Any) -> falcon.testing.Result:
        return self.client.simulate_get(path, **options)

    def delete(self, path: str, **options: Any) -> falcon.testing.Result:
        return self.client.simulate_delete(path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> falcon.testing.Result:
        if json is not None:
            options['json'] = json
        return self.client.simulate_post(path, **options)

    def enqueue(self, function: str, *args: Any, **fields: Any) -> str:
        """Enqueue a job and return its id."""
        answer = self.post('/v1/jobs', {'function': f'http_tasks.{function}', 'args': list(args), **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json['id'])


class FrontProcess:
    """The front as users run it."""

    def __init__(self, url: str, *options: str, **environ: str) -> None:
        command = [sys.executable, '-m', 'rq_leveldb', 'http', '--url', url, '--import', 'http_tasks', *options]
        if '--http' not in options:
            command += ['--http', '127.0.0.1:0']
        path = os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '')])
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'PYTHONPATH': path, 'RQ_LEVELDB_HTTP_TOKEN': TOKEN, **environ},
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.errors: list[str] = []
        stderr = self.process.stderr
        self._reader = threading.Thread(target=lambda: self.errors.extend(stderr), daemon=True)
        self._reader.start()
        line = self.process.stdout.readline()
        if not line.startswith('Serving on '):
            self.process.wait(10)
            self._reader.join(10)
        self.url = line.removeprefix('Serving on ').strip()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(':')[2])

    def stop(self) -> str:
        """End it, and return what it wrote to its standard error."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._reader.join(10)
        return ''.join(self.errors)


def ask(front: FrontProcess, path: str, document: Any = None, token: str | None = TOKEN) -> tuple[int, Any]:
    """Send a request with the standard library, and return status and JSON."""
    headers = {'Content-Type': 'application/json'}
    if token is not None:
        headers['Authorization'] = f'Bearer {token}'
    data = None if document is None else json.dumps(document).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(front.url + path, data, headers), timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def trace(line: str) -> str:
    """Return a traceback of an application that ends with an exception."""
    return f'Traceback (most recent call last):\n  File "/srv/tasks.py", line 3, in work\n    go()\n    ~~^^\n{line}\n'


def ended(connection: Any, *runs: tuple[Any, ...]) -> None:
    """Note ends of runs as workers do: when, queue, function, outcome, waiting and running time in ms."""
    connection.rpush(ENDED_KEY, *(entry_text(*run) for run in runs))


def fold(connection: Any) -> None:
    """Add what has ended to the history, as a worker does every few seconds."""
    worker = Worker([Queue('default', connection=connection)], connection=connection)
    History(Site.of(worker, worker.settings)).fold()


def look_at_depths(*queues: Queue) -> None:
    """Note how many jobs wait, as a worker of these queues does every few seconds."""
    worker = Worker(queues, connection=queues[0].connection)
    Depths(Site.of(worker, worker.settings)).note()


def fail(connection: Any, queue: str, function: str, error: str, **fields: Any) -> str:
    """Store a job that failed without running it, and return its id."""
    ended = fields.pop('ended_at', datetime.now(timezone.utc))
    job = Job.create(f'http_tasks.{function}', connection=connection, origin=queue, status=JobStatus.FAILED, **fields)
    job.ended_at = ended
    job.worker_name = 'w1'
    job.save()
    connection.sadd(Queue.redis_queues_keys, f'rq:queue:{queue}')
    age = datetime.now(timezone.utc) - ended
    job.failed_job_registry.add(job, ttl=30 * 86400 - int(age.total_seconds()))
    Result.create_failure(job, 86400, error, 'w1')
    return str(job.id)

"""Classes of an application, and what an agent does to RQ's."""

from __future__ import annotations

import json
import os
import threading
import uuid
from typing import Any

import rq
from rq import get_current_job
from rq.job import Job

import rq_leveldb

CONNECTION: tuple[str, int] | None = None


def note(*words: object) -> None:
    """Write down a line, if the test wants to know."""
    path = os.environ.get('APPLICATION_NOTES')
    if path:
        with open(path, 'a') as file:
            file.write(' '.join(map(str, words)) + '\n')


class Looks(rq_leveldb.Worker):
    """Looks at the store when RQ's methods have returned, as agents do."""

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        note('perform', job.func_name, os.getpid())
        done = bool(super().perform_job(job, queue, execution))
        again = Job.fetch(job.id, connection=self.connection)
        note('performed', again.get_status().value, again.return_value(), job.id in queue.finished_job_registry)
        return done

    def handle_job_success(self, job: Any, queue: Any, started_job_registry: Any, execution: Any) -> None:
        super().handle_job_success(job, queue, started_job_registry, execution)
        again = Job.fetch(job.id, connection=self.connection)
        note('handled', again.get_status().value, again.return_value())

    def increment_successful_job_count(self, pipeline: Any = None) -> None:
        note('counted')
        super().increment_successful_job_count(pipeline)


class Tenants(rq_leveldb.Worker):
    """Has a tenant in each job, and a connection that is made when it is first needed."""

    def perform_job(self, job: Any, queue: Any, execution: Any) -> bool:
        global CONNECTION
        note('tenant', job.meta['tenant'])
        if CONNECTION is None:
            CONNECTION = (uuid.uuid4().hex, os.getpid())
        return bool(super().perform_job(job, queue, execution))


class TenantJob(Job):
    """Keeps a dict, a list and a tuple of its own in the job's hash."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.tenant: dict[str, str] = {}
        self.pair: tuple[int, ...] = ()

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        fields: dict[str, Any] = super().to_dict(include_meta, include_result)
        return {**fields, 'tenant': json.dumps(self.tenant), 'pair': json.dumps(self.pair)}

    def restore(self, raw_data: Any) -> None:
        super().restore(raw_data)
        self.tenant = json.loads(raw_data.get(b'tenant', b'{}'))
        self.pair = tuple(json.loads(raw_data.get(b'pair', b'[]')))
        note('restored', os.getpid())


def who() -> tuple[tuple[str, int] | None, int]:
    return CONNECTION, os.getpid()


def tenant() -> tuple[dict[str, str], tuple[int, ...]]:
    job: Any = get_current_job()
    # The class of the worker is not that of the function.
    fields = job.connection.hmget(job.key, 'tenant', 'pair')
    return json.loads(fields[0]), tuple(json.loads(fields[1]))


def tenant_and_fail() -> None:
    raise ValueError(repr(tenant()))


class Opened:
    """Says in which process it was unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, ()


def _opened() -> Opened:
    note('opened', os.getpid())
    return Opened()


def take(value: Opened) -> int:
    return os.getpid()


def exit_code(job: Any, kind: type, value: Any, trace: Any) -> None:
    raise SystemExit(3)


class Asks(rq_leveldb.Worker):
    """Is a worker whose parent's methods do what they should not."""

    def maintain_heartbeats(self, job: Any, execution: Any) -> None:
        raise SystemExit(5)


def replace_perform() -> None:
    """Do what an agent does when it is set up."""
    original = rq.worker.Worker.perform_job

    def traced(self: Any, job: Any, queue: Any, execution: Any) -> Any:
        note('traced', job.func_name)
        return original(self, job, queue, execution)

    rq.worker.Worker.perform_job = traced  # type: ignore[method-assign]


def start_thread() -> None:
    """Leave a thread that waits."""
    threading.Thread(target=threading.Event().wait, name='of-the-application', daemon=True).start()

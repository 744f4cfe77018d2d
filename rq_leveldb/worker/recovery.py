"""Workers that died, and what becomes of the jobs that they had."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import NoSuchJobError
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.registry import StartedJobRegistry
from rq.scheduler import SCHEDULER_KEY_TEMPLATE, RQScheduler
from rq.scripts import release_lock
from rq.utils import as_text, current_timestamp, now, parse_composite_key
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from rq_leveldb.process import Identity, boot_id, identify, is_alive

from .bookkeeping import CLAIMS_KEY_TEMPLATE
from .leftovers import Remains, end_leftovers
from .scheduler import cron_lock_key
from .settlement import settle_abandoned

if TYPE_CHECKING:
    from redis import Redis
    from rq.queue import Queue

    from .worker import Worker

__all__ = [
    'Recovery',
    'identity_fields',
    'is_gone',
    'process_namespace',
    'return_lost_claims',
]

_WORKER_PREFIX = RQ_KEY_PREFIX + ':worker:'
_LOCK_TEMPLATE = RQ_KEY_PREFIX + ':recovery:{0}'
# A recoverer that dies leaves its lock; whoever finds it looks whether its owner lives, this is only the last resort.
_LOCK_TTL = 60
_PATIENCE = 1.0


def process_namespace() -> str:
    """Return which set of process ids this process sees; '' where there is only one."""
    try:
        return os.readlink('/proc/self/ns/pid')
    except OSError:
        return ''


def identity_fields(identity: Identity) -> dict[str, str]:
    """Return the fields of a worker's hash by which others can tell whether it lives."""
    return {'started': identity.started, 'boot_id': identity.boot_id, 'pid_namespace': process_namespace()}


def is_gone(fields: dict[str, str], namespace: str) -> bool:
    """Say whether the worker that wrote these fields is surely dead.

    Args:
        fields: `pid` and what `identity_fields` returned there; of RQ's own workers only `pid`.
        namespace: which process ids this process sees.
    """
    if not fields.get('boot_id') or not fields.get('started') or not fields.get('pid'):
        return False
    if fields['boot_id'] == boot_id() and fields.get('pid_namespace', '') != namespace:
        # A worker in another container: its process ids mean nothing here.
        return False
    return not is_alive(Identity(int(fields['pid']), fields['started'], fields['boot_id']))


def return_lost_claims(worker: Worker, name: str, known: set[str], *, running: bool) -> int:
    """Put jobs back that a worker took off a queue but never gave to a process.

    Args:
        worker: the worker that does it.
        name: the worker that had taken them.
        known: composite keys of executions and job ids that are in hand and stay there.
        running: also those that were marked as started; only for a worker that knows what it runs.

    Returns:
        How many were put back.
    """
    connection = worker.connection
    claims_key = CLAIMS_KEY_TEMPLATE.format(name)
    returned = 0
    claims: dict[bytes, bytes] = connection.hgetall(claims_key)  # type: ignore[assignment]
    for raw_id, raw_queue in claims.items():
        job_id, queue_key = as_text(raw_id), as_text(raw_queue)
        if job_id in known:
            continue
        with connection.pipeline() as pipeline:
            pipeline.lrem(IntermediateQueue.get_intermediate_queue_key(queue_key), 1, job_id)
            pipeline.hdel(claims_key, job_id)
            if not connection.exists(ExecutionRegistry.key_template.format(job_id)):
                pipeline.lpush(queue_key, job_id)
                returned += 1
            pipeline.execute()
    if running:
        for composite in _members(connection, WORKER_EXECUTIONS_KEY_TEMPLATE.format(name)):
            if composite in known:
                continue
            job, queue, execution = _load(worker, composite, name)
            if job is not None and queue is not None:
                with connection.pipeline() as pipeline:
                    worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
                    queue._enqueue_job(job, pipeline=pipeline, at_front=True)
                    pipeline.execute()
                returned += 1
    return returned


def _members(connection: Redis, key: str) -> list[str]:
    return sorted(as_text(member) for member in connection.smembers(key))


def _load(worker: Worker, composite: str, name: str) -> tuple[Job | None, Queue | None, Execution]:
    job_id, execution_id = parse_composite_key(composite)
    execution = Execution(execution_id, job_id, worker.connection, worker_name=name)
    data = worker.connection.hgetall(execution.key)
    if data:
        execution.restore(data)
        execution.worker_name = name
    try:
        job = worker.job_class.fetch(job_id, connection=worker.connection, serializer=worker.serializer)
    except NoSuchJobError:
        return None, None, execution
    return job, worker.queue_for(worker.queue_class.redis_queue_namespace_prefix + job.origin), execution


@dataclass
class _Record:
    name: str
    fields: dict[str, str]


class Recovery:
    """Finds workers on the same store that died, and takes over their jobs.

    Args:
        worker: the live worker.
    """

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._namespace = process_namespace()
        self._records: dict[str, _Record] = {}

    def run(self) -> int:
        """Look at every worker that is registered, and recover those that died.

        Returns:
            How many workers were dead.
        """
        buried = 0
        for record in self._read():
            if is_gone(record.fields, self._namespace) and self._lock(record.name):
                try:
                    self._recover(record)
                    buried += 1
                finally:
                    self._worker.connection.delete(_LOCK_TEMPLATE.format(record.name))
        return buried

    def _read(self) -> list[_Record]:
        worker = self._worker
        names = [key.removeprefix(_WORKER_PREFIX) for key in _members(worker.connection, REDIS_WORKER_KEYS)]
        known = self._records
        unknown = [name for name in names if name not in known]
        records = {name: known[name] for name in names if name in known}
        if unknown:
            wanted = ('pid', 'started', 'boot_id', 'pid_namespace', 'queues', 'cron')
            with worker.connection.pipeline(transaction=False) as pipeline:
                for name in unknown:
                    pipeline.hmget(_WORKER_PREFIX + name, wanted)
                for name, values in zip(unknown, pipeline.execute(), strict=True):
                    fields = {key: as_text(value) for key, value in zip(wanted, values, strict=True) if value}
                    record = _Record(name, fields)
                    if not fields:
                        # Its hash has expired, but a claim has no time to live.
                        return_lost_claims(worker, name, set(), running=False)
                    # One that is just being registered, or RQ's own, may say more the next time.
                    if fields.get('started'):
                        records[name] = record
        self._records = records
        own = worker.identity
        return [
            record
            for record in records.values()
            if record.name != worker.name or own is None or record.fields.get('started') != own.started
        ]

    def _lock(self, name: str) -> bool:
        connection = self._worker.connection
        key = _LOCK_TEMPLATE.format(name)
        me = self._worker.identity or identify()
        token = f'{me.pid} {me.started} {me.boot_id}'
        if connection.set(key, token, nx=True, ex=_LOCK_TTL):
            return True
        holder = connection.get(key)
        if holder is None:
            return False
        pid, started, boot = as_text(holder).split(' ')
        if not is_alive(Identity(int(pid), started, boot)):
            # The next look, a moment later, takes it.
            connection.delete(key)
        return False

    def _recover(self, record: _Record) -> None:
        worker = self._worker
        name = record.name
        connection = worker.connection
        worker.log.warning(
            'Worker %s: worker %s (PID %s) died, recovering its jobs', worker.name, name, record.fields.get('pid')
        )
        return_lost_claims(worker, name, set(), running=False)
        executions = _members(connection, WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        if record.fields.get('boot_id') == boot_id() and record.fields.get('pid_namespace', '') == self._namespace:
            self._end_leftovers(executions, name)
        for composite in executions:
            self._recover_execution(composite, name)
        self._release_schedulers(name, record.fields)
        with connection.pipeline() as pipeline:
            pipeline.srem(REDIS_WORKER_KEYS, _WORKER_PREFIX + name)
            for queue_name in filter(None, record.fields.get('queues', '').split(',')):
                pipeline.srem(WORKERS_BY_QUEUE_KEY % queue_name, _WORKER_PREFIX + name)
            pipeline.delete(
                _WORKER_PREFIX + name,
                WORKER_EXECUTIONS_KEY_TEMPLATE.format(name),
                CLAIMS_KEY_TEMPLATE.format(name),
            )
            pipeline.execute()
        self._records.pop(name, None)
        self._mend(filter(None, record.fields.get('queues', '').split(',')))

    def _end_leftovers(self, composites: list[str], name: str) -> None:
        """End what a dead worker's jobs had started, before any of them is run again."""
        remains: list[Remains] = []
        for composite in composites:
            job_id, execution_id = parse_composite_key(composite)
            execution = Execution(execution_id, job_id, self._worker.connection, worker_name=name)
            child = _child_identity(self._worker.connection.hmget(execution.key, 'pid', 'pid_started'))
            self._wait_for_child(execution)
            remains.append(Remains(execution_id, child))
        killed = end_leftovers(remains)
        if killed:
            self._worker.log.warning(
                'Worker %s: killed %d process(es) that the jobs of worker %s left behind',
                self._worker.name,
                killed,
                name,
            )

    def _recover_execution(self, composite: str, name: str) -> None:
        worker = self._worker
        job, queue, execution = _load(worker, composite, name)
        self._wait_for_child(execution)
        if job is None or queue is None:
            with worker.connection.pipeline() as pipeline:
                pipeline.delete(execution.key)
                pipeline.execute()
            return
        # Looked up again: the child may have written down its end while it was waited for.
        if not worker.connection.exists(execution.key) and job.get_status() != JobStatus.STARTED:
            return
        status = job.get_status()
        if status == JobStatus.QUEUED:
            self._requeue(job, queue, execution)
            return
        if status != JobStatus.STARTED:
            self._forget_execution(job, execution)
            return
        job.ended_at = now()
        reason = f'Worker {name} died while the job was running, and its process with it'
        settle_abandoned(worker, job, queue, execution, reason, crashed=True)

    def _requeue(self, job: Job, queue: Queue, execution: Execution) -> None:
        with self._worker.connection.pipeline() as pipeline:
            self._worker.cleanup_execution(job, pipeline=pipeline, execution=execution)
            queue._enqueue_job(job, pipeline=pipeline, at_front=True)
            pipeline.execute()

    def recover_expired(self, queues: list[Queue]) -> int:
        """Handle jobs that are marked as started and whose worker is so long gone that even its traces are.

        Args:
            queues: where to look; to be called before RQ's own maintenance, which would fail them.
        """
        worker = self._worker
        recovered = 0
        for queue in queues:
            registry = StartedJobRegistry(queue=queue)
            expired = worker.connection.zrangebyscore(registry.key, 0, current_timestamp())
            for composite in map(as_text, expired):  # type: ignore[arg-type]
                job, _, execution = _load(worker, composite, '')
                if job is None or job.get_status() != JobStatus.STARTED:
                    continue
                # Nothing is known of the process any more, but its programs may be on this machine.
                end_leftovers([Remains(execution.id)])
                job.ended_at = now()
                reason = 'The worker went away while the job was running, and did not come back in time'
                settle_abandoned(worker, job, queue, execution, reason, crashed=True)
                recovered += 1
        return recovered

    def _forget_execution(self, job: Job, execution: Execution) -> None:
        with self._worker.connection.pipeline() as pipeline:
            execution.delete(job=job, pipeline=pipeline)
            pipeline.execute()
        StartedJobRegistry(job.origin, connection=self._worker.connection).cleanup()

    def _wait_for_child(self, execution: Execution) -> None:
        # The kernel kills it when its parent ends: prctl(2). It may need a moment to be gone, and a job must never
        # run twice at the same time.
        identity = _child_identity(self._worker.connection.hmget(execution.key, 'pid', 'pid_started'))
        if identity is None:
            return
        end = time.monotonic() + _PATIENCE
        while is_alive(identity) and time.monotonic() < end:
            time.sleep(0.005)
        if is_alive(identity):
            with contextlib.suppress(OSError):
                os.kill(identity.pid, signal.SIGKILL)
            while is_alive(identity) and time.monotonic() < end + _PATIENCE:
                time.sleep(0.005)

    def _release_schedulers(self, name: str, fields: dict[str, str]) -> None:
        connection = self._worker.connection
        if fields.get('cron'):
            release_lock(connection, cron_lock_key(fields['cron']), name)
        for queue_name in filter(None, fields.get('queues', '').split(',')):
            release_lock(connection, RQScheduler.get_locking_key(queue_name), name)
        connection.delete(SCHEDULER_KEY_TEMPLATE % name)

    def _mend(self, queue_names: Any) -> None:
        # A child that had written down its success may have died before it enqueued the dependents and gave up its
        # place in a rate limit: RQ's own maintenance repairs both, but minutes later.
        worker = self._worker
        for queue_name in queue_names:
            queue = worker.queue_for(worker.queue_class.redis_queue_namespace_prefix + queue_name)
            queue.ready_job_registry.cleanup()
        for registry in RateLimitRegistry.all(worker.connection):
            registry.cleanup()


def _child_identity(values: Any) -> Identity | None:
    pid, started = values
    if not pid or not started:
        return None
    return Identity(int(pid), as_text(started), boot_id())

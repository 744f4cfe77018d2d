"""Workers that died, and what becomes of the jobs that they had.

Whatever is read here may be broken: that one thing is set aside, and everything else is recovered.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis.exceptions import ResponseError
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.scheduler import SCHEDULER_KEY_TEMPLATE, RQScheduler
from rq.scripts import release_lock
from rq.utils import as_text, current_timestamp, now
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from rq_leveldb.process import Identity, boot_id, identify, is_alive
from rq_leveldb.records import (
    BEAT_FIELD,
    CLAIMS_KEY_TEMPLATE,
    LOCK_FIELD,
    PID_STARTED_FIELD,
    RECOVERY_KEY_TEMPLATE,
    WORKER_KEY_TEMPLATE,
)
from rq_leveldb.unreadable import list_aside

from .assignment import Assignment, Task
from .broken import fail_unreadable
from .claim import Claim
from .ending import Ending, Verdict
from .executions import drop_execution
from .found import Found, all_queue_names, find, read_as, read_fields, read_many, read_members, text_of
from .leftovers import Remains, end_leftovers, wait_until_gone
from .liveness import IDENTITY_FIELDS, Life, Watcher, is_here, judge, process_namespace, subscribed
from .lost import requeue, return_claims
from .ready import enqueue_ready
from .site import LEASE, Site
from .trouble import guarded

__all__ = ['Recovery', 'clean_rate_limits']

_WORKER_PREFIX = WORKER_KEY_TEMPLATE.format('')
# A worker that dies while it recovers leaves its lock. Others check whether the owner lives; this is the last resort.
_LOCK_TTL = 60
_PATIENCE = 1.0
_BETWEEN_LOOKS = 1.0
# The kernel kills a job's process with its worker. Where that cannot be seen from here, it gets this many seconds.
_OUT_OF_SIGHT = 0.2
# Seconds; longer than the watcher needs to declare a worker dead.
_LONGEST_WAIT_FOR_A_NAME = 30.0
_WANTED = (*IDENTITY_FIELDS, 'queues')


@dataclass
class _Record:
    name: str
    fields: dict[str, str]

    @property
    def queues(self) -> list[str]:
        return [name for name in self.fields.get('queues', '').split(',') if name]


class Recovery:
    """Finds workers on the same store that died, and takes over their jobs.

    Args:
        site: of the live worker.
        settle: called with a job whose process has ended, and how it ended, to write that down.
    """

    def __init__(self, site: Site, settle: Callable[[Assignment, Ending], None]) -> None:
        self._site = site
        self._settle_end = settle
        self._connection = site.connection
        self._locks = site.locks
        self._watcher = Watcher(site.connection)
        self._records: dict[str, _Record] = {}
        self._next_look = 0.0

    # Who is dead

    def run(self) -> int:
        """Check every other registered worker, and recover those that died.

        Returns:
            How many workers were dead.
        """
        records = [record for record in self._read(self._names()) if record.name != self._site.name]
        lives = {record.name: judge(record.name, record.fields, self._locks) for record in records}
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _BETWEEN_LOOKS
            watched = [
                record.name for record in records if lives[record.name] is Life.UNKNOWN and self._is_watched(record)
            ]
            lives.update(self._watcher.look(watched))
        return sum(self._bury(record) for record in records if lives[record.name] is Life.DEAD)

    def free_name(self) -> None:
        """Recover a dead worker that had the name of this one, which is about to register.

        Returns also when that one lives, or when nobody can tell: then it is for RQ's rule to refuse the name.
        """
        site = self._site
        name = site.name
        end = time.monotonic() + _LONGEST_WAIT_FOR_A_NAME
        while True:
            record = _Record(name, read_fields(self._connection, site.key, (*_WANTED, 'birth', 'death')))
            if record.fields.get('death'):
                return
            if not record.fields and not self._connection.exists(*_own_keys(name)):
                return
            life = self._life_of_namesake(record)
            if life is Life.DEAD and self._bury(record):
                return
            if life is Life.ALIVE or not self._is_watched(record) or time.monotonic() > end:
                return
            time.sleep(0.1)

    def _life_of_namesake(self, record: _Record) -> Life:
        if self._locks is None or not self._locks.is_own(record.name):
            life = judge(record.name, record.fields, self._locks)
            if life is Life.UNKNOWN and self._is_watched(record):
                (life,) = self._watcher.look([record.name]).values()
            return life
        # This process holds the lock, so whoever held it is dead. RQ's own workers hold none.
        if record.fields.get(LOCK_FIELD) or not record.fields.get('birth'):
            return Life.DEAD
        if record.fields.get('started') and record.fields.get('boot_id') != boot_id():
            return Life.DEAD
        return judge(record.name, record.fields, None)

    def life(self, name: str) -> Life:
        """Return what is known about the worker of a name.

        Args:
            name: any worker's; '' is nobody's.
        """
        site = self._site
        if not name:
            return Life.UNKNOWN
        if name == site.name and site.registered:
            return Life.ALIVE
        fields = read_fields(self._connection, _WORKER_PREFIX + name, _WANTED)
        # What its hash said before it expired still counts.
        record = _Record(name, fields) if fields else self._records.get(name, _Record(name, {}))
        life = judge(name, record.fields, self._locks)
        if life is Life.UNKNOWN and self._is_watched(record) and subscribed(self._connection, [name]):
            return Life.ALIVE
        return life

    @staticmethod
    def _is_watched(record: _Record) -> bool:
        # RQ's own workers do not count beats: RQ's time-outs apply until their hash has expired.
        return not record.fields or BEAT_FIELD in record.fields

    def _names(self) -> list[str]:
        keys = read_members(self._connection, REDIS_WORKER_KEYS)
        return [key.removeprefix(_WORKER_PREFIX) for key in keys if key.startswith(_WORKER_PREFIX)]

    def _read(self, names: list[str]) -> list[_Record]:
        known = self._records
        records = {name: known[name] for name in names if name in known}
        found = list(records.values())
        unknown = [name for name in names if name not in known]
        read = read_many(self._connection, [_WORKER_PREFIX + name for name in unknown], _WANTED)
        for name, fields in zip(unknown, read, strict=True):
            record = _Record(name, fields)
            found.append(record)
            # A worker that is just being registered may say more the next time.
            if fields.get('started'):
                records[name] = record
        self._records = records
        return found

    # What it had

    def _bury(self, record: _Record) -> bool:
        """Recover what a dead worker left, unless another worker does; returns whether it was done here."""
        is_own = self._locks is not None and self._locks.is_own(record.name)
        ours = is_own or bool(record.fields.get('started')) or judge(record.name, {}, self._locks) is Life.DEAD
        with self._exclusively(record.name) as mine:
            if not mine:
                return False
            self._records.pop(record.name, None)
            fields = read_fields(self._connection, _WORKER_PREFIX + record.name, _WANTED)
            if fields and fields.get('started') != record.fields.get('started'):
                # Another worker has taken this name meanwhile.
                return False
            self._recover(record, ours)
        return True

    @contextlib.contextmanager
    def _exclusively(self, name: str) -> Iterator[bool]:
        if self._locks is not None:
            with self._locks.recovering(name) as mine:
                yield mine
            return
        key = RECOVERY_KEY_TEMPLATE.format(name)
        me = identify()
        token = f'{me.pid} {me.started} {me.boot_id} {process_namespace()}'
        if not self._connection.set(key, token, nx=True, ex=_LOCK_TTL):
            self._look_at_lock(key)
            yield False
            return
        try:
            yield True
        finally:
            release_lock(self._connection, key, token)

    def _look_at_lock(self, key: str) -> None:
        try:
            holder = self._connection.get(key)
            pid, started, boot, namespace = text_of(holder or b'').split(' ')
            gone = is_here({'boot_id': boot, 'pid_namespace': namespace}) and not is_alive(
                Identity(int(pid), started, boot)
            )
        except (ResponseError, ValueError):
            return
        if gone:
            # The next look, a moment later, gets the lock.
            release_lock(self._connection, key, text_of(holder))

    def _recover(self, record: _Record, ours: bool) -> None:
        site = self._site
        name = record.name
        connection = self._connection
        site.log.warning('worker %s (PID %s) died, recovering its jobs', name, record.fields.get('pid'))
        if record.fields and not is_here(record.fields):
            time.sleep(_OUT_OF_SIGHT)
        guarded(site, f'recovery of claims of worker {name}', lambda: return_claims(site, name))
        executions = read_members(connection, WORKER_EXECUTIONS_KEY_TEMPLATE.format(name))
        if is_here(record.fields):
            guarded(site, f'recovery of programs of worker {name}', lambda: self._end_leftovers(executions, record))
        for composite in executions:
            self._recover_execution_safely(composite, record, ours)
        if not record.fields or not executions:
            # The list of its executions has expired, or somebody has overwritten it; or it had none.
            self._recover_by_registries(record, ours)
        guarded(site, f'recovery of schedulers of worker {name}', lambda: self._release_schedulers(name, record))
        with connection.pipeline() as pipeline:
            pipeline.srem(REDIS_WORKER_KEYS, _WORKER_PREFIX + name)
            for queue_name in record.queues or [queue.name for queue in site.queues]:
                pipeline.srem(WORKERS_BY_QUEUE_KEY % queue_name, _WORKER_PREFIX + name)
            pipeline.delete(*(key for key in _own_keys(name) if ours or not key.endswith(':executions')))
            pipeline.execute(raise_on_error=False)
        self._records.pop(name, None)
        self._mend(record.queues)

    def _end_leftovers(self, composites: list[str], record: _Record) -> None:
        """End what a dead worker's jobs had started, before any of them is run again."""
        remains: list[Remains] = []
        for composite in composites:
            found = find(self._site, composite, record.name)
            self._wait_for_child(found, record)
            remains.append(Remains(found.execution.id, _child_identity(found)))
        killed = end_leftovers(remains)
        if killed:
            self._site.log.warning('killed %d process(es) that the jobs of worker %s left behind', killed, record.name)

    def _recover_by_registries(self, record: _Record, ours: bool) -> None:
        for queue_name in all_queue_names(self._site):
            key = StartedJobRegistry.key_template.format(queue_name)
            for composite, _ in self._started(key):
                if find(self._site, composite, queue_name=queue_name).execution.worker_name == record.name:
                    self._recover_execution_safely(composite, record, ours)

    def _recover_execution_safely(self, composite: str, record: _Record, ours: bool) -> None:
        what = f'recovery of execution {composite} of worker {record.name}'
        guarded(self._site, what, lambda: self._recover_execution(composite, record, ours))

    def _recover_execution(self, composite: str, record: _Record, ours: bool) -> None:
        found = find(self._site, composite, record.name)
        if not ours and 'pid' not in found.fields:
            # This seems to be RQ's own worker, for which RQ's time-outs apply.
            return
        self._wait_for_child(found, record)
        reason = f'Worker {record.name} died while the job was running, and its process with it'
        # Read again: the child may have written its end meanwhile.
        self._settle(find(self._site, composite, record.name), reason)

    def _settle(self, found: Found, reason: str) -> None:
        job = found.job
        if found.fault is not None:
            fail_unreadable(self._site, found.job_id, found.queue_name, found.fault, found.execution)
            self._forget_execution(found)
        elif job is None or self._has_ended(found, job):
            self._forget_execution(found)
        elif job.get_status(refresh=False) == JobStatus.STARTED or self._is_about_to_be_scheduled(found, job):
            job.ended_at = now()
            self._take_over(found, job, reason)
        elif found.fields and job.get_status(refresh=False) == JobStatus.QUEUED:
            requeue(self._site, found)
        else:
            self._forget_execution(found)

    def _take_over(self, found: Found, job: Job, reason: str) -> None:
        """Have the end of a job handled whose process went away with its worker, as if it were this worker's."""
        site, execution = self._site, found.execution
        raw: dict[bytes, bytes] = self._connection.hgetall(job.key)  # type: ignore[assignment]
        queue = site.queue_for(site.queue_class.redis_queue_namespace_prefix + found.queue_name)
        claim = Claim(queue.key, job.id, execution.id, raw, execution.created_at.timestamp())
        with self._connection.pipeline() as pipeline:
            # Others see that this worker has the job; should it die too, the next one finds the job here.
            pipeline.hset(job.key, 'worker_name', site.name)
            if self._connection.exists(execution.key):
                pipeline.sadd(site.executions_key, execution.composite_key)
                pipeline.hset(execution.key, 'worker_name', site.name)
            pipeline.execute(raise_on_error=False)
        # RQ removes it from the list of the worker named here.
        execution.worker_name = site.name
        assignment = Assignment(claim, queue, execution, claim.sealed_job(site), Task(claim, execution.id, True))
        assignment.job.started_at = execution.created_at
        self._settle_end(assignment, Ending(Verdict.ABANDONED, reason, crashed=True, exit=reason))

    def _has_ended(self, found: Found, job: Job) -> bool:
        """Say whether an execution's end is written and only a list still names it; the job may run again by now."""
        if found.fields:
            return False
        key = ExecutionRegistry.key_template.format(found.job_id)
        with contextlib.suppress(ResponseError):
            if self._connection.exists(key):
                return self._connection.zscore(key, found.execution.id) is None
        # Everything known about it has expired.
        return bool(job.worker_name) and job.worker_name != found.execution.worker_name

    def _is_about_to_be_scheduled(self, found: Found, job: Job) -> bool:
        """Say whether it died between RQ's two steps of a retry with an interval: the status, and all the rest."""
        if not found.fields or job.get_status(refresh=False) != JobStatus.SCHEDULED:
            return False
        key = ScheduledJobRegistry.key_template.format(found.queue_name)
        return self._connection.zscore(key, found.job_id) is None

    def _forget_execution(self, found: Found) -> None:
        drop_execution(self._site, found.job_id, found.queue_name, found.execution)

    # What is marked as started

    def recover_started(self, queue_names: Iterable[str]) -> int:
        """Check the jobs that are marked as started; must run before RQ's maintenance, which checks no worker.

        What a live worker has is kept for as long again, whatever the clock says. What a dead one had is recovered,
        even if nothing else is left of that worker. For what nobody can tell, the time-outs hold.

        Args:
            queue_names: where to look.

        Returns:
            How many executions were recovered.
        """
        recovered = 0
        lives: dict[str, Life] = {}
        for name in queue_names:
            key = StartedJobRegistry.key_template.format(name)
            moment = current_timestamp()
            for composite, score in self._started(key):
                if score > moment and self._is_in_good_hands(composite, lives):
                    continue
                look = partial(self._look_at, composite, name, score <= moment)
                guarded(self._site, f'recovery of {composite} in {key}', look)
                recovered += self._connection.zscore(key, composite) is None
        return recovered

    def _is_in_good_hands(self, composite: str, lives: dict[str, Life]) -> bool:
        """Say whether a live worker has an execution; `lives` remembers what was found of each."""
        fields = read_fields(self._connection, RQ_KEY_PREFIX + ':execution:' + composite, ['worker_name'])
        name = fields.get('worker_name', '')
        if not name or name == self._site.name:
            return False
        if name not in lives:
            lives[name] = self.life(name)
        return lives[name] is Life.ALIVE

    def _started(self, key: str) -> list[tuple[str, float]]:
        """Return the composite keys and scores in a registry of started jobs."""
        read = partial(self._connection.zrange, start=0, end=-1, withscores=True)
        entries: list[Any] = read_as(self._connection, 'sorted set', key, read, [])
        found = []
        for raw, score in entries:
            try:
                found.append((as_text(raw), score))
            except UnicodeDecodeError:
                # No job has such an id, and anybody who reads the registry would fail on it.
                list_aside(self._connection, key, f'a member was no text and was removed: {text_of(raw)}')
                self._connection.zrem(key, raw)
        return found

    def recover_everything_started(self) -> None:
        """Check the jobs marked as started in all queues, before this worker has any."""
        self.recover_started(all_queue_names(self._site))
        self._tidy()

    def _look_at(self, composite: str, queue_name: str, late: bool) -> None:
        site = self._site
        found = find(self._site, composite, queue_name=queue_name)
        name = found.execution.worker_name
        if name == site.name and not site.registered and self._locks is not None and self._locks.is_own(name):
            life = Life.DEAD
        elif name == site.name and site.registered:
            # This worker renews it with every heartbeat; RQ's cleanup removes what no longer runs.
            life = Life.ALIVE if composite in self._own_executions() else Life.UNKNOWN
            late = late and life is Life.ALIVE
        else:
            life = self.life(name)
        if life is Life.UNKNOWN and self._was_ours(found, name):
            life = Life.DEAD
        is_started = found.fault is None and found.job is not None and found.job.get_status(refresh=False) == 'started'
        if life is Life.ALIVE:
            if late and is_started:
                self._extend(composite, queue_name)
            return
        if life is Life.UNKNOWN and not late:
            return
        if life is Life.UNKNOWN and not is_started and found.fault is None:
            return
        with self._exclusively(name or 'nobody') as mine:
            key = StartedJobRegistry.key_template.format(queue_name)
            if not mine or self._connection.zscore(key, composite) is None:
                return
            if life is Life.DEAD:
                reason = f'Worker {name} died while the job was running, and its process with it'
            else:
                reason = 'The worker went away while the job was running, and did not come back in time'
            self._wait_for_child(found, _Record(name, {}))
            # Nothing is known about its process, but programs that it started may run on this machine.
            end_leftovers([Remains(found.execution.id)])
            found = find(self._site, composite, name, queue_name)
            self._settle(found, reason)
            if found.queue_name != queue_name:
                self._connection.zrem(key, composite)

    def _own_executions(self) -> set[str]:
        return {execution.composite_key for execution in self._site.executions.values()}

    def _was_ours(self, found: Found, name: str) -> bool:
        """Say whether an execution belongs to one of our workers of which nothing is left, not even a live process.

        Only on a store: there each of them holds a lock for as long as it lives.
        """
        if self._locks is None or not found.fields.get('pid') or name == self._site.name:
            return False
        if self._connection.exists(_WORKER_PREFIX + name):
            return False
        identity = _child_identity(found)
        return identity is not None and not is_alive(identity)

    def _extend(self, composite: str, queue_name: str) -> None:
        lease = LEASE if self._locks is not None else self._site.job_monitoring_interval + 60
        key = StartedJobRegistry.key_template.format(queue_name)
        self._connection.zadd(key, {composite: current_timestamp() + lease}, xx=True)

    # What else it leaves

    def _wait_for_child(self, found: Found, record: _Record) -> None:
        # The kernel kills it when its parent ends: prctl(2). It may need a moment to be gone, and a job must never
        # run twice at the same time. On another machine the number would be some other process.
        identity = _child_identity(found)
        here = is_here(record.fields)
        if identity is None or not (here or (self._locks is not None and not record.fields)):
            return
        if not wait_until_gone(identity, _PATIENCE) and here:
            with contextlib.suppress(OSError):
                os.kill(identity.pid, signal.SIGKILL)
            wait_until_gone(identity, _PATIENCE)

    def _release_schedulers(self, name: str, record: _Record) -> None:
        connection = self._connection
        for queue_name in record.queues:
            release_lock(connection, RQScheduler.get_locking_key(queue_name), name)
        connection.delete(SCHEDULER_KEY_TEMPLATE % name)

    def _mend(self, queue_names: list[str]) -> None:
        # A child that had written down its success may have died before it enqueued the dependents and gave up its
        # place in a rate limit: RQ's own maintenance repairs both, but minutes later.
        guarded(self._site, 'recovery of jobs that are ready', lambda: enqueue_ready(self._site, queue_names))
        guarded(self._site, 'recovery of rate limits', partial(clean_rate_limits, self._site))

    def _tidy(self) -> None:
        if self._locks is not None:
            self._locks.tidy({*self._names(), self._site.name})


def clean_rate_limits(site: Site) -> None:
    """Give back places in rate limits whose jobs have ended."""
    for registry in RateLimitRegistry.all(site.connection):
        guarded(site, f'maintenance of rate limit {registry.key}', registry.cleanup)


def _own_keys(name: str) -> tuple[str, str, str]:
    return _WORKER_PREFIX + name, WORKER_EXECUTIONS_KEY_TEMPLATE.format(name), CLAIMS_KEY_TEMPLATE.format(name)


def _child_identity(found: Found) -> Identity | None:
    pid, started = found.fields.get('pid', ''), found.fields.get(PID_STARTED_FIELD)
    if not started or not (pid.isascii() and pid.isdigit()):
        return None
    return Identity(int(pid), started, boot_id())

"""Cron, inside the worker's loop: when each entry is due stands in the store, and whoever moves it on enqueues.

There is no scheduler among the workers and nothing to take over: every worker that has a definition looks once a
second, and the step from one due time to the next and the job of it are one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError, WatchError
from rq import cron_job_registry
from rq.cron import CronJob, CronScheduler, get_cron_job_history_key
from rq.defaults import DEFAULT_CRON_JOB_HISTORY_LIMIT, DEFAULT_CRON_JOB_HISTORY_TTL
from rq.exceptions import SchedulerNotFound
from rq.job import Job
from rq.queue import Queue
from rq.utils import utcformat

from rq_leveldb.cron_due import NEVER, Due, due_key
from rq_leveldb.unreadable import is_wrong_type

from .broken import set_aside
from .cron_file import Entry, load
from .site import Site
from .trouble import is_about_the_store

__all__ = ['Step', 'WorkerCron', 'next_step']

# Seconds between two looks, however often `step` is called.
_LOOK = 0.5
# A run that is later than this was missed: no worker was running when it was due.
_LATE = 60.0
# If the clock was set back by no more than this, the time of the last run is waited for, so that nothing runs twice at
# the same time of day. A clock that was set back by more was wrong before, perhaps by years.
_CORRECTION = 4 * 3600.0


@dataclass(frozen=True)
class Step:
    """What is to be done about an entry.

    Args:
        enqueue: whether a job is made.
        due: what the store is to know from then on.
        missed: whether a run is left out.
    """

    enqueue: bool
    due: Due
    missed: bool = False


def next_step(entry: Entry, text: bytes | None, moment: float) -> Step | None:
    """Decide what is to be done about an entry now.

    Args:
        entry: the definition.
        text: what the store has of it; None if it is new.
        moment: now, in seconds since the epoch.

    Returns:
        None if there is nothing to do.
    """
    due = Due.decode(text) if text is not None else None
    if due is None:
        # A new entry with an interval is due at once, as in RQ. One that cannot be read may have just run.
        if text is None and entry.interval:
            return Step(True, Due(moment + entry.interval, moment, moment))
        return Step(False, Due(_after(entry, moment), moment, None))
    if due.written - moment > _LATE:
        # The clock was set back. Intervals start again from now, which repeats no run.
        at = _after(entry, _after_a_correction(entry, due, moment))
        return Step(False, replace(due, at=at, written=moment))
    if due.is_wanted:
        at = due.at if moment < due.at else _after(entry, moment)
        return Step(True, replace(due, at=at, written=moment, last=moment, is_wanted=False))
    if moment < due.at:
        return None
    if due.is_disabled:
        return Step(False, replace(due, at=_after_missed(entry, due, moment), written=moment))
    if moment - due.at <= _LATE or entry.once:
        return Step(True, Due(_after(entry, moment), moment, moment))
    return Step(False, Due(_after_missed(entry, due, moment), moment, due.last), missed=True)


def _after_missed(entry: Entry, due: Due, moment: float) -> float:
    """Return the next due time of an entry that does not run at the one before."""
    if entry.interval:
        return due.at + entry.interval * ((moment - due.at) // entry.interval + 1)
    return _after(entry, moment)


def _after_a_correction(entry: Entry, due: Due, moment: float) -> float:
    if entry.interval or due.last is None or due.last - moment > _CORRECTION:
        return moment
    return max(moment, due.last)


def _after(entry: Entry, moment: float) -> float:
    """Return RQ's time of the next run after one at this moment."""
    if entry.interval:
        return min(moment + entry.interval, NEVER)
    definition = CronJob(entry.queue, func_name=entry.name, cron=entry.cron)
    definition.latest_enqueue_time = _utc(moment)
    return definition.get_next_enqueue_time().timestamp()


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, timezone.utc)


class WorkerCron:
    """RQ's cron definitions, run by the workers that have them.

    Args:
        site: whose store it is, and whose log.
        path: module or file as RQ's `rq cron` takes it.
        log_level: of RQ's cron scheduler.

    Raises:
        BadCronFile: the file cannot be loaded.
    """

    def __init__(self, site: Site, path: str, log_level: str | int = 'INFO') -> None:
        self._site = site
        file = load(path, serializer=site.serializer, log_level=log_level)
        for fault in file.faults:
            site.log.error('cron entry %s', fault)
        self._entries = {entry.id: entry for entry in file.entries}
        self._dues: dict[str, Due | None] = dict.fromkeys(self._entries)
        self._listing = _Listing(site.connection, path, file.entries, log_level)
        self._listed = False
        self._next_look = 0.0
        self._complaint = ''

    def step(self) -> None:
        """Enqueue what is due.

        Raises:
            ConnectionError: the store went away.
        """
        clock = time.monotonic()
        if clock < self._next_look:
            return
        self._next_look = clock + _LOOK
        try:
            changed = self._enqueue_due()
            self._show(changed)
            self._complaint = ''
        except ResponseError as error:
            # Logged once, and tried again: the disk may be full, or one of RQ's keys may hold another type.
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._site.log.error('cron: the store refused a command: %s', error)

    def _enqueue_due(self) -> bool:
        if not self._entries:
            return False
        texts: list[bytes | None]
        texts = self._site.connection.mget([due_key(entry) for entry in self._entries])  # type: ignore[assignment]
        changed = False
        for entry, text in zip(list(self._entries.values()), texts, strict=True):
            try:
                due = Due.decode(text) if text is not None else None
                if next_step(entry, text, time.time()) is not None:
                    due = self._advance(entry)
            except ResponseError as error:
                if is_about_the_store(error) or not is_wrong_type(error):
                    raise
                key = due_key(entry.id)
                set_aside(self._site, key, f'{key} is no string; {entry.label} does not run')
                continue
            except (ValueError, OverflowError) as error:
                # For example, a date that never comes again.
                self._site.log.error('cron entry %s will not run again: %s', entry.label, error)
                del self._entries[entry.id]
                continue
            if due is not None and due != self._dues[entry.id]:
                self._dues[entry.id] = due
                changed = True
        return changed

    def _advance(self, entry: Entry) -> Due | None:
        """Move an entry to its next due time, and enqueue its job, unless another worker does so."""
        site = self._site
        key = due_key(entry.id)
        try:
            with site.connection.pipeline() as pipeline:
                pipeline.watch(key)
                text: Any = pipeline.get(key)
                moment = time.time()
                step = next_step(entry, text, moment)
                if step is None:
                    return Due.decode(text)
                queue_key = Queue.redis_queue_namespace_prefix + entry.queue
                if step.enqueue and pipeline.type(queue_key) not in (b'none', b'list'):
                    set_aside(site, queue_key, f'{queue_key} is no list; nothing can be enqueued there')
                    return None
                pipeline.multi()
                pipeline.set(key, step.due.encode(), ex=step.due.lifetime(moment))
                job_id = _enqueue(pipeline, entry, moment) if step.enqueue else ''
                # RQ's other keys may hold another type; the job is in its queue anyway.
                for reply in pipeline.execute(raise_on_error=False):
                    if isinstance(reply, Exception):
                        if is_about_the_store(reply):
                            raise reply
                        site.log.error('cron entry %s: %s', entry.label, reply)
        except WatchError:
            return None
        if step.enqueue:
            site.log.info('cron enqueued %s: %s', entry.label, job_id)
        elif step.missed:
            site.log.warning('cron skipped %s: no worker was running when it was due', entry.label)
        return step.due

    def _show(self, changed: bool) -> None:
        self._listing.dues = self._dues
        if not self._listed:
            self._listed = True
            self._listing.register_birth()
        elif changed:
            self._listing.save()
        self._listing.heartbeat()

    def stop(self) -> None:
        """Take the entries off RQ's list; another worker that has them puts them back."""
        if self._listed:
            self._listed = False
            with contextlib.suppress(SchedulerNotFound, RedisError):
                self._listing.register_death()


def _enqueue(pipeline: Pipeline, entry: Entry, moment: float) -> str:
    """Write the job as RQ's `CronJob.enqueue` does."""
    job_id = str(uuid4())
    key = Job.key_for(job_id)
    at = utcformat(_utc(moment))
    queue_key = Queue.redis_queue_namespace_prefix + entry.queue
    fields: dict[Any, Any] = {name: value.encode('latin-1') for name, value in entry.fields.items()}
    pipeline.sadd(Queue.redis_queues_keys, queue_key)
    pipeline.hset(key, mapping={**fields, 'created_at': at, 'enqueued_at': at})
    if entry.ttl:
        pipeline.expire(key, entry.ttl)
    pipeline.rpush(queue_key, job_id)
    history = get_cron_job_history_key(entry.name)
    pipeline.zadd(history, {job_id: moment})
    pipeline.zremrangebyrank(history, 0, -(DEFAULT_CRON_JOB_HISTORY_LIMIT + 1))
    pipeline.expire(history, DEFAULT_CRON_JOB_HISTORY_TTL)
    cron_job_registry.add(entry.name, pipeline, enqueue_timestamp=moment)
    return job_id


class _Listing(CronScheduler):
    """What RQ's tools see of the entries: one scheduler, whichever of the workers writes it.

    Args:
        connection: the store.
        path: the file, as this worker spells it.
        entries: the definitions.
        log_level: of RQ's cron scheduler.
    """

    def __init__(self, connection: Redis, path: str, entries: list[Entry], log_level: str | int) -> None:
        together = '\n'.join(sorted(entry.id for entry in entries))
        name = f'rq-leveldb:{hashlib.sha256(together.encode()).hexdigest()[:12]}'
        super().__init__(connection, logging_level=log_level, name=name)
        self.config_file = path
        self.dues: dict[str, Due | None] = {}
        self._shown = entries

    def to_dict(self) -> dict[str, Any]:
        """Return the hash that RQ's tools read."""
        shown = []
        for entry in self._shown:
            due = self.dues.get(entry.id)
            times = {
                'latest_enqueue_time': utcformat(_utc(due.last)) if due and due.last is not None else None,
                'next_enqueue_time': utcformat(_utc(due.at)) if due else None,
            }
            # RQ's objects know no id, and ignore it.
            shown.append({**entry.shown, **times, 'id': entry.id})
        return {**super().to_dict(), 'cron_jobs': json.dumps(shown)}

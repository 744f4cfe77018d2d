"""Removing the oldest of the jobs that have ended, where more of them are kept than are wanted.

RQ scores them by when they expire, which says nothing about their age where they are kept without limit or for
different times. So all of a registry is looked at to find the oldest, a slice at a time.

What jobs take is not known without reading each of them. So a limit in bytes becomes a number of jobs, by the mean size
of some that are drawn at random.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from redis.exceptions import ResponseError, WatchError
from rq.exceptions import NoSuchJobError
from rq.group import Group
from rq.job import JobStatus
from rq.results import Result
from rq.utils import as_text, utcparse

from rq_leveldb.lookup import REGISTRIES, registry_key, replies
from rq_leveldb.records import output_key
from rq_leveldb.unreadable import UnreadableJob, is_wrong_type

from .keep import Keep
from .sealed import restore_sealed
from .site import Site

__all__ = ['Retention']

# Seconds of each second, and of all time.
_MOMENT = 0.1
_SHARE = 0.02
_PAUSE = 10.0
_SLICE = 500
_AT_ONCE = 20
# A bound on memory: what is more goes with the next turn.
_MOST = 20_000
# Jobs that are measured; where there are no more, the sum is exact.
_DRAWN = 200
_ENDED = {
    'finished': (JobStatus.FINISHED.value,),
    'failed': (JobStatus.FAILED.value, JobStatus.STOPPED.value),
}
# What RQ's deletion asks a job for, and nothing that may be large.
_FIELDS = ('status', 'origin', 'created_at', 'ended_at', 'group_id', 'rate_limit_key', 'rate_limit_concurrency')


class Retention:
    """Trims the finished and failed jobs of one worker's queues.

    Args:
        site: of the worker, whose settings say what is kept.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        settings = site.settings
        self._rules: list[tuple[str, str, Keep]] = []
        for state, rules in (('finished', settings.keep_finished), ('failed', settings.keep_failed)):
            names = [queue.name for queue in site.queues]
            self._rules += [(name, state, keep) for name in names if (keep := Keep.of(rules, name)) is not None]
            for name in sorted({rule.queue for rule in rules if rule.queue is not None} - set(names)):
                site.log.warning(
                    'what is to be kept of the %s jobs of queue %s does not count here: this worker does not serve it',
                    state,
                    name,
                )
        self._turn: Iterator[None] | None = None
        self._worked = 0.0
        self._due = 0.0

    def __bool__(self) -> bool:
        """Whether there is anything to trim."""
        return bool(self._rules)

    def step(self) -> None:
        """Go on for a moment; to be called about once a second.

        Raises:
            RedisError: the store is away or takes no writes; the next call begins anew.
        """
        began = time.monotonic()
        if self._turn is None:
            if began < self._due:
                return
            self._turn, self._worked = self._trim_all(), 0.0
        turn, self._turn = self._turn, None
        for _ in turn:
            took = time.monotonic() - began
            if took > _MOMENT:
                self._turn, self._worked = turn, self._worked + took
                return
        clock = time.monotonic()
        self._due = clock + max(_PAUSE, (self._worked + clock - began) / _SHARE)

    def _trim_all(self) -> Iterator[None]:
        for name, state, keep in self._rules:
            try:
                yield from self._trim(name, state, keep)
            except ResponseError as error:
                # Maintenance tells of it.
                if not is_wrong_type(error):
                    raise

    def _trim(self, name: str, state: str, keep: Keep) -> Iterator[None]:
        connection, key = self._site.connection, registry_key(state, name)
        surplus = 0
        if keep.count is not None or keep.size is not None:
            # What has expired is gone already, and only its entry is left.
            count = connection.zcount(key, f'({time.time()}', '+inf')
            if keep.count is not None:
                surplus = count - keep.count
            if keep.size is not None:
                surplus = max(surplus, count - self._number_of(key, keep.size))
        if surplus <= 0 and keep.seconds is None:
            return
        most = _MOST if keep.seconds is not None else min(surplus, _MOST)
        oldest: set[tuple[float, str]] = set()
        cursor: Any = 0
        entries: Any
        while True:
            cursor, entries = connection.zscan(key, cursor, count=_SLICE)
            oldest.update(self._ends(state, [as_text(member) for member, _ in entries]))
            if len(oldest) > 2 * most:
                oldest = set(sorted(oldest)[:most])
            yield
            if not cursor:
                break
        before = time.time() - keep.seconds if keep.seconds is not None else float('-inf')
        ordered = sorted(oldest)[:most]
        doomed = [job_id for number, (ended, job_id) in enumerate(ordered) if number < surplus or ended < before]
        removed = 0
        for start in range(0, len(doomed), _AT_ONCE):
            if start:
                yield
            removed += self._remove(name, state, doomed[start : start + _AT_ONCE])
        if removed:
            self._site.log.info(
                'removed %d %s job(s) of queue %s, as not so many are kept or not for so long', removed, state, name
            )

    def _number_of(self, key: str, size: int) -> int:
        """Return how many of a registry's jobs take about so many bytes."""
        drawn: Any = self._site.connection.zrandmember(key, _DRAWN)
        job_ids = [as_text(job_id) for job_id in drawn or ()]
        with self._site.connection.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                for part in (self._site.job_class.key_for(job_id), Result.get_key(job_id), output_key(job_id)):
                    pipeline.memory_usage(part)
            taken = sum(found for found in replies(pipeline) if isinstance(found, int))
        return size * len(job_ids) // taken if taken else 0

    def _ends(self, state: str, job_ids: list[str]) -> Iterator[tuple[float, str]]:
        """Return when jobs ended, each with its id, but for those that run again or for which others still wait."""
        job_class = self._site.job_class
        with self._site.connection.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.hmget(job_class.key_for(job_id), 'status', 'ended_at', 'created_at')
                pipeline.exists(job_class.dependents_key_for(job_id))
            found = replies(pipeline)
        for job_id, values, is_awaited in zip(job_ids, found[::2], found[1::2], strict=True):
            # What is gone or cannot be read is left to RQ's lifetimes.
            with contextlib.suppress(ValueError, TypeError, AttributeError):
                status, ended_at, created_at = values
                if as_text(status) in _ENDED[state] and not is_awaited:
                    yield utcparse(as_text(ended_at or created_at)).timestamp(), job_id

    def _remove(self, name: str, state: str, job_ids: list[str]) -> int:
        """Delete jobs by RQ's method, in one transaction; returns how many.

        None is deleted if one of them changes meanwhile: somebody may have put it back into its queue.
        """
        site = self._site
        job_class = site.job_class
        keys = [(job_class.key_for(job_id), job_class.dependents_key_for(job_id)) for job_id in job_ids]
        registry = REGISTRIES[state](name, connection=site.connection)
        removed = 0
        with site.connection.pipeline() as pipeline, site.connection.pipeline(transaction=False) as reading:
            pipeline.watch(*(key for pair in keys for key in pair))
            for key, dependents_key in keys:
                reading.hmget(key, _FIELDS)
                reading.exists(dependents_key)
            found = reading.execute()
            pipeline.multi()
            for job_id, values, is_awaited in zip(job_ids, found[::2], found[1::2], strict=True):
                fields = {field.encode(): value for field, value in zip(_FIELDS, values, strict=True) if value}
                if is_awaited or as_text(fields.get(b'status', b'')) not in _ENDED[state]:
                    continue
                try:
                    job = restore_sealed(site, job_id, {**fields, b'data': b''})
                except (NoSuchJobError, UnreadableJob):
                    continue
                if job.group_id and not site.connection.exists(Group.get_key(job.group_id)):
                    job.group_id = None
                # It is in no queue, which RQ would search for it.
                job.delete(pipeline=pipeline, remove_from_queue=False)
                registry.remove(job_id, pipeline=pipeline)
                pipeline.delete(output_key(job_id))
                removed += 1
            try:
                pipeline.execute()
            except WatchError:
                return 0
        return removed

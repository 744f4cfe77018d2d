"""A migration while both places are at work: see `step` for how a job moves, and `related` for which move together.

Rounds follow each other until nothing is left in the source that can be moved: each looks at the queues, then at the
registries, then, if nothing was found there, at all jobs. What runs in the source is waited for.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta

from rq.queue import Queue
from rq.utils import now, utcformat

from rq_leveldb.errors import mask_password
from rq_leveldb.migrate.migration import Progress
from rq_leveldb.migrate.outcome import Outcome
from rq_leveldb.migrate.plan import LIVE, Plan, announce, make_live_plan
from rq_leveldb.migrate.record import Marker
from rq_leveldb.migrate.related import YOUNG, Family, families
from rq_leveldb.migrate.scope import RQ
from rq_leveldb.migrate.standing import carry_standing
from rq_leveldb.migrate.step import Seen, Step
from rq_leveldb.migrate.wire import Connected, Refused

__all__ = ['LiveMigration']

_PAGE = 100
# Jobs, and bytes of them, that are on their way at a time; at least one family.
_MOST_JOBS = 100
_MOST_BYTES = 1 << 20
# In the order in which they are looked at.
_REGISTRIES = (b'ready', b'scheduled', b'deferred', b'failed', b'canceled', b'finished')
# Whoever has enqueued a job may enqueue another one next that depends on it.
_SETTLING = timedelta(seconds=3)
# No clock is ahead of ours by more than this; a job that says so is not new.
_AHEAD = timedelta(seconds=60)
# Seconds between two rounds: the second while nothing happens.
_PAUSE = 0.25
_MOST_PAUSE = 2.0
# Why a job stays, as `step` and `related` say it, and what is said of it in the end.
_RUNNING = 'running'
_REASONS = {
    _RUNNING: 'a worker has it, or had it when it died; or one that it waits for, or that waits for it',
    'due': 'it is due, and the scheduler of the source was to enqueue it',
    'unreadable': 'one of its keys is of another type than RQ writes',
    'changed': 'somebody enqueues jobs that depend on it all the time',
    YOUNG: 'it was enqueued a moment ago',
}


class LiveMigration(Connected):
    """Moves jobs from one place to another, while workers and producers are at work in both.

    Args:
        source: URL of the place that has them.
        target: URL of the place that gets them.
        is_worked: says whether a worker of the source may be alive; what is running is waited for as long as one is.
        progress: is told how far it is.

    Raises:
        BadAddress, RefusedPlace, CutConnection: as `wire.Wire`; every method may raise the last two.
    """

    def __init__(
        self,
        source: str,
        target: str,
        *,
        is_worked: Callable[[], bool],
        progress: Progress = lambda what, done, size: None,
    ) -> None:
        self._is_worked = is_worked
        self._progress = progress
        self._outcome = Outcome()
        self._marker = Marker(mask_password(source), LIVE, 'copying')
        super().__init__(source, target)
        self._source, self._target = self._wires
        self._step = Step(self._source, self._target)
        # Why jobs that were looked at in this round are still there.
        self._why: dict[bytes, str] = {}
        self._size = 0

    def plan(self) -> Plan:
        """Look at what is in the way, and change nothing."""
        return make_live_plan(self._source, self._target, self._marker)

    def run(self, plan: Plan) -> Outcome:
        """Do it.

        Args:
            plan: which may begin.

        Returns:
            What has come of it; the same can be run again at any time.
        """
        assert plan.may_begin
        for wire in (self._source, self._target):
            announce(wire)
        self._marker.write(self._target)
        if self._step.is_under_way():
            self._finish_step()
        carry_standing(self._source, self._target)
        pause = _PAUSE
        moved = self._outcome.moved
        while not self._is_over():
            pause = _PAUSE if self._outcome.moved > moved else min(1.5 * pause, _MOST_PAUSE)
            moved = self._outcome.moved
            time.sleep(pause)
            # Which may hang up on those who say nothing for long.
            self._target.call(b'PING')
        carry_standing(self._source, self._target)
        for job_id, why in self._why.items():
            self._outcome.left.add(job_id, _REASONS.get(why, why))
        self._marker.end_live(self._target)
        return self._outcome

    def _is_over(self) -> bool:
        """Move what can be moved; return whether nothing is left that may be moved later."""
        # Before we look at the jobs: whoever works now may end, and leave something behind.
        is_worked = self._is_worked()
        while True:
            moved = self._outcome.moved
            self._why = {}
            self._round()
            if self._outcome.moved == moved:
                self._why = {}
                for ids in self._all_jobs():
                    self._move(ids)
            if self._outcome.moved == moved:
                break
        left = Counter(self._why.values())
        self._report('Waiting for what runs' if left[_RUNNING] else 'Moving')
        if any(left[why] for why in ('due', 'changed', YOUNG)):
            return False
        return not (left[_RUNNING] and is_worked)

    def _report(self, what: str) -> None:
        moved = self._outcome.moved
        self._progress(what, moved, max(1, moved, self._size))

    def _round(self) -> None:
        source = self._source
        queues = sorted(source.call(b'SMEMBERS', Queue.redis_queues_keys))
        names = [queue.removeprefix(_QUEUE) for queue in queues]
        keys = [RQ + registry + b':' + name for registry in _REGISTRIES for name in names]
        keys += (RQ + b'rl:' + limit + b':rate_limited' for limit in source.call(b'SMEMBERS', RQ + b'rl-keys'))
        sizes = [(b'LLEN', queue) for queue in queues] + [(b'ZCARD', key) for key in keys]
        counts = source.ask(sizes) if sizes else []
        self._size = self._outcome.moved + sum(count for count in counts if isinstance(count, int))
        for queue in queues:
            self._walk(queue, is_queue=True)
        for key in keys:
            self._walk(key, is_queue=False)

    def _walk(self, key: bytes, *, is_queue: bool) -> None:
        """Move what can be moved of a queue, or of a registry, from its beginning to its end."""
        start = 0
        while True:
            read = b'LRANGE' if is_queue else b'ZRANGE'
            (ids,) = self._source.ask([(read, key, start, start + _PAGE - 1)])
            if isinstance(ids, Refused) or not ids:
                # A key of another type is nobody's queue.
                return
            times = Counter(ids)
            gone = self._move([Seen(job_id, key, times[job_id]) for job_id in times] if is_queue else ids)
            start += len(ids) - sum(times[job_id] for job_id in gone)

    def _all_jobs(self) -> Iterator[list[bytes]]:
        cursor = b'0'
        prefix = RQ + b'job:'
        while True:
            cursor, names = self._source.call(b'SCAN', cursor, b'MATCH', prefix + b'*', b'COUNT', 500)
            ids = dict.fromkeys(name.removeprefix(prefix) for name in names)
            yield [job_id for job_id in ids if b':' not in job_id]
            if cursor == b'0':
                return

    def _move(self, found: Sequence[Seen | bytes]) -> set[bytes]:
        """Move those that can be moved, with those that have to come along; return their ids.

        Args:
            found: jobs, as they were seen in a queue; of those that were found elsewhere, the ids.
        """
        moment = now()
        recent = utcformat(moment - _SETTLING).encode(), utcformat(moment + _AHEAD).encode()
        gone: set[bytes] = set()
        for batch in self._batches(families(self._source, found, recent)):
            gone |= self._take([family.jobs for family in batch])
        return gone

    def _batches(self, found: Iterable[Family]) -> Iterator[list[Family]]:
        batch: list[Family] = []
        for family in found:
            if family.trouble:
                self._note(family.jobs, family.trouble)
                continue
            jobs = sum(len(one.jobs) for one in batch) + len(family.jobs)
            if batch and (jobs > _MOST_JOBS or sum(one.size for one in batch) + family.size > _MOST_BYTES):
                yield batch
                batch = []
            batch.append(family)
        if batch:
            yield batch

    def _take(self, groups: list[list[Seen]]) -> set[bytes]:
        """Move groups; return the ids of those that were moved."""
        ids = [job.id for group in groups for job in group]
        there = self._target.do([(b'EXISTS', RQ + b'job:' + job_id) for job_id in ids])
        both = {job_id for job_id, is_there in zip(ids, there, strict=True) if is_there}
        free: list[list[Seen]] = []
        for group in groups:
            if any(job.id in both for job in group):
                self._refuse(group, both)
            else:
                free.append(group)
        taken: list[list[Seen]] = []
        for group, why in zip(free, self._step.take(free) if free else (), strict=True):
            if why:
                self._note(group, why)
            else:
                taken.append(group)
        if not taken:
            return set()
        if both := self._finish_step():
            for group in taken:
                self._refuse(group, both)
            return set()
        gone = {job.id for group in taken for job in group}
        self._outcome.moved += len(gone)
        self._report('Moving')
        return gone

    def _finish_step(self) -> set[bytes]:
        """Bring the jobs that are on their way into the target; return the ids of those that it has already."""
        both = set(self._step.put())
        if both:
            self._step.give_back()
        else:
            self._step.drop()
        return both

    def _refuse(self, group: list[Seen], both: set[bytes]) -> None:
        for job in group:
            is_itself = job.id in both
            self._why[job.id] = 'both have a job of this id' if is_itself else 'both have a job that it has to do with'

    def _note(self, group: list[Seen], why: str) -> None:
        # What is gone was deleted, or moved by somebody else.
        if why != 'gone':
            self._why.update((job.id, why) for job in group)


_QUEUE = Queue.redis_queue_namespace_prefix.encode()

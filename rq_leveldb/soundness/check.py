"""All of it in its order: the queues, then every key, then once more whatever looked wrong."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError
from rq.job import Job, JobStatus
from rq.utils import current_timestamp
from rq.worker_registration import REDIS_WORKER_KEYS

from rq_leveldb.lookup import find_workers, is_refused, registry_key, replies
from rq_leveldb.records import BEAT_FIELD
from rq_leveldb.soundness import scripts, suspect
from rq_leveldb.soundness.finding import Finding, Report
from rq_leveldb.soundness.places import (
    DEPENDENCIES,
    DEPENDENTS,
    EXECUTION,
    EXECUTIONS,
    GROUP,
    INTERMEDIATE,
    JOB,
    OUTPUT,
    PREFIX,
    QUEUE,
    QUEUES,
    REGISTRIES,
    RESULTS,
    SETS,
    TYPES,
    WORKER,
    Place,
)
from rq_leveldb.soundness.queued_ids import QueuedIds
from rq_leveldb.soundness.suspect import Suspect, text_of
from rq_leveldb.unreadable import UnreadableJob, restore_job, show_bytes

__all__ = ['Check', 'Progress']

Progress = Callable[[str, int, int], None]
"""Is called with what is being done, how much of it is done, and how much there is."""

_PAGE = 500
# Suspects that a place looks at without doing anything else: each may have to be looked for in a whole queue.
_STEP = 50
# Suspects that are held at a time.
_MOST_HELD = 5000
# Seconds. Jobs and their entries expire at the same time, by two clocks.
_MARGIN = 60
_TIME = rb'(\d{4}-(0[1-9]|1[0-2])-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{6}Z)?'
_INTEGER = rb'(-?\d{1,15})?'
_FLAG = rb'[01]?'
_TEXT = rb'[ -~]*'
_USUALLY_MISSING = b''
# Of a job, with what is surely readable there: without what may be large or what only its serializer can read.
_READ: Mapping[bytes, bytes] = {
    b'status': _TEXT,
    b'origin': _TEXT,
    **dict.fromkeys((b'created_at', b'enqueued_at', b'started_at', b'ended_at', b'last_heartbeat'), _TIME),
    **dict.fromkeys((b'worker_name', b'group_id', b'rate_limit_key'), _TEXT),
    **dict.fromkeys((b'timeout', b'result_ttl', b'failure_ttl', b'ttl'), _INTEGER),
    **dict.fromkeys((b'retries_left', b'number_of_retries', b'repeats_left', b'rate_limit_concurrency'), _INTEGER),
    **dict.fromkeys((b'enqueue_at_front', b'enqueue_at_front_on_retry', b'allow_dependency_failures'), _FLAG),
    **dict.fromkeys((b'retry_intervals', b'repeat_intervals', b'dependency_ids', b'webhooks'), _USUALLY_MISSING),
    **dict.fromkeys((b'success_callback_timeout', b'failure_callback_timeout', b'stopped_callback_timeout'), _INTEGER),
}
_FIELDS = tuple(_READ)
_SHAPES = tuple(map(re.compile, _READ.values()))
# What RQ calls the worker of a job that runs where it is enqueued.
_SYNC = 'sync'
# Seconds that a job without a time-out may run there.
_LONGEST_RUN = 3600
_ENDED = (b'finished', b'failed', b'stopped')
_STARTED = registry_key('started', '')
_FIRST_SEEN = f'{INTERMEDIATE}:first_seen:'.encode()


class Check:
    """Looks at all that RQ keeps in a place.

    Args:
        connection: the place.
        may_live: says whether the worker of a name may be alive.
        fix: whether to repair what can be repaired.
        progress: called as the check proceeds.
        pause: seconds after which what looked wrong is looked at again.
    """

    def __init__(
        self,
        connection: Redis,
        may_live: Callable[[str], bool],
        *,
        fix: bool,
        progress: Progress,
        pause: float = 2.0,
    ) -> None:
        self._connection = connection
        self._may_live = may_live
        self._fix = fix
        self._progress = progress
        self._pause = pause
        self._report = Report()
        self._suspects: list[Suspect] = []
        self._queued = QueuedIds()
        sources = (scripts.JOB, scripts.ENTRY, scripts.ORPHAN, scripts.REMAINS, scripts.WORKER, scripts.LISTED)
        self._scripts = {source: connection.register_script(source) for source in sources}

    def run(self) -> Report:
        """Check everything, in memory that does not grow with the place but for 8 bytes for each job in a queue.

        Raises:
            RedisError: the place went away, or refuses what has to be asked.
        """
        self._read_queues()
        size = int(self._connection.dbsize())
        names = self._connection.scan_iter(match=f'{PREFIX}*', count=_PAGE)
        for page in _pages(names):
            self._look_at_keys(page)
            self._report.keys += len(page)
            self._progress('Reading jobs', min(self._report.keys, size), size)
            self._look_again(_MOST_HELD)
        self._look_again(1)
        return self._report

    # The queues

    def _read_queues(self) -> None:
        names = [name for name in self._connection.scan_iter(match=f'{QUEUE}*', count=_PAGE) if _is_queue(name)]
        pipe = self._connection.pipeline(transaction=False)
        for name in names:
            pipe.llen(name)
        sizes = {
            name: size for name, size in zip(names, replies(pipe) if names else (), strict=True) if not is_refused(size)
        }
        total, done = sum(sizes.values()), 0
        for name in sizes:
            for page in self._ids_in(name):
                self._queued.add(page)
                self._look_at_entries(QUEUES, [(name, job_id) for job_id in page])
                done += len(page)
                self._progress('Reading queues', min(done, total), total)
        twice = self._queued.seal()
        for name in sizes if twice else ():
            for page in self._ids_in(name):
                for job_id in self._queued.are_twice(page, twice):
                    self._suspect(suspect.entry(name, QUEUES, job_id))

    def _ids_in(self, queue: bytes) -> Iterator[list[bytes]]:
        """Yield the ids in a queue from its end: what is taken from its front meanwhile moves none past the reader."""
        end: Any = self._connection.llen(queue)
        while end > 0:
            start = max(0, end - _PAGE)
            page: Any = self._connection.lrange(queue, start, end - 1)
            yield page
            end = start

    # What is in a queue, a registry or a set

    def _look_at_entries(self, place: Place, entries: Sequence[tuple[bytes, bytes]]) -> None:
        """Look at ids, each with the key that it is in."""
        pipe = self._connection.pipeline(transaction=False)
        for _, job_id in entries:
            job_key = JOB.encode() + job_id
            pipe.hget(job_key, 'status')
            pipe.hexists(job_key, 'data')
        found = iter(replies(pipe))
        allowed = {status.value.encode() for status in place.statuses}
        for (key, job_id), status, has_data in zip(entries, found, found, strict=True):
            if is_refused(status):
                continue
            if not has_data or (status is not None and allowed and status not in allowed):
                self._suspect(suspect.entry(key, place, job_id))

    def _look_at_all_entries(self, place: Place, entries: Iterable[tuple[bytes, bytes]]) -> None:
        for page in _pages(entries):
            self._look_at_entries(place, page)
            self._look_again(_MOST_HELD)

    def _look_at_registry(self, key: bytes, place: Place) -> None:
        now = current_timestamp()
        entries: Iterator[tuple[bytes, float]] = self._connection.zscan_iter(key, count=_PAGE)
        # RQ removes what has expired.
        lasting = ((key, job_id) for job_id, score in entries if not (place.expires and 0 <= score <= now + _MARGIN))
        self._look_at_all_entries(place, lasting)

    def _look_at_sets(self, keys: Iterable[bytes]) -> None:
        members = ((key, member) for key in keys for member in self._connection.sscan_iter(key, count=_PAGE))
        self._look_at_all_entries(SETS, members)

    # Keys

    def _look_at_keys(self, names: Sequence[bytes]) -> None:
        jobs = [name for name in names if _is_job(name)]
        if jobs:
            self._look_at_jobs(jobs)
        others = [name for name in names if not _is_job(name)]
        if others:
            self._look_at_others(others)

    def _look_at_jobs(self, keys: Sequence[bytes]) -> None:
        self._report.jobs += len(keys)
        pipe = self._connection.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(key, _FIELDS)
            pipe.hexists(key, 'data')
            pipe.ttl(key)
        found = iter(replies(pipe))
        now = current_timestamp()
        looks: list[Suspect] = []
        for key, values, has_data, ttl in zip(keys, found, found, found, strict=True):
            if is_refused(values):
                self._report.add(_wrong_type(key, 'hash'))
            elif not has_data:
                if any(value is not None for value in values):
                    looks.append(suspect.remains(key))
            elif not self._is_in_order(key, values, ttl):
                fields = {name: value for name, value in zip(_FIELDS, values, strict=True) if value is not None}
                looks.extend(self._look_at_job(key, fields, now))
        self._suspects += self._asked(looks)

    def _is_in_order(self, key: bytes, values: Sequence[bytes | None], ttl: int) -> bool:
        """Say whether a job is in order at first sight: most are, and RQ's own reading of a record takes its time."""
        status, origin = values[:2]
        if not origin or not all(
            value is None or shape.fullmatch(value) for value, shape in zip(values, _SHAPES, strict=True)
        ):
            return False
        if status == b'queued':
            return key.removeprefix(JOB.encode()) in self._queued
        return status in _ENDED and ttl != -1

    def _look_at_job(self, key: bytes, fields: dict[bytes, bytes], now: int) -> Iterator[Suspect]:
        def make() -> Job:
            return Job(job_id, connection=self._connection)

        try:
            job_id = key.removeprefix(JOB.encode()).decode()
            job = restore_job(make, {b'data': b'', **fields})
        except UnreadableJob as error:
            self._unreadable(key, '; '.join(map(str, error.faults)))
            return
        except ValueError as error:
            self._unreadable(key, f'its id is not one that RQ accepts ({error})')
            return
        if not fields.get(b'status'):
            self._unreadable(key, 'it has no status')
            return
        status = job.get_status(refresh=False)
        if status == JobStatus.CREATED:
            return
        if not job.origin or (status == JobStatus.RATE_LIMITED and not job.has_rate_limit):
            self._unreadable(key, f'it names no {"rate limit" if job.origin else "queue"}')
            return
        if status == JobStatus.STARTED and job.worker_name == _SYNC:
            return
        if status != JobStatus.QUEUED:
            yield suspect.job_in_place(job, fields, now)
        elif job_id.encode() not in self._queued and not _may_be_run_here(job, now):
            self._suspect(suspect.job_in_place(job, fields, now))

    def _look_at_others(self, names: Sequence[bytes]) -> None:
        pipe = self._connection.pipeline(transaction=False)
        owners = [_owner_of(name) for name in names]
        for name, owner in zip(names, owners, strict=True):
            pipe.type(name)
            if owner:
                pipe.ttl(name)
                pipe.exists(owner)
        found = iter(replies(pipe))
        sets: list[bytes] = []
        for name, owner in zip(names, owners, strict=True):
            kind = next(found)
            expires, has_owner = (next(found) != -1, next(found)) if owner else (True, 1)
            wanted = _type_of(name)
            if wanted and kind not in (wanted.encode(), b'none'):
                self._report.add(_wrong_type(name, wanted))
            elif owner and not expires and not has_owner:
                self._suspect(suspect.orphan(name, owner))
            elif kind == (wanted or '').encode():
                self._look_at_names(name)
                if name.startswith(GROUP.encode()) or name.endswith(DEPENDENTS.encode()):
                    sets.append(name)
        self._look_at_sets(sets)

    def _look_at_names(self, name: bytes) -> None:
        if _is_queue(name):
            self._suspects += self._asked([suspect.unlisted_queue(name, name)])
        elif name.startswith(GROUP.encode()):
            self._suspects += self._asked([suspect.unlisted_group(name)])
        elif name == REDIS_WORKER_KEYS.encode():
            members: Any = self._connection.smembers(name)
            self._suspects += self._asked([suspect.registered_worker(member) for member in members])
        elif name.startswith(_STARTED.encode()):
            queue = QUEUE.encode() + name.removeprefix(_STARTED.encode())
            self._suspects += self._asked([suspect.unlisted_queue(name, queue)])
        for place in REGISTRIES:
            if name.startswith(place.prefix.encode()):
                queue = QUEUE.encode() + name.removeprefix(place.prefix.encode())
                if not place.expires and JobStatus.CANCELED not in place.statuses:
                    self._suspects += self._asked([suspect.unlisted_queue(name, queue)])
                self._look_at_registry(name, place)

    def _unreadable(self, key: bytes, reason: str) -> None:
        remedy = 'a worker that meets it fails it with this reason; rq-leveldb job shows what can be read'
        self._report.add(Finding('unreadable', text_of(key), reason, remedy, fixable=False))

    # What looked wrong

    def _suspect(self, one: Suspect) -> None:
        self._suspects.append(one)
        self._look_again(2 * _MOST_HELD)

    def _asked(self, suspects: Sequence[Suspect]) -> list[Suspect]:
        return [one for one, word in zip(suspects, self._ask(suspects, 'look'), strict=True) if word]

    def _ask(self, suspects: Sequence[Suspect], mode: str) -> list[str]:
        """Return what the scripts say; nothing where a key holds another type, which is another finding."""
        if not suspects:
            return []
        pipe = self._connection.pipeline(transaction=False)
        for one in suspects:
            self._scripts[one.script](keys=one.keys, args=(mode, *one.arguments), client=pipe)
        words = pipe.execute(raise_on_error=False)
        for word in words:
            if isinstance(word, Exception) and not (isinstance(word, ResponseError) and 'WRONGTYPE' in str(word)):
                raise word
        return ['' if isinstance(word, Exception) else word.decode() for word in words]

    def _look_again(self, many: int) -> None:
        """Look again at what looked wrong a moment ago, if there are so many of them."""
        if len(self._suspects) < many:
            return
        suspects, self._suspects = self._suspects, []
        time.sleep(max(0.0, suspects[-1].seen + self._pause - time.monotonic()))
        suspects = self._as_queues_are(suspects)
        for begin in range(0, len(suspects), _STEP):
            self._settle(suspects[begin : begin + _STEP])
            self._progress('Looking again', min(begin + _STEP, len(suspects)), len(suspects))

    def _as_queues_are(self, suspects: list[Suspect]) -> list[Suspect]:
        """Return the suspects without those about an id that is, or is not, in its queue by now.

        This reads each queue once. Redis would read it once for each id.
        """
        wanted: dict[bytes, set[bytes]] = {}
        for one in suspects:
            if one.queue:
                wanted.setdefault(one.queue, set()).add(one.job_id)
        present: dict[bytes, set[bytes]] = {queue: set() for queue in wanted}
        for queue, ids in wanted.items():
            # Of another type, it holds nothing.
            with contextlib.suppress(ResponseError):
                for page in self._ids_in(queue):
                    present[queue].update(ids.intersection(page))
        return [one for one in suspects if not one.queue or (one.job_id in present[one.queue]) != one.is_missing]

    def _settle(self, suspects: list[Suspect]) -> None:
        words = self._ask(suspects, 'look')
        guilty = [(one, one.describe(word)) for one, word in zip(suspects, words, strict=True) if word]
        guilty = self._without_held(guilty)
        mended = iter(self._ask([one for one, finding in guilty if self._fix and finding.fixable], 'fix'))
        for one, finding in guilty:
            if not self._fix or not finding.fixable:
                self._report.add(finding)
            elif word := next(mended):
                self._report.add(replace(one.describe(word), fixed=True))

    def _without_held(self, guilty: list[tuple[Suspect, Finding]]) -> list[tuple[Suspect, Finding]]:
        """Return findings, of which those are not to be repaired whose job a worker may have in hand."""
        found = []
        # Whoever has taken one of these jobs had registered before, and is asked for after it was missed.
        of_rq = self._workers_of_rq() if any(one.is_missing for one, _ in guilty) else []
        lives: dict[str, bool] = {}
        for one, finding in guilty:
            if one.is_missing and of_rq:
                remedy = f"worker {of_rq[0]}, one of RQ's own, may just have taken it: stop it, and repair then"
                finding = replace(finding, remedy=remedy, fixable=False)
            elif one.holder and finding.kind in ('abandoned', 'gone'):
                if one.holder not in lives:
                    lives[one.holder] = self._may_live(one.holder)
                if lives[one.holder]:
                    remedy = f'worker {one.holder} may be alive: stop it, and repair then'
                    finding = replace(finding, remedy=remedy, fixable=False)
            found.append((one, finding))
        return found

    def _workers_of_rq(self) -> list[str]:
        """Return the registered workers that are RQ's own: they pop a job from a queue before they write that down."""
        names = find_workers(self._connection).names
        pipe = self._connection.pipeline(transaction=False)
        for name in names:
            pipe.exists(WORKER + name)
            pipe.hexists(WORKER + name, BEAT_FIELD)
        found = iter(replies(pipe) if names else ())
        return [name for name, exists, beats in zip(names, found, found, strict=True) if exists and not beats]


def _may_be_run_here(job: Job, now: int) -> bool:
    """Say whether the process that has enqueued a job may be running it, without a queue: RQ calls it queued then."""
    since = job.enqueued_at or job.created_at
    timeout = job.timeout if isinstance(job.timeout, int) and job.timeout > 0 else _LONGEST_RUN
    return now - since.timestamp() < timeout + _MARGIN


def _pages(items: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while page := list(islice(rest, _PAGE)):
        yield page


def _is_job(name: bytes) -> bool:
    return name.startswith(JOB.encode()) and not name.endswith((DEPENDENTS.encode(), DEPENDENCIES.encode()))


def _is_queue(name: bytes) -> bool:
    return name.startswith(QUEUE.encode()) and not name.endswith(INTERMEDIATE.encode()) and _FIRST_SEEN not in name


def _owner_of(name: bytes) -> bytes:
    """Return the key of the job that a key belongs to; b'' for a key that belongs to none."""
    if name.startswith(JOB.encode()):
        suffix = DEPENDENTS if name.endswith(DEPENDENTS.encode()) else DEPENDENCIES
        # RQ writes one colon more before the id in the names of the latter.
        job_id = name.removeprefix(JOB.encode()).removesuffix(suffix.encode()).removeprefix(b':')
        return JOB.encode() + job_id
    for prefix in (RESULTS.encode(), OUTPUT.encode(), EXECUTIONS.encode()):
        if name.startswith(prefix):
            return JOB.encode() + name.removeprefix(prefix)
    if name.startswith(EXECUTION.encode()):
        return JOB.encode() + name.removeprefix(EXECUTION.encode()).rpartition(b':')[0]
    return b''


def _type_of(name: bytes) -> str:
    """Return the type that a key should have; '' where that is not known."""
    if name.startswith(JOB.encode()):
        return 'set'
    if _FIRST_SEEN in name:
        return 'string'
    if name.startswith(WORKER.encode()):
        return 'set' if name.endswith(b':executions') else 'hash'
    if name in _WHOLE:
        return _WHOLE[name]
    return next((kind for prefix, kind in _PREFIXES.items() if name.startswith(prefix)), '')


_WHOLE = {name.encode(): kind for name, kind in TYPES.items() if not name.endswith(':')}
_PREFIXES = {name.encode(): kind for name, kind in TYPES.items() if name.endswith(':')}


def _wrong_type(name: bytes, wanted: str) -> Finding:
    remedy = f'move it out of the way (redis-cli RENAME {show_bytes(name)} OTHER-NAME), and check again'
    words = 'sorted set' if wanted == 'zset' else wanted
    return Finding('type', text_of(name), f'holds another type of value than a {words}', remedy, fixable=False)

"""Which jobs of the source have to come along together: those that wait for each other, as far as they still do.

RQ looks for the dependents of a job when it ends, and at the states of their other dependencies: all of them have to be
in one place then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rq.queue import Queue

from rq_leveldb.migrate.arriving import keys_of
from rq_leveldb.migrate.step import Seen
from rq_leveldb.migrate.wire import Refused, Wire

__all__ = ['YOUNG', 'Family', 'families']

YOUNG = 'young'
"""The trouble of a family of which a job was created a moment ago."""

_MOST = 10_000
_ASKED = 100


class _Known(NamedTuple):
    """What is known of a job in the source.

    Args:
        status: as RQ has it; b'' if there is none.
        origin: name of its queue.
        created: when, as RQ writes it; b'' if that is not known.
        size: what it takes in the memory of its server, about.
        dependents: ids of jobs that wait for it.
        dependencies: ids of jobs that it waited for in the beginning.
        trouble: why it cannot be carried over; '' if nothing is known of that.
    """

    status: bytes
    origin: bytes
    created: bytes
    size: int
    dependents: frozenset[bytes]
    dependencies: frozenset[bytes]
    trouble: str = ''


class Family(NamedTuple):
    """Jobs that have to come along together.

    Args:
        jobs: them.
        size: what they take in the memory of their server, about.
        trouble: why they cannot be carried over; '' if nothing is known of that.
    """

    jobs: list[Seen]
    size: int
    trouble: str


def _read(wire: Wire, ids: Iterable[bytes]) -> dict[bytes, _Known]:
    """Read what there is to know of jobs; those that are not there are left out."""
    found: dict[bytes, _Known] = {}
    every = list(ids)
    for start in range(0, len(every), _ASKED):
        some = every[start : start + _ASKED]
        replies = iter(wire.ask([command for job_id in some for command in _questions(job_id)]))
        for job_id in some:
            answers = [next(replies) for _ in range(_QUESTIONS)]
            wrong = next((str(answer) for answer in answers if isinstance(answer, Refused)), '')
            if wrong:
                found[job_id] = _Known(
                    b'', b'', b'', 0, frozenset(), frozenset(), f'its record cannot be read: {wrong}'
                )
                continue
            is_job, (status, origin, created), dependents, dependencies, _, *sizes = answers
            if is_job:
                size = sum(one or 0 for one in sizes)
                some_ids = frozenset(dependents), frozenset(dependencies)
                found[job_id] = _Known(status or b'', origin or b'', created or b'', size, *some_ids)
    return found


_QUESTIONS = 7


def _questions(job_id: bytes) -> list[tuple[bytes, ...]]:
    job, dependents, dependencies, results, _ = keys_of(job_id)
    return [
        (b'HEXISTS', job, b'data'),
        (b'HMGET', job, b'status', b'origin', b'created_at'),
        (b'SMEMBERS', dependents),
        (b'SMEMBERS', dependencies),
        (b'XLEN', results),
        (b'MEMORY', b'USAGE', job),
        (b'MEMORY', b'USAGE', results),
    ]


def families(wire: Wire, found: Iterable[Seen | bytes], recent: tuple[bytes, bytes]) -> list[Family]:
    """Find out what has to come along with jobs; those that are not there are left out.

    Args:
        wire: the source.
        found: the jobs, no id twice, as they were seen in a queue; of those that were found elsewhere, the ids.
        recent: two moments as RQ writes them. What was created between them is left alone: somebody may be about to
            enqueue more that depends on it.

    Returns:
        In the order of the jobs; no job is in two of them.
    """
    places = {job.id if isinstance(job, Seen) else job: job for job in found}
    known = _read(wire, places)
    asked = set(places)
    while True:
        # All that is found in one round is read in one.
        further = {other for job_id in known for other in _others(known[job_id])} - asked
        if not further or len(asked) > _MOST + len(places):
            break
        asked |= further
        known.update(_read(wire, sorted(further)))
    every: list[Family] = []
    done: set[bytes] = set()
    for job_id in places:
        if job_id in known and job_id not in done:
            members = _connected(job_id, known)
            done.update(members)
            family = _family(members, known, places, recent)
            is_whole = len(members) <= _MOST and not any(_others(known[member]) & further for member in members)
            every.append(
                family if is_whole else family._replace(trouble=f'more than {_MOST:,} jobs wait for each other')
            )
    return every


def _others(job: _Known) -> frozenset[bytes]:
    return job.dependents | job.dependencies if job.status == b'deferred' else job.dependents


def _connected(job_id: bytes, known: dict[bytes, _Known]) -> list[bytes]:
    members = {job_id: None}
    new = [job_id]
    while new and len(members) <= _MOST:
        job = known[new.pop(0)]
        for other in sorted(_others(job)):
            if other in members or other not in known:
                continue
            # A dependent that does not wait any more has nothing to do with it.
            if other in job.dependents and known[other].status != b'deferred':
                continue
            members[other] = None
            new.append(other)
    return list(members)


def _family(
    members: list[bytes], known: dict[bytes, _Known], places: dict[bytes, Seen | bytes], recent: tuple[bytes, bytes]
) -> Family:
    jobs: list[Seen] = []
    trouble = ''
    for job_id in members:
        job = known[job_id]
        queue = Queue.redis_queue_namespace_prefix.encode() + job.origin
        place = places.get(job_id)
        jobs.append(place if isinstance(place, Seen) else Seen(job_id, queue, int(job.status == b'queued')))
        if not trouble:
            trouble = job.trouble or (YOUNG if recent[0] < job.created < recent[1] else '')
    return Family(jobs, sum(known[job_id].size for job_id in members), trouble)

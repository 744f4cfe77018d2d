"""Something that looks wrong, and is looked at again by a script."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from rq import Queue
from rq.defaults import DEFAULT_FAILURE_TTL, DEFAULT_RESULT_TTL
from rq.group import Group
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.worker_registration import REDIS_WORKER_KEYS

from rq_leveldb.lookup import registry_key
from rq_leveldb.records import CLAIMS_KEY_TEMPLATE
from rq_leveldb.soundness import scripts
from rq_leveldb.soundness.finding import Finding
from rq_leveldb.soundness.places import (
    EXECUTION,
    EXECUTIONS,
    GROUP,
    INTERMEDIATE,
    JOB,
    PREFIX,
    QUEUE,
    QUEUES,
    WORKER,
    Place,
    home_of,
)
from rq_leveldb.unreadable import show_bytes

__all__ = [
    'Suspect',
    'entry',
    'job_in_place',
    'orphan',
    'registered_worker',
    'remains',
    'text_of',
    'unlisted_group',
    'unlisted_queue',
]


_STATUSES = f',{",".join(JobStatus)},'


@dataclass(frozen=True)
class Suspect:
    """Something that looks wrong.

    Args:
        script: which of `scripts` looks at it.
        keys: its KEYS.
        arguments: its ARGV but for the first.
        describe: makes a finding of what the script says.
        seen: when it was first seen, as `time.monotonic`.
        queue: the queue in which the id is or is missing; b'' if it is about no queue.
        job_id: the id, if it is about a queue.
        is_missing: whether the id is missing there, and should not.
        holder: the worker that may still run the job, '' if none is known.
    """

    script: str
    keys: tuple[bytes, ...]
    arguments: tuple[bytes | str | float, ...]
    describe: Callable[[str], Finding]
    seen: float = field(default_factory=time.monotonic)
    queue: bytes = b''
    job_id: bytes = b''
    is_missing: bool = False
    holder: str = ''


def text_of(name: bytes) -> str:
    """Return a name as text; bytes that are not UTF-8 show as escapes."""
    return name.decode('utf-8', 'backslashreplace')


def job_in_place(job: Job, fields: Mapping[bytes, bytes], now: int) -> Suspect:
    """Return what says whether a job is where its status says.

    Args:
        job: as far as its short fields tell, with a status other than `created`, and a queue.
        fields: these fields as they are stored.
        now: seconds since the epoch.
    """
    status, origin, job_id = job.get_status(refresh=False).value, job.origin, job.id
    limit = (job.rate_limit_key or '') if job.has_rate_limit else ''
    if status == JobStatus.FINISHED:
        # With 0 RQ would have deleted it.
        ttl = job.result_ttl or DEFAULT_RESULT_TTL
        score: float | str = '+inf' if ttl < 0 else now + ttl
    else:
        ttl = job.failure_ttl or DEFAULT_FAILURE_TTL
        # As FailedJobRegistry.add.
        score = ttl if ttl < 0 else now + ttl
    key = f'{JOB}{job_id}'
    queue = f'{QUEUE}{origin}'
    limits = f'{PREFIX}rl:{limit}'
    keys = (
        key,
        home_of(status, origin, limit),
        queue,
        f'{queue}{INTERMEDIATE}',
        f'{EXECUTIONS}{job_id}',
        registry_key('started', origin),
        registry_key('ready_to_enqueue', origin),
        job.dependencies_key,
        Queue.redis_queues_keys,
        f'{limits}:allowed',
        f'{limits}:rate_limited',
        RateLimitRegistry.rl_keys_key,
        limits,
    )
    worker = text_of(fields.get(b'worker_name', b''))
    arguments = (
        job_id,
        status,
        origin,
        now,
        JOB,
        EXECUTION,
        score,
        ttl if ttl > 0 else '',
        uuid4().hex,
        worker,
        limit,
        job.rate_limit_concurrency or 1,
        int(bool(job.allow_dependency_failures)),
        *job._dependency_ids,
    )
    problems = {
        'nowhere': f'is {status.replace("_", " ")}, but in no queue or registry',
        'waits': 'is marked as started, but is in its queue',
        'unregistered': 'runs, but is not in the registry of started jobs',
        'abandoned': 'is marked as started, but nothing is known about its execution',
        'met': 'is deferred, but what it waits for has ended or is gone',
        'forgotten': 'is deferred, but what it waits for does not know it',
        'kept': f'is {status}, in no registry and without an expiry: it is kept forever',
    }
    remedies = {
        'nowhere': _put_back(job),
        'waits': 'it is marked as queued',
        'unregistered': 'it is put back there; its worker, or the next one, looks after it',
        'abandoned': 'it is left to the next worker as abandoned, which retries or fails it',
        'met': f'it is made ready for queue {origin}; a worker enqueues it',
        'forgotten': 'it is listed there again',
        'kept': f'it is put into the registry of {"finished" if status == "finished" else "failed"} jobs'
        + (f' and expires in {ttl} s' if ttl > 0 else ''),
    }

    def describe(word: str) -> Finding:
        return Finding(word, key, problems[word], remedies[word])

    return Suspect(
        scripts.JOB,
        tuple(name.encode() for name in keys),
        arguments,
        describe,
        queue=queue.encode() if status == JobStatus.QUEUED else b'',
        job_id=job_id.encode(),
        is_missing=status == JobStatus.QUEUED,
        holder=worker if status == JobStatus.STARTED else '',
    )


def _put_back(job: Job) -> str:
    status = job.get_status(refresh=False)
    if status == JobStatus.QUEUED:
        limited = ', or waits for its rate limit' if job.has_rate_limit else ''
        return f'it is put at the {"front" if job.enqueue_at_front else "end"} of queue {job.origin}{limited}'
    if status == JobStatus.SCHEDULED:
        return 'it is scheduled for now: when it was due is not known any more'
    return 'it is put back where its status says'


def entry(key: bytes, place: Place, job_id: bytes) -> Suspect:
    """Return what says whether an id is right in a queue, a registry or a set.

    Args:
        key: of the queue, registry or set.
        place: what it is.
        job_id: the id.
    """
    name, shown = text_of(key), text_of(job_id)
    queue = name.removeprefix(place.prefix)
    where = f'queue {queue}' if place is QUEUES else place.words

    def describe(word: str) -> Finding:
        if word == 'jobless':
            return Finding(
                word, name, f'{shown} is in {where}, but there is no such job', 'it is removed', harmless=True
            )
        if word == 'twice':
            problem = f'{shown} is in {where} more than once'
            return Finding(word, name, problem, 'the first of them is left, and runs with what was enqueued last')
        kind, _, status = word.partition(' ')
        problem = f'job {shown} is in {where}, but it is {status.replace("_", " ")}'
        if kind == 'ended':
            remedy = f'it is marked as {place.gives}, and does not expire before it has run'
            return Finding(kind, name, problem, remedy)
        if kind == 'again':
            remedy = 'it runs once more than its status says; cancel it if it should not'
            return Finding(kind, name, problem, remedy, fixable=False, harmless=True)
        return Finding(kind, name, problem, 'it is removed from there', harmless=not place.gives)

    allowed = f',{",".join(place.statuses)},' if place.statuses else ''
    failed = registry_key('failed', queue)
    return Suspect(
        scripts.ENTRY,
        (JOB.encode() + job_id, key, EXECUTIONS.encode() + job_id, failed.encode()),
        (job_id, place.kind, allowed, place.gives, _STATUSES),
        describe,
        queue=key if place is QUEUES else b'',
        job_id=job_id,
    )


def orphan(key: bytes, owner: bytes) -> Suspect:
    """Return what says whether a key belongs to no job and does not expire.

    Args:
        key: the key.
        owner: the job's key.
    """
    problem = f'belongs to job {text_of(owner).removeprefix(JOB)}, which is gone, and does not expire'
    return Suspect(scripts.ORPHAN, (key, owner), (), _harmless(text_of(key), problem, 'it is deleted'))


def remains(key: bytes) -> Suspect:
    """Return what says whether a job's record is what a worker wrote to a job that had been deleted.

    Args:
        key: of the job.
    """
    problem = 'has no data and does not expire: it was deleted while it ran'
    keys = (key, EXECUTIONS.encode() + key.removeprefix(JOB.encode()))
    return Suspect(scripts.REMAINS, keys, (), _harmless(text_of(key), problem, 'it is deleted'))


def registered_worker(member: bytes) -> Suspect:
    """Return what says whether a registered worker has left nothing else.

    Args:
        member: its key, as it stands among all workers.
    """
    name = text_of(member.removeprefix(WORKER.encode()))
    problem = f'names {text_of(member)}, of which nothing else is left'
    claims, executions = CLAIMS_KEY_TEMPLATE.format(name), f'{WORKER}{name}:executions'
    keys = (REDIS_WORKER_KEYS.encode(), member, claims.encode(), executions.encode())
    describe = _harmless(REDIS_WORKER_KEYS, problem, 'it is removed')
    return Suspect(scripts.WORKER, keys, (member,), describe, holder=name)


def unlisted_queue(key: bytes, queue: bytes) -> Suspect:
    """Return what says whether a queue that has jobs is missing among all queues.

    Args:
        key: the queue's or one of its registries'.
        queue: the queue's.
    """

    def describe(word: str) -> Finding:
        problem = (
            f'has jobs, but queue {show_bytes(queue.removeprefix(QUEUE.encode()))} is not in {Queue.redis_queues_keys}'
        )
        return Finding(word, text_of(key), problem, 'the queue is listed there')

    return Suspect(scripts.LISTED, (Queue.redis_queues_keys.encode(), key), (queue,), describe)


def unlisted_group(key: bytes) -> Suspect:
    """Return what says whether a group is missing among all groups.

    Args:
        key: the group's.
    """
    problem = f'is a group, but not in {Group.REDIS_GROUP_KEY}: nothing removes it when its jobs are gone'
    describe = _harmless(text_of(key), problem, 'it is listed there')
    return Suspect(scripts.LISTED, (Group.REDIS_GROUP_KEY.encode(), key), (key.removeprefix(GROUP.encode()),), describe)


def _harmless(key: str, problem: str, remedy: str) -> Callable[[str], Finding]:
    return lambda word: Finding(word, key, problem, remedy, harmless=True)

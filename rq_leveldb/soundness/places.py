"""Where a job of a status has to be, and which names are RQ's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.executions import ExecutionRegistry
from rq.group import Group
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.results import Result
from rq.worker_registration import REDIS_WORKER_KEYS

from rq_leveldb.lookup import registry_key
from rq_leveldb.records import WORKER_KEY_TEMPLATE, output_key

__all__ = [
    'DEPENDENCIES',
    'DEPENDENTS',
    'EXECUTION',
    'EXECUTIONS',
    'GROUP',
    'INTERMEDIATE',
    'JOB',
    'OUTPUT',
    'PREFIX',
    'QUEUE',
    'QUEUES',
    'REGISTRIES',
    'RESULTS',
    'SETS',
    'TYPES',
    'WORKER',
    'Place',
    'home_of',
]

PREFIX = f'{RQ_KEY_PREFIX}:'
JOB = Job.redis_job_namespace_prefix
QUEUE = Queue.redis_queue_namespace_prefix
INTERMEDIATE = IntermediateQueue.get_intermediate_queue_key('')
RESULTS = Result.get_key('')
OUTPUT = output_key('')
EXECUTION = f'{PREFIX}execution:'
EXECUTIONS = ExecutionRegistry.key_template.format('')
GROUP = Group.REDIS_GROUP_NAME_PREFIX
WORKER = WORKER_KEY_TEMPLATE.format('')
DEPENDENTS = ':dependents'
DEPENDENCIES = ':dependencies'


class Place(NamedTuple):
    """A queue, a registry or a set of RQ.

    Args:
        words: what it is called.
        prefix: what the names of its keys begin with.
        statuses: that a job in it may have; none where the registry may hold any.
        expires: whether its scores are times at which entries end.
        gives: the status that a job gets there, if a job is run because of its entry; '' if it is not.
        kind: the type of its keys.
    """

    words: str
    prefix: str
    statuses: tuple[JobStatus, ...]
    expires: bool = False
    gives: str = ''
    kind: str = 'zset'


def _registry(words: str, state: str, *statuses: JobStatus, expires: bool = False, gives: str = '') -> Place:
    return Place(f'the registry of {words}', registry_key(state, ''), statuses, expires, gives)


QUEUES = Place(
    'queue',
    QUEUE,
    # A job that was saved but never enqueued may be pushed by hand.
    (JobStatus.QUEUED, JobStatus.CREATED),
    gives=JobStatus.QUEUED.value,
    kind='list',
)
REGISTRIES = (
    _registry('scheduled jobs', 'scheduled', JobStatus.SCHEDULED, JobStatus.CREATED, gives=JobStatus.SCHEDULED.value),
    _registry('deferred jobs', 'deferred', JobStatus.DEFERRED),
    _registry('jobs that are ready', 'ready_to_enqueue', JobStatus.READY_TO_ENQUEUE),
    # A job that repeats stays here while it waits and runs again.
    _registry('finished jobs', 'finished', expires=True),
    _registry('failed jobs', 'failed', JobStatus.FAILED, JobStatus.STOPPED, expires=True),
    _registry('canceled jobs', 'canceled', JobStatus.CANCELED),
)
"""Without that of started jobs: a worker and RQ's maintenance look after it."""
SETS = Place('this set', '', (), kind='set')
"""The jobs of a group, and those that wait for a job: RQ passes over ids without a job."""

TYPES: Mapping[str, str] = {
    **{place.prefix: 'zset' for place in REGISTRIES},
    registry_key('started', ''): 'zset',
    EXECUTIONS: 'zset',
    EXECUTION: 'hash',
    RESULTS: 'stream',
    OUTPUT: 'string',
    QUEUE: 'list',
    GROUP: 'set',
    f'{PREFIX}workers:': 'set',
    REDIS_WORKER_KEYS: 'set',
    Queue.redis_queues_keys: 'set',
    Group.REDIS_GROUP_KEY: 'set',
    RateLimitRegistry.rl_keys_key: 'set',
}
"""What keys hold whose names begin so; names that do not end with a colon are whole."""


def home_of(status: str, origin: str, limit: str) -> str:
    """Return the key that a job of a status has to be in.

    Args:
        status: its status, not `created`.
        origin: its queue's name.
        limit: key of its rate limit; '' if it has none.
    """
    if status == JobStatus.RATE_LIMITED:
        return f'{PREFIX}rl:{limit}:rate_limited'
    # RQ keeps stopped jobs among the failed ones.
    return registry_key('failed' if status == JobStatus.STOPPED else status, origin)

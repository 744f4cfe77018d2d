"""Keys and fields beyond RQ's own that worker, HTTP front and command line share; docs/worker.rst lists them."""

from __future__ import annotations

from rq.defaults import FORMAT_KEY_PREFIX, RQ_KEY_PREFIX

__all__ = [
    'BEAT_FIELD',
    'CHILDREN_COMMAND',
    'CLAIMS_KEY_TEMPLATE',
    'CRASHES_FIELD',
    'CRON_FIELD',
    'DUE_KEY_TEMPLATE',
    'ENDED_KEY',
    'HISTORY_HOURS_KEPT',
    'HISTORY_HOURS_TTL',
    'HISTORY_KEY_TEMPLATE',
    'HISTORY_LONGEST_NAME',
    'HISTORY_MINUTES_KEPT',
    'HISTORY_MINUTES_TTL',
    'LOCK_FIELD',
    'LOOK_COMMAND',
    'MAX_CHILDREN_FIELD',
    'PAUSED_KEY',
    'PID_STARTED_FIELD',
    'RECOVERY_KEY_TEMPLATE',
    'TALLY_BOUNDS',
    'TALLY_KEY',
    'UNREADABLE_KEY',
    'USAGE_FIELD',
    'VERSION_FIELD',
    'WORKER_KEY_TEMPLATE',
    'output_key',
]

UNREADABLE_KEY = 'rq-leveldb:unreadable'
"""Hash of what could be neither read nor failed: key in the store to JSON, see `unreadable.list_aside`."""

USAGE_FIELD = 'usage'
"""Of a job: what its last executions used, a list as JSON."""

CRASHES_FIELD = 'crashes'
"""Of a job: how it took its process down, the last times in a row, a list as JSON."""

PID_STARTED_FIELD = 'pid_started'
"""Of an execution, beside `pid`: when the process that runs it was started, as `process.Identity` has it."""

WORKER_KEY_TEMPLATE = FORMAT_KEY_PREFIX + ':worker:{0}'
"""RQ's hash about the worker of a name."""

BEAT_FIELD = 'beat'
"""Of a worker: another value at every heartbeat."""

LOCK_FIELD = 'locked'
"""Of a worker: set if it holds the lock on its name."""

MAX_CHILDREN_FIELD = 'max_children'
"""Of a worker: how many jobs it runs at once at most."""

CRON_FIELD = 'cron'
"""Of a worker: the file of its cron definitions."""

VERSION_FIELD = 'rq_leveldb_version'
"""Of a worker: the version of this package that it runs with."""

CHILDREN_COMMAND = 'children'
"""On a worker's channel: changes `MAX_CHILDREN_FIELD` to the command's `children`."""

LOOK_COMMAND = 'look'
"""On a worker's channel: there may be work in its queues that it has not heard of."""

PAUSED_KEY = f'{RQ_KEY_PREFIX}:paused-queues'
"""Set of the keys of the queues from which workers take nothing, as RQ's own set of all queues has them."""

CLAIMS_KEY_TEMPLATE = FORMAT_KEY_PREFIX + ':worker:{0}:claims'
"""Hash of the jobs that the worker of a name has taken into an intermediate queue: job id to the queue's key."""

RECOVERY_KEY_TEMPLATE = FORMAT_KEY_PREFIX + ':recovery:{0}'
"""String: who recovers the jobs of the dead worker of a name, for a moment."""

DUE_KEY_TEMPLATE = FORMAT_KEY_PREFIX + ':cron-due:{0}'
"""String: when an entry of cron is due, and when it ran last, as JSON; see `cron_due.Due`."""

TALLY_KEY = 'rq-leveldb:tally'
"""Hash of how many jobs there were, for all workers; `worker.tally` says what stands in it."""

TALLY_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, float('inf'))
"""Upper ends of the tally's buckets, seconds."""

ENDED_KEY = 'rq-leveldb:ended'
"""List of the jobs that have ended and are not in the history yet; `worker.history` says what stands in it."""

HISTORY_KEY_TEMPLATE = 'rq-leveldb:history:{0}:{1}'
"""Hashes of what ended when, or waited: of what kind, and of which day or hour since the epoch; the worker's `history`
and `depths` say which."""

HISTORY_MINUTES_KEPT = 86400
"""For how long the history has minutes, seconds."""

HISTORY_HOURS_KEPT = 30 * 86400
"""For how long it has hours, seconds."""

HISTORY_MINUTES_TTL = HISTORY_MINUTES_KEPT + 3600
"""Time to live of a key of minutes, seconds: it is written to for an hour."""

HISTORY_HOURS_TTL = HISTORY_HOURS_KEPT + 86400
"""Time to live of a key of hours, seconds: it is written to for a day."""

HISTORY_LONGEST_NAME = 200
"""Bytes of the longest name of a queue or function that the history has."""


def output_key(job_id: str) -> str:
    """Return the key under which it stands what a job printed, a string."""
    return f'{RQ_KEY_PREFIX}:output:{job_id}'

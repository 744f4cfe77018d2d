"""Why a job does not run yet, in sentences."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rq.suspension import is_suspended

from rq_leveldb.cli import render
from rq_leveldb.cli.workers_seen import WorkerSeen, see_workers, serving
from rq_leveldb.jobs.parts import Parts
from rq_leveldb.lookup import Seen, find_paused

__all__ = ['why_waiting']

# Seconds; workers look for scheduled jobs about once a second.
_LATE = 60.0


def why_waiting(connection: Any, seen: Seen, parts: Parts, dependencies: Mapping[str, str | None]) -> list[str]:
    """Return why a job does not run; nothing for one that runs or has ended.

    Args:
        connection: the store.
        seen: the job.
        parts: what belongs to it.
        dependencies: the jobs that it depends on, with their status; None where one is gone.
    """
    if seen.status == 'deferred':
        return _deferred(seen, dependencies)
    if seen.status == 'rate_limited':
        job = seen.job
        return [f'as many jobs run as its rate limit {job.rate_limit_key!r} allows ({job.rate_limit_concurrency})']
    if seen.status not in ('queued', 'scheduled', 'started'):
        return []
    workers = see_workers(connection)
    if seen.status == 'started':
        return _started(seen, workers)
    reasons = ['all workers are suspended; rq-leveldb resume lets them go on'] if is_suspended(connection) else []
    queue = seen.job.origin
    if queue in find_paused(connection).names:
        reasons.append(f'the queue {queue} is paused; rq-leveldb unpause {queue} lets workers go on with it')
    reasons += _scheduled(parts, workers) if seen.status == 'scheduled' else _queued(seen, parts, workers)
    return reasons


def _queued(seen: Seen, parts: Parts, workers: list[WorkerSeen]) -> list[str]:
    queue = seen.job.origin
    servers = serving(workers, queue)
    reasons = []
    if not servers:
        reasons.append(f'no worker serves the queue {queue}; start one: rq-leveldb worker {queue}')
    if parts.position is None:
        reasons.append('it is in no queue: a worker is about to start it, or it was lost; see rq-leveldb doctor')
    elif parts.position:
        reasons.append(f'behind {parts.position} other job{"s" if parts.position > 1 else ""} in the queue {queue}')
    elif servers and all(worker.busy >= worker.limit for worker in servers):
        busy = sum(worker.busy for worker in servers)
        reasons.append(f'it is next, but the workers of the queue {queue} run as many jobs as they may ({busy})')
    elif servers:
        reasons.append(f'it is next in the queue {queue}')
    return reasons


def _deferred(seen: Seen, dependencies: Mapping[str, str | None]) -> list[str]:
    job = seen.job
    reasons = []
    for job_id, status in dependencies.items():
        if status in ('stopped', 'canceled') or (status == 'failed' and not job.allow_dependency_failures):
            reasons.append(f'it depends on job {job_id}, which was {status}; rq-leveldb retry {job_id} runs that again')
        elif status == 'failed' or status in ('finished', None):
            continue
        else:
            reasons.append(f'it depends on job {job_id}, which is {status}')
    return [reason.replace('was failed', 'failed') for reason in reasons] or [
        'all that it depends on has ended; the next worker that looks after its queue enqueues it'
    ]


def _scheduled(parts: Parts, workers: list[WorkerSeen]) -> list[str]:
    if parts.due is None:
        return ['it is not among the scheduled jobs of its queue, and nothing will enqueue it; see rq-leveldb doctor']
    left = parts.due - time.time()
    if left > 0:
        return [f'it is due in {render.duration(left)}']
    if left > -_LATE:
        return ['it is due']
    alive = [worker for worker in workers if not worker.is_dead]
    reason = f'it was due {render.duration(-left)} ago, and no worker has enqueued it'
    return [reason if alive else f'{reason}: none is running; start one: rq-leveldb worker']


def _started(seen: Seen, workers: list[WorkerSeen]) -> list[str]:
    name = seen.job.worker_name
    if name and any(worker.name == name and worker.is_dead for worker in workers):
        return [f'its worker {name} died; the next worker that starts recovers the job']
    return []

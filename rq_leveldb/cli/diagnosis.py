"""What rq-leveldb doctor looks at."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rq.intermediate_queue import IntermediateQueue
from rq.suspension import is_suspended
from rq.version import VERSION as RQ_VERSION

from rq_leveldb.cli import render
from rq_leveldb.cli.function_hint import find_fault
from rq_leveldb.cli.workers_seen import WorkerSeen, see_workers, serving
from rq_leveldb.client import autostart
from rq_leveldb.jobs.listing import listed
from rq_leveldb.jobs.states import walk
from rq_leveldb.location import DataDirectory
from rq_leveldb.lookup import (
    Seen,
    Strange,
    count_jobs,
    find_paused,
    find_queues,
    is_refused,
    registry_key,
    replies,
    see_jobs,
)
from rq_leveldb.reading import Reader, read_call
from rq_leveldb.unreadable import read_aside
from rq_leveldb.version import __version__

__all__ = ['Finding', 'examine_contents', 'examine_directory']

_LEAST_FREE = 100_000_000
_LEAST_SHARE = 0.05
_LEAST_FILES = 100
# Seconds by which clocks may differ.
_CLOCK = 5.0
# Seconds for which a scheduled job may be due.
_LATE = 60.0
# Entries of a registry, or of a queue, that are looked at.
_MOST = 1000
_NAMED = 3


@dataclass(frozen=True)
class Finding:
    """Something that was looked at.

    Args:
        level: `fine`, `note`, `warning` or `error`.
        what: a sentence without a full stop.
        remedy: what to do about it, '' if nothing.
    """

    level: str
    what: str
    remedy: str = ''


def examine_directory(directory: DataDirectory, findings: list[Finding]) -> bool:
    """Look at a data directory, and at the process that holds it.

    Args:
        directory: the directory.
        findings: receives what is found.

    Returns:
        Whether there is a store.

    Raises:
        StoreError: it cannot be used.
    """
    if not directory.check():
        findings.append(Finding('note', f'There is no store in {directory.path} yet', 'The first command makes one.'))
        return False
    if not os.access(directory.path, os.W_OK | os.X_OK):
        findings.append(
            Finding('error', f'{directory.path} cannot be written', 'Give its owner write permission, or mount it so.')
        )
    _examine_disk(directory, findings)
    running = autostart.running_store(directory)
    if running is not None and running[1] != __version__:
        is_older = autostart.is_older(running[1])
        remedy = 'The next command replaces it.' if is_older else 'Upgrade rq-leveldb here.'
        what = f'The store (process {running[0].pid}) has version {running[1]}, this command {__version__}'
        findings.append(Finding('warning', what, remedy))
    elif running is not None:
        findings.append(Finding('fine', f'The store runs (process {running[0].pid}, version {running[1]})'))
    elif os.path.lexists(directory.socket):
        what = f'{directory.socket} was left by a store that was killed'
        findings.append(Finding('note', what, 'The next command replaces it.'))
    return True


def _examine_disk(directory: DataDirectory, findings: list[Finding]) -> None:
    disk = os.statvfs(directory.path)
    free = disk.f_bavail * disk.f_frsize
    share = disk.f_bavail / max(1, disk.f_blocks)
    what = f'The disk of {directory.path} has {render.size(free)} left ({share:.0%})'
    if free < _LEAST_FREE or share < _LEAST_SHARE:
        findings.append(Finding('warning', what, 'Free some space: writes are refused when the disk is full.'))
    elif disk.f_files and disk.f_favail < _LEAST_FILES:
        findings.append(Finding('warning', f'{what}, but hardly any file can be made', 'Remove some files.'))
    else:
        findings.append(Finding('fine', what))


def examine_contents(connection: Any, findings: list[Finding]) -> None:
    """Look at the workers, queues and jobs of a place.

    Args:
        connection: the store.
        findings: receives what is found.
    """
    started = time.time()
    seconds, microseconds = connection.time()
    apart = seconds + microseconds / 1e6 - started
    if not -_CLOCK < apart < _CLOCK + time.time() - started:
        what = f'The clock there is {render.duration(abs(apart))} {"ahead of" if apart > 0 else "behind"} this one'
        findings.append(Finding('warning', what, 'Scheduled jobs and expiry go by it: set the clocks, as with NTP.'))
    queues = find_queues(connection)
    workers = see_workers(connection)
    _examine_workers(connection, workers, findings)
    paused = find_paused(connection)
    for name, counts in zip(queues.names, count_jobs(connection, queues.names), strict=True):
        count = counts['queued'] or 0
        jobs = f'{count} job{"s" if count != 1 else ""}'
        if name in paused.names:
            remedy = f'rq-leveldb unpause {name} lets workers go on with it.'
            findings.append(Finding('note', f'The queue {name} is paused, with {jobs}', remedy))
        elif count and not serving(workers, name):
            what = f'No worker serves the queue {name}, which has {jobs}'
            findings.append(Finding('warning', what, f'Start one: rq-leveldb worker {name}'))
        _examine_registries(connection, name, workers, findings)
    _examine_functions(connection, queues.names, findings)
    broken = [(item.key, item.reason) for item in (*queues.strange, *paused.strange)]
    broken += [(item.key, item.reason) for item in read_aside(connection)]
    for key, reason in broken:
        findings.append(Finding('warning', f'{key} cannot be read: {reason}', 'See docs/worker.rst; DEL removes it.'))


def _examine_workers(connection: Any, workers: list[WorkerSeen], findings: list[Finding]) -> None:
    alive = [worker for worker in workers if not worker.is_dead]
    if is_suspended(connection):
        findings.append(Finding('warning', 'All workers are suspended', 'rq-leveldb resume lets them go on.'))
    for worker in workers:
        if worker.is_dead:
            what = f'The worker {worker.name} died' + (f' with {worker.busy} jobs' if worker.busy else '')
            findings.append(Finding('warning', what, 'The next worker that starts, or that lives, recovers its jobs.'))
        elif worker.version not in (None, __version__) or worker.rq_version not in (None, RQ_VERSION):
            ours = f'rq-leveldb {worker.version} and ' if worker.version else ''
            what = (
                f'The worker {worker.name} has {ours}RQ {worker.rq_version}, '
                f'this command rq-leveldb {__version__} and RQ {RQ_VERSION}'
            )
            findings.append(Finding('warning', what, 'Restart it after an upgrade.'))
        elif worker.last_heartbeat is not None and worker.last_heartbeat.timestamp() > time.time() + _CLOCK:
            what = f'The last heartbeat of the worker {worker.name} is in the future'
            findings.append(Finding('warning', what, f'Compare the clock of {worker.host} with this one.'))
    if alive:
        findings.append(Finding('fine', f'{len(alive)} worker{"s" if len(alive) > 1 else ""} alive'))
    elif not workers:
        findings.append(Finding('note', 'No worker is running', 'Start one: rq-leveldb worker'))


def _examine_registries(connection: Any, queue: str, workers: list[WorkerSeen], findings: list[Finding]) -> None:
    """Look for jobs of a queue that nothing moves on."""

    def report(job_ids: Sequence[str], what: str, remedy: str, level: str = 'warning') -> None:
        if job_ids:
            shown = ', '.join(job_ids[:_NAMED]) + (f' and {len(job_ids) - _NAMED} more' if job_ids[_NAMED:] else '')
            findings.append(Finding(level, f'Jobs of the queue {queue} {what} ({len(job_ids)}): {shown}', remedy))

    alive = {worker.name for worker in workers if not worker.is_dead}
    started = _entries(connection, 'started', queue)
    lost = [job_id for job_id, seen in started if seen is None or seen.job.worker_name not in alive]
    recovery = 'The next worker recovers them: rq-leveldb worker. Those that it leaves, rq-leveldb delete removes.'
    report(lost, 'that count as started, but that no worker runs', recovery)
    pipe = connection.pipeline(transaction=False)
    pipe.lrange(IntermediateQueue.get_intermediate_queue_key(registry_key('queued', queue)), 0, _MOST - 1)
    pipe.zrangebyscore(registry_key('scheduled', queue), '-inf', time.time() - _LATE, start=0, num=_MOST)
    found = [() if is_refused(reply) else reply for reply in replies(pipe)]
    taken, due = ([item.decode('utf-8', 'replace') for item in reply] for reply in found)
    if not serving(workers, queue):
        report(taken, 'that were taken from it and not started', recovery)
    report(due, 'that are due, but that no worker enqueues', 'Start a worker that schedules: rq-leveldb worker')
    waiting = [(job_id, seen) for job_id, seen in _entries(connection, 'deferred', queue) if seen is not None]
    endless = [job_id for job_id, seen in waiting if _waits_for_ever(connection, seen)]
    retry = 'rq-leveldb job ID names them; rq-leveldb retry runs one again, rq-leveldb cancel gives up.'
    report(endless, 'that wait for jobs that failed or were canceled', retry)
    ready = [job_id for job_id, _ in _entries(connection, 'ready_to_enqueue', queue)]
    if not serving(workers, queue):
        report(ready, 'that are about to be enqueued', 'The next worker of the queue does it.', 'note')
    gone = [job_id for job_id, seen in _entries(connection, 'queued', queue) if seen is None]
    report(
        gone, 'that are in it, but whose records are gone', 'Workers leave them out; nothing has to be done.', 'note'
    )


def _entries(connection: Any, state: str, queue: str) -> list[tuple[str, Seen | None]]:
    found: list[tuple[str, Seen | None]] = []
    for chunk in walk(connection, state, queue, None, []):
        ids = [job_id for job_id, _ in chunk]
        found += zip(ids, see_jobs(connection, ids, Reader()), strict=True)
        if len(found) >= _MOST:
            break
    return found


def _waits_for_ever(connection: Any, seen: Seen) -> bool:
    job = seen.job
    for dependency in see_jobs(connection, list(job._dependency_ids), Reader()):
        status = 'gone' if dependency is None else dependency.status
        if status in ('stopped', 'canceled') or (status == 'failed' and not job.allow_dependency_failures):
            return True
    return False


def _examine_functions(connection: Any, names: list[str], findings: list[Finding]) -> None:
    """Look whether the functions of waiting jobs can be found, without importing them."""
    reader = Reader()
    strange: list[Strange] = []
    functions: Counter[str] = Counter()
    for name in names:
        for state in ('queued', 'scheduled'):
            for entry in islice(listed(connection, reader, state, [name], {}, strange), _MOST):
                if entry.seen is not None:
                    function, *_ = read_call(reader, entry.seen.job.data)
                    functions[function or ''] += 1
    functions.pop('', None)
    for function, count in sorted(functions.items()):
        fault = find_fault(function)
        if fault is not None:
            number = '1 waiting job calls' if count == 1 else f'{count} waiting jobs call'
            remedy = f'They fail if the worker finds it neither. It was looked for in {os.getcwd()}; see --path.'
            findings.append(Finding('warning', f'{number} {function}: {fault}', remedy))

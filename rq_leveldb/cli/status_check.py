"""rq-leveldb status --check: whether all is well, in one line and by the exit code, for a monitoring system.

The line and the codes are those of a Nagios plug-in: https://nagios-plugins.org/doc/guidelines.html.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click
from rq.suspension import is_suspended

from rq_leveldb.cli import render
from rq_leveldb.cli.workers_seen import see_workers, serving
from rq_leveldb.errors import StoreError
from rq_leveldb.jobs.oldest import oldest_waiting
from rq_leveldb.jobs.states import walk
from rq_leveldb.lookup import count_jobs, find_paused, find_queues, is_refused, registry_key, replies, see_jobs
from rq_leveldb.reading import Reader
from rq_leveldb.unreadable import read_aside

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ['Thresholds', 'run_check']

_LEVELS = ('OK', 'WARNING', 'CRITICAL')
_COLOURS = ('green', 'yellow', 'red')
# Most failed jobs of a queue whose time is looked at, those that are kept longest.
_MOST_FAILED = 10_000
# Seconds for which a scheduled job may be due before it counts as waiting.
_PUNCTUAL = 5.0
_NAMED = 5


@dataclass(frozen=True)
class Thresholds:
    """From where on something is a warning, and from where on it is critical.

    Args:
        max_wait: how long the oldest job has waited, seconds.
        max_failed: how many jobs failed within `within`.
        within: seconds.
        min_free: percent of the disk that are free, or less.
    """

    max_wait: tuple[float, float]
    max_failed: tuple[float, float]
    within: float
    min_free: tuple[float, float]


@dataclass
class _Findings:
    """What was measured, what is wrong, and what rests because somebody wants it to."""

    measured: dict[str, float] = field(default_factory=dict)
    paused: list[str] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)
    performance: list[str] = field(default_factory=list)

    def measure(
        self, name: str, value: float, unit: str, limits: tuple[float, float], problem: str, is_least: bool = False
    ) -> None:
        """Note a value, and a problem if it has come to a limit; from above if the limit is the least it may be."""
        self.measured[name] = value
        level = sum(value <= limit if is_least else value >= limit for limit in limits)
        # A range in the plug-ins' notation: up to a number, or from it on.
        shown = ['' if math.isinf(limit) else f'{limit:.10g}{":" * is_least}' for limit in limits]
        self.performance.append(f'{name}={value:.10g}{unit};{";".join(shown)}')
        if level:
            self.problems.append((level, problem))


def run_check(url: str, directory: Path | None, thresholds: Thresholds, patience: float, as_json: bool) -> int:
    """Print whether all is well, and return the exit code: 0 it is, 1 a warning, 2 critical.

    Args:
        url: the place.
        directory: the data directory; None of a server.
        thresholds: from where on something is wrong.
        patience: seconds within which the store has to answer.
        as_json: for programs.
    """
    from redis.exceptions import RedisError

    from rq_leveldb.client.connection import Redis

    found = _Findings()
    try:
        if directory is not None and not os.path.lexists(directory):
            found.problems.append((1, f'there is no store in {directory} yet; the first job makes it'))
            return _report(found, as_json)
        if directory is not None:
            _look_at_disk(found, directory, thresholds)
        with Redis.from_url(url, socket_timeout=patience) as connection:
            _look(found, connection, thresholds)
    except (StoreError, RedisError, OSError) as error:
        found.problems.append((2, ' '.join(str(error).split())))
    return _report(found, as_json)


def _report(found: _Findings, as_json: bool) -> int:
    found.problems.sort(key=lambda problem: -problem[0])
    level = max((level for level, _ in found.problems), default=0)
    if as_json:
        problems = [{'level': _LEVELS[level].lower(), 'what': what} for level, what in found.problems]
        state = _LEVELS[level].lower()
        document = {'state': state, 'problems': problems, 'paused': found.paused, **found.measured}
        render.document(document)
    else:
        what = '; '.join(what for _, what in found.problems) or 'all jobs are served'
        if found.paused:
            what += f'; paused: {_some(found.paused)}'
        performance = f' | {" ".join(found.performance)}' if found.performance else ''
        click.echo(f'{click.style(_LEVELS[level], fg=_COLOURS[level])}: {what}{performance}')
    return level


def _look(found: _Findings, connection: Any, thresholds: Thresholds) -> None:
    queues = find_queues(connection)
    names = queues.names
    counts = count_jobs(connection, names)
    workers = see_workers(connection)
    paused = find_paused(connection)
    found.paused = paused.names
    unserved = [
        f'{name} ({count["queued"]} job{"s" if count["queued"] != 1 else ""})'
        for name, count in zip(names, counts, strict=True)
        if count['queued'] and not serving(workers, name) and name not in paused.names
    ]
    if unserved:
        found.problems.append(
            (2, f'no worker serves {"the queue" if len(unserved) == 1 else "queues"} {_some(unserved)}')
        )
    if is_suspended(connection):
        found.problems.append((1, 'all workers are suspended'))
    dead = [worker.name for worker in workers if worker.is_dead]
    if dead and len(dead) == len(workers):
        found.problems.append((2, f'all workers died: {_some(dead)}'))
    seconds, queue = _oldest(connection, names, paused.names)
    problem = f'a job of the queue {queue} waits for {render.duration(seconds)}'
    found.measure('oldest_wait', seconds, 's', thresholds.max_wait, problem)
    failed = _failed_since(connection, names, time.time() - thresholds.within)
    jobs = '1 job' if failed == 1 else f'{failed} jobs'
    problem = f'{jobs} failed in the last {render.duration(thresholds.within)}'
    found.measure('failed', failed, '', thresholds.max_failed, problem)
    broken = [item.key for item in (*queues.strange, *paused.strange)] + [item.key for item in read_aside(connection)]
    if broken:
        found.problems.append((1, f'what cannot be read: {_some(broken)}'))


def _oldest(connection: Any, names: Sequence[str], paused: Sequence[str]) -> tuple[float, str]:
    """Return how long the oldest job has waited that is queued, or scheduled and due; and its queue.

    What is queued in a paused queue is meant to wait; what is due is enqueued there, too.
    """
    open_names = [name for name in names if name not in paused]
    ages = zip(oldest_waiting(connection, Reader(), open_names), open_names, strict=True)
    waiting = [(age, name) for age, name in ages if age is not None]
    pipe = connection.pipeline(transaction=False)
    for name in names:
        pipe.zrange(registry_key('scheduled', name), 0, 0, withscores=True)
    now = time.time()
    for name, first in zip(names, replies(pipe) if names else [], strict=True):
        if not is_refused(first) and first and now - first[0][1] > _PUNCTUAL:
            waiting.append((round(now - first[0][1], 3), name))
    return max(waiting, default=(0.0, ''))


def _failed_since(connection: Any, names: Iterable[str], since: float) -> int:
    count = 0
    for name in names:
        looked_at = 0
        for entries in walk(connection, 'failed', name, None, []):
            for seen in see_jobs(connection, [job_id for job_id, _ in entries], Reader()):
                if seen is not None and seen.status == 'failed' and seen.job.ended_at is not None:
                    count += seen.job.ended_at.timestamp() >= since
            looked_at += len(entries)
            if looked_at >= _MOST_FAILED:
                break
    return count


def _look_at_disk(found: _Findings, directory: Path, thresholds: Thresholds) -> None:
    disk = os.statvfs(directory)
    free = 100 * disk.f_bavail / max(1, disk.f_blocks)
    size = render.size(disk.f_bavail * disk.f_frsize)
    problem = f'the disk has {free:.0f}% left ({size})'
    found.measure('disk_free', round(free, 2), '%', thresholds.min_free, problem, is_least=True)


def _some(names: Sequence[str]) -> str:
    shown = ', '.join(names[:_NAMED])
    return shown if len(names) <= _NAMED else f'{shown} and {len(names) - _NAMED} more'

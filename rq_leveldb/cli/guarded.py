"""RQ's commands that go over all jobs, queues or workers. What cannot be read is named; the rest is processed.

The options and the output are RQ's. Its own callbacks end at the first record that they cannot read, and its counts
clean up first, which fails jobs. These commands only count.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import rq
from redis.exceptions import ConnectionError as StoreConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as StoreTimeoutError
from rq.cli.helpers import CliConfig, get_scale, refresh, show_workers
from rq.exceptions import InvalidJobOperation
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.utils import as_text
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from rq_leveldb.api import Queue
from rq_leveldb.cli import render
from rq_leveldb.cli.many import Refused, change, choose, report
from rq_leveldb.jobs.requeueing import requeue_seen
from rq_leveldb.lookup import (
    Seen,
    count_jobs,
    count_servers,
    find_paused,
    find_queues,
    is_refused,
    registry_key,
    replies,
)
from rq_leveldb.reading import Reader

__all__ = ['empty', 'info', 'requeue']

_CHART = 20


def empty(**options: Any) -> int:
    """Empty given queues."""
    config = CliConfig(**options)
    names = options['queues']
    if options['all']:
        found = find_queues(config.connection)
        names = found.names
        for item in found.strange:
            render.complain(f'{item.key} contains something that is not a queue: {item.reason}')
    if not names and not options['as_json']:
        click.echo('Nothing to do')
        return 0
    code = 0
    removed: dict[str, int] = {}
    # Ours removes in slices, so that nobody has to wait for the whole.
    queue_class = Queue if config.queue_class is rq.Queue else config.queue_class
    for name in names:
        queue = queue_class(
            name, connection=config.connection, job_class=config.job_class, serializer=options['serializer']
        )
        with _named(f'queue {name}') as failures:
            removed[name] = queue.empty()
            if not options['as_json']:
                click.echo(f'{removed[name]} jobs removed from {name} queue')
        code |= bool(failures)
    if options['as_json']:
        render.document({'removed': removed})
    return code


def requeue(**options: Any) -> int:
    """Put failed jobs back on their queues: those with these IDs, or all of a queue, of a function, or at all."""
    config = CliConfig(**options)
    connection = config.connection
    queue, function, job_ids = options['queue'], options['function'], list(options['job_ids'])
    reader = Reader(options['serializer'])
    is_complete = True
    if options['all'] or function is not None:
        wanted = {name: value for name, value in (('queue', queue), ('function', function)) if value is not None}
        # RQ keeps stopped jobs among the failed ones, and requeues them with these.
        job_ids, is_complete = choose(
            connection, reader, ['failed'], wanted, with_stopped=True, job_class=config.job_class
        )
    elif not job_ids:
        click.echo('Nothing to do')
        if queue is not None:
            click.echo(f'All failed jobs of a queue: rq-leveldb requeue --queue {queue} --all', err=True)
        return 0

    registries: dict[str, FailedJobRegistry] = {}

    def find(job: Job) -> FailedJobRegistry:
        name = queue or job.origin
        if name not in registries:
            # With the reader, or RQ would run code in what it holds.
            registries[name] = FailedJobRegistry(
                name, connection=connection, job_class=config.job_class, serializer=reader
            )
        return registries[name]

    def act(connection: Any, found: list[Seen]) -> Iterator[Exception | None]:
        for seen, error in zip(found, requeue_seen(connection, found, find=find), strict=True):
            if isinstance(error, InvalidJobOperation):
                error = Refused(f'it is not among the failed jobs of {find(seen.job).name}')
            yield error

    if job_ids and not options['as_json']:
        click.echo(f'Requeueing {len(job_ids)} jobs from failed queue')
    failed = change(connection, reader, job_ids, act, config.job_class)
    return report('Requeued', job_ids, failed, options['as_json']) or int(not is_complete)


def info(**options: Any) -> int:
    """RQ command-line monitor."""
    config = CliConfig(**options)
    try:
        refresh(options['interval'], _show, config, options)
    except KeyboardInterrupt:
        click.echo()
    return 0


def _show(config: CliConfig, options: dict[str, Any]) -> None:
    connection = config.connection
    raw = options['raw']
    found = find_queues(connection)
    names = list(options['queues'] or found.names)
    notes = [f'{item.key}: {item.reason}' for item in found.strange]
    if not options['only_workers']:
        _show_queues(connection, names, raw, notes)
        if not raw and not options['only_queues']:
            click.echo('')
    if not options['only_queues']:
        queues = [config.queue_class(name, connection=connection) for name in names]
        worker_class = type('EachWorker', (_EachWorker, config.worker_class), {'notes': notes})
        show_workers(queues, raw, options['by_queue'], config.queue_class, worker_class, connection)
    for note in dict.fromkeys(notes):
        click.echo(f'cannot be read: {note}' if raw else click.style(f'Cannot be read: {note}', fg='yellow'))
    if not raw and not options['only_queues'] and not options['only_workers']:
        click.echo('')
        click.echo(f'Updated: {time.strftime("%Y-%m-%d %H:%M:%S")}')


def _show_queues(connection: Any, names: list[str], raw: bool, notes: list[str]) -> None:
    counts = count_jobs(connection, names)
    paused = find_paused(connection)
    notes += [f'{item.key}: {item.reason}' for item in paused.strange]
    width = min(_CHART, _columns() - _CHART)
    ratio = width / get_scale(max((count['queued'] or 0 for count in counts), default=0))
    for name, count, workers in zip(names, counts, count_servers(connection, names), strict=True):
        states = {state: '?' if number is None else number for state, number in count.items()}
        numbers = (
            f'{states["queued"]}, {states["started"]} executing, {states["finished"]} finished, '
            f'{states["failed"]} failed'
        )
        if count['ready_to_enqueue']:
            numbers += f', {count["ready_to_enqueue"]} ready to be enqueued'
        is_paused = name in paused.names
        if raw:
            click.echo(f'queue {name} {numbers}{", paused" if is_paused else ""}')
        else:
            chart = click.style('|' + '█' * int(ratio * (count['queued'] or 0)), fg='green')
            mark = ', paused' if is_paused else ', no worker serves it' if count['queued'] and workers == 0 else ''
            click.echo(f'{name:<12} {chart} {numbers}{click.style(mark, fg="yellow")}')
        notes += [
            f'{registry_key(state, name)} holds another type of value'
            for state, number in count.items()
            if number is None
        ]
    if not raw:
        click.echo(f'{len(names)} queues, {sum(count["queued"] or 0 for count in counts)} jobs total')


def _columns() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 80


class _EachWorker:
    """A mixin for a worker class whose `all` reads one worker at a time."""

    notes: list[str]
    find_by_key: Callable[..., Any]

    @classmethod
    def all(
        cls, connection: Any = None, job_class: Any = None, queue_class: Any = None, queue: Any = None, **options: Any
    ) -> list[Any]:
        """Return the workers that can be read; arguments as rq.Worker.all."""
        if connection is None:
            connection = queue.connection
        pipe = connection.pipeline(transaction=False)
        key = REDIS_WORKER_KEYS if queue is None else WORKERS_BY_QUEUE_KEY % queue.name
        pipe.smembers(key)
        (members,) = replies(pipe)
        if is_refused(members):
            cls.notes.append(f'{key} holds another type of value than a set')
            return []
        found = []
        for member in sorted(members):
            name = member.decode('utf-8', 'backslashreplace')
            try:
                worker = cls.find_by_key(
                    as_text(member), connection=connection, job_class=job_class, queue_class=queue_class, **options
                )
                if worker is not None:
                    # These read what is shown.
                    worker.get_state()
                    worker.queue_names()
                    found.append(worker)
            except (StoreConnectionError, StoreTimeoutError):
                raise
            except Exception as error:
                cls.notes.append(f'{name} ({type(error).__name__}: {error})')
        return found


@contextmanager
def _named(what: str) -> Iterator[list[str]]:
    """Report what cannot be done with one thing and continue; the value then holds the error."""
    failures: list[str] = []
    try:
        yield failures
    except (StoreConnectionError, StoreTimeoutError):
        raise
    except (RedisError, ValueError) as error:
        failures.append(str(error))
        render.complain(f'{what}: {error}')

"""RQ's command enqueue, with a word about what will not work as it is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import click
from rq.cli.cli import enqueue as rq_enqueue
from rq.cli.helpers import CliConfig

from rq_leveldb.cli import render
from rq_leveldb.cli.function_hint import find_fault
from rq_leveldb.cli.workers_seen import see_workers, serving
from rq_leveldb.lookup import see_jobs

__all__ = ['EPILOG', 'enqueue', 'reading_arguments']

EPILOG = """\b
Arguments are text unless they begin with a sign:
  alice          the text alice             x=alice     x, the text alice
  :2             JSON, the number 2         x:=2        x, the number 2
  :'[1, null]'   JSON, a list               x:=true     x, True
  %'(1, 2)'      a literal of Python        x%='{1, 2}' x, a set
  @notes.txt     what a file holds          x=@notes    x, what a file holds
  :@data.json    JSON in a file             x:=@data    x, JSON in a file

\b
Examples:
  rq-leveldb enqueue app.tasks.send alice@example.org retries:=3
  rq-leveldb enqueue app.tasks.add :2 :3 --queue math --schedule-in 10m
  rq-leveldb enqueue app.tasks.clean --retry-max 3 --retry-interval 60
"""


def enqueue(**options: Any) -> None:
    """Enqueue a job: FUNCTION is a dotted name such as app.tasks.send, which the worker imports.

    Nothing is imported here. If the function cannot be found from here, or no worker serves the queue, a warning says
    so, and the job is enqueued all the same.
    """
    assert rq_enqueue.callback is not None
    config = CliConfig(**options)
    missing = _check_dependencies(config, options)
    if options['as_json']:
        # RQ says it only in a sentence.
        options['job_id'] = options['job_id'] or str(uuid4())
    with reading_arguments():
        rq_enqueue.callback(**{**options, 'quiet': options['quiet'] or options['as_json']})
    warnings = [] if options['quiet'] else [*missing, *_warnings(config.connection, options)]
    if options['as_json']:
        said = [what for what, _ in warnings]
        document = {name: options[name] for name in ('job_id', 'queue', 'function')}
        render.document({**document, 'warnings': said})
        return
    for what, advice in warnings:
        render.warn(what, advice)


def _warnings(connection: Any, options: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Return what will not work as it is meant, each with what to do about it."""
    fault = find_fault(options['function'])
    if fault is not None:
        yield fault, 'If the worker finds it, all is well. Else correct the name, or name its directory with --path.'
    queue = options['queue']
    if not serving(see_workers(connection), queue):
        yield f'no worker serves the queue {queue}', f'Start one: rq-leveldb worker {queue}'


@contextmanager
def reading_arguments() -> Iterator[None]:
    """Let RQ read the files that arguments name.

    Raises:
        ClickException: one cannot be read.
    """
    try:
        yield
    except (IsADirectoryError, PermissionError) as error:
        raise click.FileError(str(error.filename), error.strerror) from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f'The file of an argument is not UTF-8: {error}') from error


def _check_dependencies(config: CliConfig, options: dict[str, Any]) -> list[tuple[str, str]]:
    """Check that the jobs that it is to depend on can be read, because RQ reads them; return warnings of the others."""
    missing = []
    job_ids = list(options['depends_on'] or ())
    for job_id, seen in zip(job_ids, see_jobs(config.connection, job_ids, options['serializer']), strict=True):
        if seen is None:
            missing.append((f'there is no job {job_id}, so the new job does not wait for it', ''))
        elif seen.faults:
            raise click.ClickException(
                f'Job {job_id}, on which the new job depends, cannot be read: {"; ".join(map(str, seen.faults))}'
            )
    return missing

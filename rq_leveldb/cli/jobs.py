"""rq-leveldb jobs: the jobs of a state, narrowed by queue, function or text; and failed jobs in groups."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render
from rq_leveldb.jobs.moment import read_timestamp, timestamp

if TYPE_CHECKING:
    from rq_leveldb.jobs.listing import Listed
    from rq_leveldb.lookup import Strange
    from rq_leveldb.reading import Reader

__all__ = ['jobs']

# What runs and what will run comes first. These are all of `jobs.states.STATES`, which takes a while to import.
_STATES = (
    'started',
    'queued',
    'scheduled',
    'deferred',
    'ready_to_enqueue',
    'failed',
    'stopped',
    'finished',
    'canceled',
)
_SHOWN_CALL = 80
_SHOWN_ERROR = 200

_EPILOG = """\b
Examples:
  rq-leveldb jobs                            all jobs, those that run first
  rq-leveldb jobs failed --group             what fails, and how often
  rq-leveldb jobs failed --function app.send --error ConnectionError
  rq-leveldb jobs queued --queue mail --search alice@example.org
  rq-leveldb jobs finished --since 2h --json
"""


def _since(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    from rq_leveldb.cli.checks import read_seconds

    try:
        return datetime.now(timezone.utc) - timedelta(seconds=read_seconds(value) or 0)
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error)) from error


def _after(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, Any] | None:
    if value is None:
        return None
    from rq_leveldb.jobs.listing import CURSOR_PATTERN, read_cursor

    state, _, cursor = value.partition('~')
    if state not in _STATES or not re.match(CURSOR_PATTERN, cursor):
        raise click.BadParameter('this is not what a list ended with')
    return state, read_cursor(cursor)


@click.command(epilog=_EPILOG)
@click.argument('state', type=click.Choice(_STATES), required=False, metavar='[STATE]')
@options.url
@click.option('--queue', '-q', help='Only jobs of this queue.')
@click.option('--function', help='Only jobs that call this function, such as app.tasks.send.')
@click.option('--error', 'error_type', help='Only jobs that failed with this type of error, such as ValueError.')
@click.option('--search', '-s', help='Only jobs that have this text in their id, call, description, worker or error.')
@click.option('--output', '-o', help='Only jobs that have printed this text (rq-leveldb worker --capture-output).')
@click.option('--since', callback=_since, help='Only jobs of this last time, such as 30m, 2h or 7d.')
@click.option('--group', is_flag=True, help='Count failed jobs by type of error and function.')
@click.option('--limit', '-n', type=click.IntRange(1, 10_000), default=20, show_default=True, help='How many at most.')
@click.option('--after', callback=_after, help='Go on where a list ended, which says with what.')
@options.json_output
@options.serializer
def jobs(
    state: str | None,
    url: str | None,
    group: bool,
    limit: int,
    after: tuple[str, Any] | None,
    as_json: bool,
    serializer: str | None,
    **narrowed: Any,
) -> int:
    """List the jobs of a STATE, the newest first; queued and scheduled ones in the order in which they will run.

    STATE is started, queued, scheduled, deferred (waits for other jobs), ready_to_enqueue, failed, stopped, finished
    or canceled. Without it, the jobs of all states follow one another. rq-leveldb job ID shows one of them.
    """
    from rq_leveldb.cli import checks
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.jobs.listing import MOST_SCANNED
    from rq_leveldb.reading import Reader

    checks.check(click.get_current_context().command, {'serializer': serializer})
    if group and state not in (None, 'failed'):
        raise click.UsageError('Only failed jobs have groups.')
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    reader = Reader(serializer or 'pickle')
    wanted = {name: value for name, value in narrowed.items() if value is not None}
    strange: list[Strange] = []
    if group:
        return _show_groups(connection, reader, wanted, strange, limit, as_json)
    states: tuple[str, ...] = _STATES if state is None else (state,)
    if after is not None:
        states = states[states.index(after[0]) :] if after[0] in states else ()
    rows: list[dict[str, Any]] = []
    last = ''
    is_cut = False
    for scanned, (name, entry) in enumerate(_walk(connection, reader, states, wanted, after, strange), 1):
        if entry.seen is not None:
            is_cut = len(rows) == limit
            if is_cut:
                break
            rows.append(_row(reader, name, entry))
            last = _end(name, entry)
        if scanned == MOST_SCANNED:
            is_cut, last = True, _end(name, entry)
            break
    end = last if is_cut else None
    if as_json:
        render.document({'jobs': rows, 'next': end, 'unreadable': list(map(vars, strange))})
        return 0
    _show(rows)
    render.unreadable(strange)
    if end is not None:
        click.echo(f'\nThere are more. Go on with --after {shlex.quote(end)}', err=True)
    return 0


def _walk(
    connection: Any,
    reader: Reader,
    states: tuple[str, ...],
    wanted: dict[str, Any],
    after: tuple[str, Any] | None,
    strange: list[Strange],
) -> Iterator[tuple[str, Listed]]:
    from rq_leveldb.jobs.listing import listed, newest
    from rq_leveldb.lookup import find_queues

    queues = find_queues(connection)
    strange += queues.strange
    for state in states:
        narrowed = {**wanted, 'cursor': after[1]} if after is not None and after[0] == state else wanted
        # A queue's jobs have an order, but jobs of several queues have none.
        found = (
            listed(connection, reader, state, queues.names, narrowed, strange)
            if state == 'queued'
            else newest(connection, reader, state, queues.names, narrowed, strange)
        )
        for entry in found:
            yield state, entry


def _end(state: str, entry: Listed) -> str:
    from rq_leveldb.jobs.listing import write_cursor

    return f'{state}~{write_cursor(entry)}'


def _row(reader: Reader, state: str, entry: Listed) -> dict[str, Any]:
    from rq_leveldb.jobs.error_text import read_error
    from rq_leveldb.jobs.listing import TIMES
    from rq_leveldb.reading import call_text, read_call

    assert entry.seen is not None
    job = entry.seen.job
    function, args, kwargs = read_call(reader, job.data)
    error = read_error(entry.error) if entry.error else None
    due = datetime.fromtimestamp(entry.position.score, timezone.utc) if state == 'scheduled' else None
    return {
        'id': job.id,
        'status': entry.seen.status,
        'queue': entry.queue,
        'function': function,
        'call': None if function is None else call_text(function, args, kwargs),
        'description': job.description,
        'worker': job.worker_name,
        **{name: timestamp(getattr(job, name)) for name in TIMES},
        'due_at': timestamp(due),
        'error': None if error is None else error.line,
        'error_type': None if error is None else error.kind,
        'unreadable': [str(fault) for fault in entry.seen.faults],
    }


def _show(rows: list[dict[str, Any]]) -> None:
    if not rows:
        click.echo('No such jobs.')
        return
    columns = ['id', 'status', 'queue', 'when', 'call']
    has_errors = any(row['error'] for row in rows)
    table = [
        [
            render.cut(row['id']),
            row['status'],
            render.cut(row['queue'] or ''),
            _when(row),
            render.cut(row['call'] or row['description'] or '', _SHOWN_CALL),
            *([render.cut(row['error'] or '', _SHOWN_ERROR)] if has_errors else []),
        ]
        for row in rows
    ]
    render.table([*columns, 'error'] if has_errors else columns, table, texts=len(columns) + has_errors)


def _when(row: dict[str, Any]) -> str:
    if row['due_at']:
        left = read_timestamp(row['due_at']).timestamp() - time.time()
        return f'in {render.duration(left)}' if left > 0 else f'due {render.duration(-left)} ago'
    name = {'started': 'started_at', 'queued': 'enqueued_at'}.get(row['status'], 'ended_at')
    text = row[name] or row['enqueued_at'] or row['created_at']
    return f'{render.duration(max(0.0, time.time() - read_timestamp(text).timestamp()))} ago' if text else ''


def _show_groups(
    connection: Any, reader: Reader, wanted: dict[str, Any], strange: list[Strange], limit: int, as_json: bool
) -> int:
    from rq_leveldb.jobs.failures import group_failures
    from rq_leveldb.jobs.listing import MOST_SCANNED, newest
    from rq_leveldb.lookup import find_queues

    queues = find_queues(connection)
    strange += queues.strange
    found = list(islice(newest(connection, reader, 'failed', queues.names, wanted, strange), MOST_SCANNED))
    groups = group_failures(reader, found)
    if as_json:
        shown = [{**vars(group), 'latest_at': timestamp(group.latest_at)} for group in groups[:limit]]
        document = {
            'groups': shown,
            'number_of_groups': len(groups),
            'looked_at': len(found),
            'unreadable': list(map(vars, strange)),
        }
        render.document(document)
        return 0
    if groups:
        render.table(
            ['count', 'error', 'function', 'queues', 'latest', 'latest job', 'its message'],
            [
                [
                    str(group.count),
                    render.cut(group.error_type),
                    render.cut(group.function or '?'),
                    render.cut(', '.join(group.queues)),
                    render.moment(group.latest_at),
                    group.latest_job,
                    render.cut(group.error.removeprefix(f'{group.error_type}: '), _SHOWN_ERROR),
                ]
                for group in groups[:limit]
            ],
            texts=7,
        )
    else:
        click.echo('No such jobs.')
    render.unreadable(strange)
    if len(groups) > limit:
        click.echo(f'\nAnd {len(groups) - limit} more groups; --limit shows more.', err=True)
    if len(found) == MOST_SCANNED:
        click.echo(f'\nOnly the newest {MOST_SCANNED:,} failed jobs were looked at.', err=True)
    return 0

"""rq-leveldb job: show one job, what its executions used, and what it printed."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render

if TYPE_CHECKING:
    from rq_leveldb.lookup import Fields, Seen
    from rq_leveldb.reading import Reader

__all__ = ['job']

_POLL = 0.3
_UNFINISHED = ('queued', 'started', 'deferred', 'ready_to_enqueue', 'scheduled')


@click.command(short_help='Shows one job: its state, executions and output.')
@click.argument('job_id', metavar='ID')
@options.url
@click.option('--log', is_flag=True, help='Show what it printed, if its worker runs with --capture-output.')
@click.option('--follow', '-f', is_flag=True, help='With --log: continue until the job ends.')
@options.json_output
@options.serializer
def job(job_id: str, url: str | None, log: bool, follow: bool, as_json: bool, serializer: str | None) -> int:
    """Show the job ID: its state, when it ran and what each execution used. Nothing that it holds is run or imported.

    Processor time and peak memory are those of the job's process; the memory includes what the process shares with
    the worker that it was forked from.
    """
    from rq_leveldb.cli import checks
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import see_jobs
    from rq_leveldb.reading import Looking, Reader

    checks.check(click.get_current_context().command, {'serializer': serializer})
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    # RQ's own serializer would run code in what is stored.
    reader = Reader(serializer or 'pickle')
    (found,) = see_jobs(connection, [job_id], Looking(reader))
    if found is None:
        render.complain(f'there is no job {job_id}', 'It may have been deleted, or it may have expired.')
        return 1
    if log:
        return _print_log(connection, found, follow)
    report = _report(connection, found, reader)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(report)
    return 0


def _print_log(connection: Any, seen: Seen, follow: bool) -> int:
    from rq_leveldb.lookup import is_refused, replies, see_jobs
    from rq_leveldb.records import output_key

    shown = b''
    job = seen.job
    now: Seen | None = seen
    while True:
        running = follow and now is not None and now.status in _UNFINISHED
        pipe = connection.pipeline(transaction=False)
        pipe.get(output_key(job.id))
        (text,) = replies(pipe)
        if is_refused(text):
            render.complain(f'the key {output_key(job.id)} is not a string but another type of value')
            return 1
        if text is not None:
            # Output over the limit loses its beginning; then all of it is shown again.
            sys.stdout.buffer.write(text[len(shown) :] if text.startswith(shown) else text)
            sys.stdout.buffer.flush()
            shown = text
        if not running:
            break
        time.sleep(_POLL)
        (now,) = see_jobs(connection, [job.id], job.serializer)
    if not shown:
        render.complain(f'no output of job {job.id} is kept', 'Run its worker with --capture-output.')
        return 1
    return 0


def _report(connection: Any, seen: Seen, reader: Reader) -> dict[str, Any]:
    from rq.results import Result

    from rq_leveldb.lookup import Fields, is_refused, replies, see_results
    from rq_leveldb.reading import call_text, read_call
    from rq_leveldb.records import CRASHES_FIELD, USAGE_FIELD
    from rq_leveldb.unreadable import show_bytes

    job = seen.job
    faults = list(seen.faults)
    pipe = connection.pipeline(transaction=False)
    pipe.hmget(job.key, USAGE_FIELD, CRASHES_FIELD)
    (kept,) = replies(pipe)
    fields = Fields(
        {} if is_refused(kept) else {USAGE_FIELD.encode(): kept[0] or b'', CRASHES_FIELD.encode(): kept[1] or b''}, ''
    )
    executions = _dicts(fields, USAGE_FIELD)
    crashes = _dicts(fields, CRASHES_FIELD)
    faults += fields.faults
    function, args, kwargs = read_call(reader, job.data)
    found, broken = see_results(connection, job.id, job.serializer, 1)
    faults += broken
    is_failure = bool(found) and found[0].type is Result.Type.FAILED
    # Older versions of RQ keep the error in the job.
    error = found[0].exc_string if is_failure else job._exc_info
    return {
        'id': job.id,
        'status': seen.status,
        'queue': job.origin,
        'description': job.description,
        'call': None if function is None else call_text(function, args, kwargs),
        'worker': job.worker_name,
        'enqueued_at': _text(job.enqueued_at),
        'started_at': _text(job.started_at),
        'ended_at': _text(job.ended_at),
        'timeout': job.timeout,
        'retries_left': job.retries_left,
        'executions': [{**entry, 'started': _moment(entry.get('started'))} for entry in executions],
        'crashes': crashes,
        'error': error,
        'unreadable': [
            {'field': fault.field, 'value': show_bytes(fault.value), 'error': fault.error} for fault in faults
        ],
    }


def _dicts(fields: Fields, name: str) -> list[dict[str, Any]]:
    return [entry for entry in fields.list(name) if isinstance(entry, dict)]


def _moment(seconds: Any) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, tz=timezone.utc).isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _show(report: dict[str, Any]) -> None:
    names = ('id', 'status', 'queue', 'description', 'worker', 'enqueued_at', 'started_at', 'ended_at')
    pairs = [(name.replace('_', ' ').capitalize(), str(report[name])) for name in names if report[name]]
    if report['retries_left'] is not None:
        pairs.append(('Retries left', str(report['retries_left'])))
    pairs += [
        ('Unreadable', f'{fault["field"] or "all of it"}: {fault["value"]} ({fault["error"]})')
        for fault in report['unreadable']
    ]
    render.fields(pairs)
    for number, entry in enumerate(report['executions'], 1):
        click.echo()
        render.fields(
            [
                (f'Execution {number}', str(entry.get('execution', ''))),
                ('Started', str(entry.get('started', ''))),
                ('Took', f'{_number(entry.get("wall")):.3f} s'),
                ('Processor time', f'{_number(entry.get("cpu")):.3f} s'),
                ('Peak memory', render.size(_number(entry.get('memory')))),
                ('Process', 'exit code 0' if entry.get('exit') == 0 else str(entry.get('exit'))),
            ]
        )
    if report['crashes']:
        click.echo()
        click.echo('Crashes in a row:')
        for crash in report['crashes']:
            click.echo(f'  {crash.get("at")}  {crash.get("exit")}')
    if report['error']:
        click.echo()
        click.echo(report['error'].rstrip())

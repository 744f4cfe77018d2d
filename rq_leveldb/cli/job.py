"""rq-leveldb job: one job, what its executions used, and what it printed."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timezone
from typing import Any

import click

from rq_leveldb.cli import render
from rq_leveldb.location import URL_VARIABLES

__all__ = ['job']

_POLL = 0.3


@click.command(
    short_help='Shows one job: its state, executions and output.',
    context_settings={'help_option_names': ['-h', '--help']},
)
@click.argument('job_id', metavar='ID')
@click.option('--url', '-u', envvar=list(URL_VARIABLES), help='Where the data is.  [default: leveldb://]')
@click.option('--log', is_flag=True, help='What it printed, if its worker runs with --capture-output.')
@click.option('--follow', '-f', is_flag=True, help='With --log: go on until the job has ended.')
@click.option('--json', 'as_json', is_flag=True, help='One JSON object, for programs.')
@click.option('--serializer', '-S', help='Serializer of the job: pickle, json or a class.')
def job(job_id: str, url: str | None, log: bool, follow: bool, as_json: bool, serializer: str | None) -> int:
    """Show the job ID: its state, when it ran and what each execution used.

    Processor time and peak memory are those of the job's process; the memory includes what the process shares with
    the worker that it was forked from.
    """
    from rq.exceptions import NoSuchJobError
    from rq.job import Job

    from rq_leveldb.client.connection import Redis

    connection: Any = Redis.from_url(url) if url is not None else Redis()
    try:
        found = Job.fetch(job_id, connection=connection, serializer=serializer)
    except NoSuchJobError:
        render.complain(f'there is no job {job_id}', 'It may have been deleted, or its time to live is over.')
        return 1
    if log:
        return _print_log(connection, found, follow)
    report = _report(connection, found)
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(report)
    return 0


def _print_log(connection: Any, job: Any, follow: bool) -> int:
    from rq_leveldb.worker.output import read_output

    shown = b''
    while True:
        running = follow and str(job.get_status().value) in ('queued', 'started', 'deferred', 'scheduled')
        text = read_output(connection, job.id)
        if text is not None:
            # The beginning goes when the output grows over its limit: then all is shown anew.
            sys.stdout.buffer.write(text[len(shown) :] if text.startswith(shown) else text)
            sys.stdout.buffer.flush()
            shown = text
        if not running:
            break
        time.sleep(_POLL)
    if not shown:
        render.complain(f'nothing is kept of what {job.id} printed', 'Run its worker with --capture-output.')
        return 1
    return 0


def _report(connection: Any, job: Any) -> dict[str, Any]:
    from rq_leveldb.worker.bookkeeping import decode_list

    raw_usage, raw_crashes = connection.hmget(job.key, 'usage', 'crashes')
    try:
        call = job.get_call_string()
    except Exception:
        # The function's arguments need the serializer, and maybe classes, of the application.
        call = None
    return {
        'id': job.id,
        'status': str(job.get_status().value),
        'queue': job.origin,
        'description': job.description,
        'call': call,
        'worker': job.worker_name,
        'enqueued_at': _text(job.enqueued_at),
        'started_at': _text(job.started_at),
        'ended_at': _text(job.ended_at),
        'timeout': job.timeout,
        'retries_left': job.retries_left,
        'executions': [
            {**entry, 'started': _text(datetime.fromtimestamp(entry['started'], tz=timezone.utc))}
            for entry in decode_list(raw_usage)
        ],
        'crashes': decode_list(raw_crashes),
        'error': job.exc_info,
    }


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None


def _show(report: dict[str, Any]) -> None:
    names = ('id', 'status', 'queue', 'description', 'worker', 'enqueued_at', 'started_at', 'ended_at')
    pairs = [(name.replace('_', ' ').capitalize(), str(report[name])) for name in names if report[name]]
    if report['retries_left'] is not None:
        pairs.append(('Retries left', str(report['retries_left'])))
    render.fields(pairs)
    for number, entry in enumerate(report['executions'], 1):
        click.echo()
        render.fields(
            [
                (f'Execution {number}', str(entry.get('execution', ''))),
                ('Started', str(entry.get('started', ''))),
                ('Took', f'{entry.get("wall", 0.0):.3f} s'),
                ('Processor time', f'{entry.get("cpu", 0.0):.3f} s'),
                ('Peak memory', render.size(entry.get('memory', 0))),
                ('Process', 'exit code 0' if entry.get('exit') == 0 else str(entry.get('exit'))),
            ]
        )
    if report['crashes']:
        click.echo()
        click.echo('It took its process down:')
        for crash in report['crashes']:
            click.echo(f'  {crash.get("at")}  {crash.get("exit")}')
    if report['error']:
        click.echo()
        click.echo(report['error'].rstrip())

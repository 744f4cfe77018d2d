"""rq-leveldb job: show one job, why it waits, what its executions used, and what it printed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render
from rq_leveldb.cli.traceback_text import fold
from rq_leveldb.jobs.moment import read_timestamp

if TYPE_CHECKING:
    from rq_leveldb.lookup import Seen

__all__ = ['job', 'logs']

_POLL = 0.3
_UNFINISHED = ('queued', 'started', 'deferred', 'ready_to_enqueue', 'scheduled', 'rate_limited')
_SHOWN_JOBS = 10

_EPILOG = """\b
Examples:
  rq-leveldb job ID            its state, result, arguments and traceback
  rq-leveldb job ID --json     all of it, for programs
  rq-leveldb logs ID -f        what it prints, until it ends
"""


@click.command(epilog=_EPILOG)
@click.argument('job_id', metavar='ID')
@options.url
@click.option('--log', is_flag=True, help='Show what it printed, if its worker runs with --capture-output.')
@click.option('--follow', '-f', is_flag=True, help='With --log: continue until the job ends.')
@click.option('--verbose', '-v', is_flag=True, help="Also show RQ's own frames of the traceback.")
@options.json_output
@options.serializer
def job(
    job_id: str, url: str | None, log: bool, follow: bool, verbose: bool, as_json: bool, serializer: str | None
) -> int:
    """Show the job ID: its state, call, result and error, when it ran, and why it does not run yet.

    Nothing that it holds is run or imported: values are shown as Python writes them, and of an object of another
    class, what its pickle says.

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
        render.complain(
            f'there is no job {job_id}',
            'It may have been deleted, or it may have expired. rq-leveldb jobs --search finds jobs by text.',
        )
        return 1
    if log:
        return _print_log(connection, found, follow)
    from rq_leveldb.cli.job_report import report

    document = report(connection, reader, found)
    if as_json:
        render.document(document)
    else:
        _show(document, verbose)
    return 0


@click.command()
@click.argument('job_id', metavar='ID')
@options.url
@click.option('--follow', '-f', is_flag=True, help='Continue until the job ends.')
@click.pass_context
def logs(ctx: click.Context, job_id: str, url: str | None, follow: bool) -> int:
    """Show what the job ID printed, as `rq-leveldb job --log`. Its worker must run with --capture-output."""
    code: int = ctx.invoke(job, job_id=job_id, url=url, log=True, follow=follow)
    return code


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


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0


def _when(text: Any) -> str:
    return render.moment(read_timestamp(text)) if text else ''


def _show(report: dict[str, Any], verbose: bool) -> None:
    pairs = [
        ('Id', report['id']),
        ('Status', _status(report['status'])),
        ('Queue', report['queue']),
        ('Call', report['call']),
        ('Description', '' if report['description'] == report['call'] else report['description']),
        ('Progress', report['progress_text']),
        ('Meta', report['meta_text']),
        ('Result', report['result_text']),
    ]
    pairs += [('Waits because', reason) for reason in report['waits_because']]
    pairs += [
        (name.replace('_', ' ').removesuffix(' at').capitalize(), _when(report[name]))
        for name in ('created_at', 'due_at', 'enqueued_at', 'started_at', 'ended_at')
    ]
    if report['started_at'] and report['ended_at']:
        seconds = read_timestamp(report['ended_at']) - read_timestamp(report['started_at'])
        pairs.append(('Took', f'{seconds.total_seconds():.3f} s'))
    pairs.append(('Worker', report['worker']))
    if report['retries_left'] is not None:
        pairs.append(('Retries left', str(report['retries_left'])))
    pairs += _linked('Depends on', report['depends_on']) + _linked('Waiting for it', report['dependents'])
    pairs += [
        ('Unreadable', f'{fault["field"] or "all of it"}: {fault["value"]} ({fault["error"]})')
        for fault in report['unreadable']
    ]
    render.fields([(name, render.cut(value) if name != 'Status' else value) for name, value in pairs if value])
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
        click.echo(render.plain(report['error'].rstrip() if verbose else fold(report['error'])))
    if report['has_output']:
        click.echo(f'\nWhat it printed: rq-leveldb logs {report["id"]}')


def _status(status: str) -> str:
    colours = {'finished': 'green', 'failed': 'red', 'stopped': 'red', 'unreadable': 'red', 'started': 'cyan'}
    return click.style(status, fg=colours.get(status))


def _linked(name: str, jobs: list[dict[str, Any]]) -> list[tuple[str, str]]:
    shown = [(name, f'{job["id"]} ({job["status"] or "gone"})') for job in jobs[:_SHOWN_JOBS]]
    return shown + ([(name, f'and {len(jobs) - _SHOWN_JOBS} more')] if len(jobs) > _SHOWN_JOBS else [])

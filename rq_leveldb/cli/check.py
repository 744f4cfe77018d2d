"""rq-leveldb check: find what is damaged in a database, or does not hold together in RQ's data, and repair it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import StoreInUse
from rq_leveldb.location import DataDirectory, is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.store.check import Report
    from rq_leveldb.store.finding import Finding

__all__ = ['check']

_EPILOG = """\b
Without --fix nothing is changed; the report says what --fix would do.

\b
The files:
 - a damaged file keeps what can be read of it; a log ends where it is damaged;
 - a list, set, hash, sorted set or stream that lost members is rebuilt from
   those that are left; members whose key is lost get one, found:TYPE:NUMBER;
 - counts and the index of expiry are rebuilt.
The damaged database is kept as damaged-TIME in the data directory. Remove it
when you no longer need it.

\b
The jobs (--jobs), each in one atomic step, and only if it is still so then:
 - a job that is in no queue or registry is put where its status says;
 - a job that has ended but is in a queue gets the status queued;
 - a started job without an execution is left to the next worker, as abandoned;
 - an id of no job, or twice in a queue, is removed;
 - keys that belong to no job and do not expire are deleted.
Workers may run. A job that a worker may have in hand is only reported, with
what to do. What a worker repairs by itself is not reported. A job that was
taken off its queue by hand is put back: delete or cancel it first.
docs/reliability.rst lists every rule.

\b
Exit codes, for monitoring: 0 nothing is wrong, or it was repaired, or it is
harmless; 1 something is wrong; 2 the command was not understood; 3 (files
only) a store is running on the directory: stop it with rq-leveldb stop.
"""


@click.command(epilog=_EPILOG)
@options.url
@click.option('--jobs', is_flag=True, help='Check the jobs, not the files. The store runs, or is started.')
@click.option('--fix', is_flag=True, help='Repair what is wrong. Damaged files are kept.')
@options.json_output
def check(url: str | None, jobs: bool, fix: bool, as_json: bool) -> None:
    """Check the files of a stopped store; with --jobs, what RQ keeps in a store or server while it is in use.

    The files: reads every file of the database and every record in it, and reports what is damaged, lost or
    inconsistent. No store may be running (rq-leveldb stop). Clients wait until the check has ended. It takes about a
    minute for ten million records, and about 500 bytes of memory for each large list, set, hash, sorted set or stream.

    The jobs: reports jobs that no worker would ever find, entries without a job, and keys without an owner. The files
    of a Redis server are its own matter, so with a redis:// URL only the jobs are checked, with or without --jobs.
    """
    if jobs or (url is not None and is_redis_url(url)):
        from rq_leveldb.cli.check_jobs import check_jobs

        sys.exit(check_jobs(url, fix=fix, as_json=as_json))
    directory = parse(url).directory
    exists = directory.check()
    from rq_leveldb.store.check import Report
    from rq_leveldb.store.check import check as look

    try:
        with Progress() as shown:

            def progress(what: str, done: int, size: int) -> None:
                shown.show(f'Reading {what}', done, size)

            report = look(directory, fix=fix, progress=progress) if exists else Report([])
    except StoreInUse as error:
        error.advice = 'Stop it first: rq-leveldb stop. Clients start it again.'
        render.fail(error)
        sys.exit(3)
    if as_json:
        render.document(_described(report, directory))
    else:
        _show(report, directory)
    sys.exit(0 if report.sound or report.kept is not None else 1)


def _described(report: Report, directory: DataDirectory) -> dict[str, Any]:
    def described(finding: Finding) -> dict[str, Any]:
        found = asdict(finding)
        for name in ('first', 'last'):
            found[name] = found[name].hex() if found[name] is not None else None
        found['keys'] = [key.hex() for key in found['keys']]
        return found

    return {
        'directory': str(directory.path),
        'sound': report.sound,
        'mended': report.kept is not None,
        'keys': report.keys,
        'records': report.records,
        'findings': [described(finding) for finding in report.findings],
        'kept': str(report.kept) if report.kept is not None else None,
        'kept_bytes': report.kept_bytes,
    }


def _show(report: Report, directory: DataDirectory) -> None:
    done = 'Mended' if report.kept is not None else 'With --fix'
    if report.findings:
        rows = [(one.harmless, _place(one), one.problem, one.remedy) for one in report.findings]
        render.findings(rows, 'damaged', done, f'{done}: ')
    held = f'{report.keys} keys, {report.records} records in {directory.path}'
    if report.sound:
        click.echo(f'{render.good("Sound")}: {held}')
    elif report.kept is not None:
        click.echo(f'{render.good("Mended")}: {held}')
        click.echo(
            f'The damaged database is kept in {report.kept} ({render.size(report.kept_bytes)}); remove it when you no '
            'longer need it.'
        )
    else:
        click.echo(f'{render.bad("Damaged")}: {directory.path}. Nothing was changed.')
        click.echo('rq-leveldb check --fix makes the repairs listed above, and keeps the damaged database.')


def _place(finding: Finding) -> str:
    return finding.where if finding.at is None else f'{finding.where}, byte {finding.at}'

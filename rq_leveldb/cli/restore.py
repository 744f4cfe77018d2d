"""rq-leveldb restore: from a file into a place."""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rq_leveldb.cli import options, render
from rq_leveldb.cli.living import living_workers
from rq_leveldb.cli.notes import say_done, say_nothing_done, show_counts, show_notes, show_obstacles
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.snapshot import Dump, Restored

__all__ = ['restore']

_DONE = 'This dump was restored here within the last ten minutes, and nothing was done now.'
_EPILOG = """\b
Stop the workers first. It can be interrupted at any time: run the same
command again, and it goes on where it was. A file is checked as a whole
before anything is written; what comes from a pipe is checked block by block.

\b
A place that holds RQ data is refused, but
 --replace  removes that first (all keys of the database, after dump --all);
 --merge    keeps it: of a key that both have, a list gets the dump's elements
            after its own, a set or a sorted set has the members of both, with
            the dump's scores, and a hash the fields of both, with the dump's
            values; a job, a stream or a string that both have is refused,
            unless both are equal.

\b
  rq-leveldb restore --check /backup/jobs.dump
  rq-leveldb restore /backup/jobs.dump --url leveldb:///var/lib/app/jobs
  ssh backup cat jobs.dump | rq-leveldb restore -

\b
Exit codes: 0 done, or --check found nothing wrong; 1 the dump is damaged, or
a place failed; 2 the command was not understood; 3 something is in the way,
and nothing was done; 4 some keys were not restored, and are named;
130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument('file')
@options.url
@click.option('--check', is_flag=True, help='Read the dump, say whether all of it is right, and write nothing.')
@click.option('--replace', is_flag=True, help='Remove what the place holds first.')
@click.option('--merge', is_flag=True, help='Also into a place that holds RQ data.')
@options.json_output
def restore(file: str, url: str | None, check: bool, replace: bool, merge: bool, as_json: bool) -> None:
    """Bring what rq-leveldb dump has written to FILE into a place, a store or a Redis server.

    With - it comes from standard input. A key whose time of expiry has passed is left out.
    """
    if replace and merge:
        raise click.UsageError('--replace and --merge exclude each other.')
    if file == '-' and sys.stdin.isatty():
        raise click.UsageError('A dump is not typed: name a file, or let it come from a pipe.')
    from rq_leveldb.snapshot import BadDump

    with _opened(file) as source, Progress('keys') as shown:
        is_pipe = not stat.S_ISREG(os.fstat(source.fileno()).st_mode)
        if replace and is_pipe:
            raise click.UsageError(
                'What comes from a pipe cannot be checked before the place is emptied: for --replace, name a file.'
            )
        report: dict[str, Any] = {'file': file}
        keys = 0
        if check or not is_pipe:
            try:
                keys = _checked(source, file, report, shown)
            except BadDump as error:
                if not as_json:
                    raise
                render.document({'file': file, 'sound': False, **json.loads(error.to_json())})
                sys.exit(1)
        if check:
            shown.pause()
            _show_check(report, as_json=as_json)
            return
        if not is_pipe:
            source.seek(0)
        _restore(source, url or parse(None).url, keys, report, shown, as_json, merge=merge, replace=replace)


def _opened(file: str) -> Any:
    if file == '-':
        return nullcontext(sys.stdin.buffer)
    try:
        return open(file, 'rb')
    except OSError as error:
        raise StoreError(
            file, title=f'The dump cannot be read ({error.strerror})', advice='Name a file of rq-leveldb dump.'
        ) from error


def _checked(source: BinaryIO, file: str, report: dict[str, Any], shown: Progress) -> int:
    from rq_leveldb.snapshot import Dump

    dump = Dump(source, file)
    for _ in dump:
        shown.show('Checking', dump.kinds.total(), max(dump.kinds.total(), dump.header.keys))
    report.update(sound=True, dump=asdict(dump.header), keys=dump.kinds.total(), types=dict(dump.kinds))
    return dump.kinds.total()


def _restore(
    source: BinaryIO, url: str, keys: int, report: dict[str, Any], shown: Progress, as_json: bool, **how: bool
) -> None:
    from rq_leveldb.snapshot import Dump, Restorer

    dump = Dump(source, report['file'])
    if not is_redis_url(url):
        parse(url).directory.check()
    report.update(place=mask_password(url), dump=asdict(dump.header))
    with Restorer(url, dump.header, **how) as restorer:
        if restorer.is_done:
            say_done(report, _DONE, as_json=as_json)
            return
        obstacles = restorer.obstacles()
        for name, reason in living_workers(url).items():
            # An interrupted run has brought registrations of workers that were alive when the dump was made.
            if not (restorer.is_interrupted and reason):
                obstacles.append(
                    f'The worker {name} is registered on {mask_password(url)}: stop the workers first{reason}.'
                )
        report.update(goes_on=restorer.goes_on, in_the_way=obstacles)
        if obstacles:
            if as_json:
                render.document(report)
            else:
                show_obstacles(obstacles)
                say_nothing_done()
            sys.exit(3)
        total = keys or dump.header.keys
        count = 0

        def done(number: int) -> None:
            nonlocal count
            count += number
            shown.show('Restoring', count, max(count, total))

        outcome = restorer.run(dump, done)
    shown.pause()
    if as_json:
        render.document({**report, 'outcome': asdict(outcome)})
    else:
        _show(outcome, dump, url)
    sys.exit(4 if outcome.refused.count else 0)


def _time(made: int) -> str:
    return datetime.fromtimestamp(made / 1000, timezone.utc).strftime('%Y-%m-%d %H:%M:%S UTC')


def _show_check(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        render.document(report)
        return
    header = report['dump']
    kinds = ', '.join(f'{count:,} {kind}' for kind, count in sorted(report['types'].items()))
    render.fields(
        [
            ('Made', f'{_time(header["made"])}, by {header["by"]}'),
            ('From', f'{header["place"]} ({header["server"]})'),
            ('Keys', f'{report["keys"]:,}{f" ({kinds})" if kinds else ""}'),
            ('Scope', 'all keys of the database' if header['everything'] else "RQ's keys"),
            ('Moment', 'one for all keys' if header['is_one_moment'] else 'of each key its own'),
        ]
    )
    click.echo(f'{render.good("Sound")}: all of it is as it was written.')


def _show(outcome: Restored, dump: Dump, url: str) -> None:
    show_counts(
        (
            (outcome.written, 'written'),
            (outcome.present, 'there from before'),
            (outcome.merged, 'merged'),
            (outcome.expired, 'left out, since they have expired'),
        ),
        'none',
    )
    show_notes('Not restored', outcome.refused)
    if outcome.refused.count:
        click.echo(
            f'{render.bad("Not complete.")} See to the keys that are named here, and run the same command again.'
        )
        return
    click.echo(f'{render.good("Done")}: {mask_password(url)} has what the dump of {_time(dump.header.made)} has.')

"""rq-leveldb dump: everything that RQ keeps, into a file."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rq_leveldb.cli import options, render
from rq_leveldb.cli.notes import show_notes
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.snapshot import Dumped

__all__ = ['dump']

_EPILOG = """\b
The file has checksums and is compressed; rq-leveldb restore brings it into a
store or a Redis server, whichever it is from. It is written as FILE.tmp,
synced, and then renamed; only its owner can read it.

\b
  rq-leveldb dump /backup/jobs-$(date +%F).dump
  rq-leveldb dump - | ssh backup 'cat > jobs.dump'

\b
A store is written down as it is at one moment. Redis has none for its
clients: each key is whole, but keys are of different moments. Stop the
workers for the time of the dump if that matters.

\b
Exit codes: 0 done; 1 a place or the disk failed, and there is no new file;
2 the command was not understood; 4 done, but some keys cannot be in a dump,
and are named; 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument('file')
@options.url
@click.option('--all', 'everything', is_flag=True, help="All keys of the database, and not only RQ's and ours.")
@click.option('--force', is_flag=True, help='Replace a file of this name.')
@options.json_output
def dump(file: str, url: str | None, everything: bool, force: bool, as_json: bool) -> None:
    """Write everything that RQ keeps into FILE: jobs, queues, registries, results, with order and expiry.

    Nothing has to be stopped for it. With - it is written to standard output, and what there is to say to standard
    error.
    """
    is_pipe = file == '-'
    if is_pipe and sys.stdout.isatty():
        raise click.UsageError('A dump is no text for a terminal: name a file, or send it into a pipe.')
    url = url or parse(None).url
    if not is_redis_url(url) and not parse(url).directory.check():
        raise StoreError(url, title='There is no store', advice='Name the place that has the jobs, with --url.')
    from rq_leveldb.snapshot import Dumper
    from rq_leveldb.snapshot.new_file import new_file

    with (
        Progress('keys') as shown,
        Dumper(url, everything=everything, progress=shown.show) as dumper,
        nullcontext(sys.stdout.buffer) if is_pipe else new_file(Path(file), replace=force) as out,
    ):
        found = dumper.dump(out)
        out.flush()
    if as_json:
        report = {
            'file': file,
            'place': mask_password(url),
            'keys': found.keys,
            'types': dict(found.kinds),
            'bytes': found.bytes,
            'one_moment': found.is_one_moment,
            'refused': asdict(found.refused),
        }
        render.document(report, err=is_pipe)
    elif not is_pipe:
        _show(found, file)
    sys.exit(4 if found.refused.count else 0)


def _show(found: Dumped, file: str) -> None:
    show_notes('Not in the dump', found.refused)
    kinds = ', '.join(f'{count:,} {kind}' for kind, count in found.kinds.most_common())
    click.echo(
        f'{render.good("Done")}: {found.keys:,} keys{f" ({kinds})" if kinds else ""}, '
        f'{render.size(found.bytes)} in {file}'
    )
    if not found.is_one_moment:
        click.echo('Each key is whole; keys are of different moments, since Redis shows its clients no snapshot.')

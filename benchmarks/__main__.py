"""`python -m benchmarks`: measures rq-leveldb beside its peers on this machine, in this run, and prints a table."""

from __future__ import annotations

import importlib
import json
import logging
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.bench import Bench, Scenario
from benchmarks.peers import PEERS, versions
from benchmarks.report import COLUMNS, OURS, TCP, Report

MODULES = ('enqueue', 'dequeue', 'burst', 'first', 'million')
# A table that is cut off at 80 characters in a pipe would be of no use.
PIPE_WIDTH = 220


def scenarios() -> dict[str, Scenario]:
    modules = [importlib.import_module(f'benchmarks.{name}') for name in MODULES]
    return {scenario.name: scenario for module in modules for scenario in module.SCENARIOS}


@click.command(help=__doc__, context_settings={'help_option_names': ['-h', '--help']})
@click.argument('names', nargs=-1, metavar='[SCENARIO]...')
@click.option('--list', 'listing', is_flag=True, help='List the scenarios and stop.')
@click.option('--quick', is_flag=True, help='Small numbers: shows that all works, proves nothing.')
@click.option('--runs', type=click.IntRange(1), default=None, help='Runs of each peer (5; 3 with --quick).')
@click.option('--json', 'as_json', is_flag=True, help='Print JSON instead of a table.')
@click.option('--only', multiple=True, type=click.Choice(COLUMNS), help='Measure only these columns.')
@click.option(
    '--dir',
    'parent',
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=None,
    help="Where the peers' files go; on the disk that matters, since memory file systems make fsync free.",
)
@click.option(
    '--profile',
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help='Profile our store (py-spy) and client (cProfile) into this directory; numbers are then slower.',
)
@click.option('--self-test', is_flag=True, help='Measure a second Redis in our column: ratios must be about 1.')
def main(
    names: tuple[str, ...],
    listing: bool,
    quick: bool,
    runs: int | None,
    as_json: bool,
    only: tuple[str, ...],
    parent: Path | None,
    profile: Path | None,
    self_test: bool,
) -> None:
    known = scenarios()
    if listing:
        for scenario in known.values():
            click.echo(f'{scenario.name:20}{scenario.about}')
        return
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f'no scenario {unknown[0]!r}; there are: {", ".join(known)}')
    logging.disable(logging.INFO)
    out, err = Console(), Console(stderr=True)
    if not out.is_terminal:
        out = Console(width=PIPE_WIDTH)
    if profile:
        profile.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='benchmarks-', dir=parent) as directory:
        report = Report(versions(Path(directory)))
        columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn())
        times = (TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, *times, console=err, disable=not err.is_terminal, transient=True) as progress:
            bench = Bench(
                Path(directory),
                runs or (3 if quick else 5),
                quick,
                progress,
                profile,
                PEERS[TCP if self_test else OURS],
                only,
            )
            chosen = names or tuple(known)
            total = progress.add_task('scenarios', total=len(chosen))
            for name in chosen:
                report.rows += known[name].run(bench)
                progress.advance(total)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
        return
    report.print(out)
    if report.versions['file system'] in ('tmpfs', 'ramfs'):
        out.print('The files were in memory, where fsync costs nothing: choose a disk with --dir.')


main()

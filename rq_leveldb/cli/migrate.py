"""rq-leveldb migrate: everything that RQ keeps, from one place to another."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import render
from rq_leveldb.cli.living import living_workers
from rq_leveldb.cli.notes import say_done, say_nothing_done, show_counts, show_notes, show_obstacles
from rq_leveldb.cli.progress import Progress
from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.location import is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.migrate import LiveMigration, Migration, Outcome, Plan

__all__ = ['migrate']

_STATES = ('queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled')

_DONE = (
    'This migration was completed within the last ten minutes, and nothing was done now. What was written to the '
    'source since then is not in the target.'
)
_EPILOG = """\b
SOURCE and TARGET are URLs: leveldb:///dir, redis://, rediss:// or unix://;
- reads one from standard input, for a URL with a password. Stop the workers
on both sides first. It can be interrupted at any time: run the same command
again, and it goes on where it was.

\b
With --live, workers run on both sides, and whatever enqueues jobs has been
switched to TARGET, or is being switched. Jobs are moved a hundred at a time;
each can be taken by workers of one side only at any moment. Those that run
finish where they are, and it waits for them as long as SOURCE has a worker.
It may be interrupted as well. See docs/moving.rst for the steps.

\b
With --merge, of a key that both have
 - a list (a queue) gets the source's elements after its own;
 - a set or a sorted set has the members of both, with the source's scores;
 - a hash has the fields of both, with the source's values; a job that both
   have is refused;
 - a stream has the entries of both, in order; an id that both have is refused;
 - a string is refused, unless both are equal.

\b
Exit codes: 0 done and verified, or --dry-run found nothing in the way; 1 a
place failed or could not be reached; 2 the command was not understood;
3 something is in the way, and nothing was done; 4 some keys or jobs were not
carried over or not removed, and are named; 130 interrupted.
"""


@click.command(epilog=_EPILOG)
@click.argument('source')
@click.argument('target')
@click.option('--dry-run', is_flag=True, help='Say what there is to do and what is in the way, and change nothing.')
@click.option('--merge', is_flag=True, help='Also into a target that holds RQ data.')
@click.option('--move', is_flag=True, help='Remove from the source what is verified.')
@click.option('--live', is_flag=True, help='Move the jobs while workers and producers are at work on both sides.')
@click.option('--all', 'everything', is_flag=True, help="All keys of the database, and not only RQ's and ours.")
@click.option('--json', 'as_json', is_flag=True, help='One JSON object, for programs.')
def migrate(
    source: str, target: str, dry_run: bool, merge: bool, move: bool, live: bool, everything: bool, as_json: bool
) -> None:
    """Copy everything that RQ keeps from SOURCE to TARGET: jobs, queues, registries, results, with order and expiry.

    In the end every key is read again on both sides, and their digests are compared.
    """
    if live and (merge or move or everything):
        raise click.UsageError('--live moves jobs, and merges where it can: leave out --merge, --move and --all.')
    source, target = _given('source', source), _given('target', target)
    if not _exists(source):
        raise StoreError(source, title='There is no store', advice='Name the place that has the jobs.')
    _exists(target)
    report: dict[str, Any] = {'source': mask_password(source), 'target': mask_password(target)}
    with ExitStack() as stack:
        shown = stack.enter_context(Progress('jobs' if live else 'keys'))
        migration: Migration | LiveMigration
        if live:
            from rq_leveldb.migrate import LiveMigration

            migration = LiveMigration(source, target, is_worked=lambda: _is_worked(source), progress=shown.show)
        else:
            from rq_leveldb.migrate import Migration

            migration = Migration(source, target, everything=everything, merge=merge, move=move, progress=shown.show)
        stack.enter_context(migration)
        plan = migration.plan()
        if plan.is_done and not plan.obstacles:
            say_done(report, _DONE, as_json=as_json)
            return
        if not live:
            for url in (source, target):
                plan.obstacles += (_worker_sentence(url, name, why) for name, why in living_workers(url).items())
        queues = _queues(source)
        report['plan'] = {
            'keys': plan.keys,
            'types': dict(plan.kinds),
            'bytes': plan.bytes,
            'queues': queues,
            'goes_on': plan.goes_on,
            'in_the_way': plan.obstacles,
            'conflicts': asdict(plan.conflicts),
            'warnings': plan.warnings,
        }
        if not as_json:
            shown.pause()
            _show_plan(plan, queues, source, target)
        outcome = migration.run(plan) if plan.may_begin and not dry_run else None
    if outcome is not None:
        report['outcome'] = {name: value for name, value in asdict(outcome).items() if not name.startswith('names_')}
    if as_json:
        render.document(report)
    elif outcome is not None:
        if live:
            _show_moved(outcome, source, target)
        else:
            _show_outcome(outcome, source, target, is_move=move)
    elif not plan.may_begin:
        say_nothing_done()
    else:
        click.echo('Nothing is in the way. Nothing was changed.')
    if outcome is None:
        sys.exit(0 if plan.may_begin else 3)
    sys.exit(0 if outcome.complete and not outcome.left.count else 4)


def _given(name: str, url: str) -> str:
    """Return a URL that was given; `-` keeps one with a password off the command line, which everybody can read."""
    if url != '-':
        return url
    if sys.stdin.isatty():
        return str(click.prompt(f'URL of the {name}', hide_input=True, err=True))
    return sys.stdin.readline().strip()


def _exists(url: str) -> bool:
    """Say whether there is a store or may be a server; a URL that names neither is an error."""
    return is_redis_url(url) or parse(url).directory.check()


def _is_worked(url: str) -> bool:
    from redis.exceptions import ConnectionError, TimeoutError

    try:
        return bool(living_workers(url))
    except (ConnectionError, TimeoutError):
        # The migration's own connection is cut as well, and says what to do.
        return True


def _worker_sentence(url: str, name: str, reason: str) -> str:
    return f'The worker {name} is registered on {mask_password(url)}: stop the workers on both sides first{reason}.'


def _queues(url: str) -> dict[str, dict[str, int | None]]:
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.lookup import count_jobs, find_queues

    with Redis.from_url(url) as connection:
        names = find_queues(connection).names
        counts = count_jobs(connection, names)
    return {name: {state: states[state] for state in _STATES} for name, states in zip(names, counts, strict=True)}


def _show_plan(plan: Plan, queues: dict[str, dict[str, int | None]], source: str, target: str) -> None:
    kinds = ', '.join(f'{count:,} {kind}' for kind, count in plan.kinds.most_common())
    render.fields(
        [
            ('From', mask_password(source)),
            ('To', mask_password(target)),
            *(
                [
                    ('Keys', f'{plan.keys:,} ({kinds})'),
                    ('Size', f'about {render.size(plan.bytes)} in the memory of the source'),
                ]
                if kinds
                else []
            ),
        ]
    )
    if queues:
        click.echo()
        render.table(
            ('queue', *_STATES),
            [
                (name, *('?' if states[state] is None else states[state] or 0 for state in _STATES))
                for name, states in queues.items()
            ],
        )
    click.echo()
    if plan.is_verified:
        click.echo('All of it was copied and verified before, and its removal from the source was interrupted.')
    elif plan.goes_on:
        click.echo('Goes on with a migration that was interrupted.')
    for warning in plan.warnings:
        click.echo(f'{click.style("Warning:", fg="yellow")} {warning}')
    show_obstacles(plan.obstacles)
    show_notes('In the way', plan.conflicts)


def _show_outcome(outcome: Outcome, source: str, target: str, *, is_move: bool) -> None:
    show_counts(
        (
            (outcome.copied, 'copied'),
            (outcome.present, 'there from before'),
            (outcome.merged, 'merged'),
            (outcome.recopied, 'copied again, since they changed meanwhile'),
            (outcome.dropped, 'removed again, since the source has them no more'),
            (outcome.removed, 'removed from the source'),
        ),
        'nothing to do',
    )
    show_notes('Not carried over', outcome.refused)
    show_notes('Not equal', outcome.changing)
    show_notes('Left in the source', outcome.left)
    if not outcome.complete:
        click.echo(
            f'{render.bad("Not complete.")} Stop what writes to the two places, see to what is '
            'named here, and run the same command again.'
        )
    elif outcome.left.count:
        click.echo(
            f'{click.style("Copied", fg="yellow", bold=True)}, but not all could be removed from the source. Stop what '
            'writes to it, and run the same command again.'
        )
    else:
        said = f': {outcome.verified:,} keys are equal in both places, order aside where it means nothing'
        click.echo(f'{render.good("Done and verified")}{said if outcome.verified else ""}.')
        if not is_move:
            click.echo(f'Nothing was removed from {mask_password(source)}.')
        click.echo(f'Use it with RQ_LEVELDB_URL={mask_password(target)}')


def _show_moved(outcome: Outcome, source: str, target: str) -> None:
    click.echo(f'Jobs: {outcome.moved:,} moved, each read back in the target before it was removed from the source')
    show_notes('Left in the source', outcome.left, 'jobs')
    if outcome.left.count:
        click.echo(
            f'{click.style("Not all were moved.", fg="yellow", bold=True)} See to those that are named here, and run '
            'the same command again.'
        )
    else:
        click.echo(
            f'{render.good("Done")}: {mask_password(source)} has no job any more. Stop its '
            f'workers, and use RQ_LEVELDB_URL={mask_password(target)}'
        )

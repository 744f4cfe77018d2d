"""rq-leveldb cron-jobs: the entries of cron with their next runs; running one now, disabling it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render

if TYPE_CHECKING:
    from rq_leveldb.jobs.cron_entries import CronEntry

__all__ = ['cron_jobs']

# So much of an id tells entries of one name apart.
_SHOWN_ID = 8

_EPILOG = """\b
Examples:
  rq-leveldb cron-jobs                        all entries, and when they run next
  rq-leveldb cron-jobs run app.tasks.report   run it now, whenever it is due
  rq-leveldb cron-jobs disable app.tasks.report
  rq-leveldb cron-jobs enable app.tasks.report

\b
Entries of RQ's own rq cron are listed without an id. Only that process knows
when they are due, so they cannot be changed here.
"""


@click.group('cron-jobs', invoke_without_command=True, epilog=_EPILOG)
@options.url
@options.json_output
@click.pass_context
def cron_jobs(ctx: click.Context, url: str | None, as_json: bool) -> int:
    """List the cron entries of running workers with their next runs; run, disable or enable one."""
    ctx.obj = url
    if ctx.invoked_subcommand is not None:
        return 0
    from rq_leveldb.jobs.cron_entries import find_cron_entries
    from rq_leveldb.lookup import Strange

    strange: list[Strange] = []
    entries = find_cron_entries(_connection(url), strange)
    if as_json:
        notes = [{'key': item.key, 'reason': item.reason} for item in strange]
        click.echo(json.dumps({'entries': [_document(entry) for entry in entries], 'unreadable': notes}, indent=2))
        return 0
    if entries:
        render.table(['name', 'queue', 'when', 'next run', 'last run', 'id'], [_row(item) for item in entries], texts=6)
    else:
        click.echo('No running worker has cron entries. Start one: rq-leveldb worker --cron FILE')
    for item in strange:
        click.echo(f'{click.style("Cannot be read:", fg="yellow")} {item.key}: {item.reason}', err=True)
    return 0


@cron_jobs.command()
@click.argument('names', nargs=-1, required=True, metavar='NAME...')
@options.url
@click.pass_obj
def run(group_url: str | None, names: tuple[str, ...], url: str | None) -> int:
    """Run the entries with these names or ids now, also disabled ones. When they are due next stays as it is."""
    from rq_leveldb.jobs.cron_entries import run_now

    return _do(_connection(url or group_url), names, run_now, 'Running {} in a moment.')


@cron_jobs.command()
@click.argument('names', nargs=-1, required=True, metavar='NAME...')
@options.url
@click.pass_obj
def disable(group_url: str | None, names: tuple[str, ...], url: str | None) -> int:
    """Let the entries with these names or ids not run any more, until they are enabled."""
    from rq_leveldb.jobs.cron_entries import set_enabled

    return _do(
        _connection(url or group_url), names, lambda place, entry: set_enabled(place, entry, False), 'Disabled {}.'
    )


@cron_jobs.command()
@click.argument('names', nargs=-1, required=True, metavar='NAME...')
@options.url
@click.pass_obj
def enable(group_url: str | None, names: tuple[str, ...], url: str | None) -> int:
    """Let the entries with these names or ids run again when they are due. What was left out is not made up for."""
    from rq_leveldb.jobs.cron_entries import set_enabled

    return _do(
        _connection(url or group_url), names, lambda place, entry: set_enabled(place, entry, True), 'Enabled {}.'
    )


def _connection(url: str | None) -> Any:
    from rq_leveldb.client.connection import Redis

    return Redis.from_url(url) if url is not None else Redis()


def _do(connection: Any, names: Sequence[str], act: Callable[[Any, str], bool], done: str) -> int:
    from rq_leveldb.jobs.cron_entries import find_cron_entries

    entries = find_cron_entries(connection, [])
    code = 0
    for name in names:
        found = {entry.id: entry for entry in entries if name in (entry.definition.name, entry.id)}
        found = found or {entry.id: entry for entry in entries if (entry.id or '').startswith(name)}
        ids = [entry_id for entry_id in found if entry_id is not None]
        if len(ids) == 1 and act(connection, ids[0]):
            click.echo(done.format(found[ids[0]].definition.name))
            continue
        code = 1
        if len(ids) > 1:
            shown = ', '.join(entry_id[:_SHOWN_ID] for entry_id in ids)
            render.complain(f'{len(ids)} entries have the name {name}', f'Say which by its id: {shown}')
        elif None in found:
            render.complain(
                f"{name} is an entry of RQ's own rq cron", 'Run its file with rq-leveldb worker --cron FILE.'
            )
        elif ids:
            render.complain(f'when {name} is due cannot be read', 'Its worker writes it anew within a second.')
        else:
            render.complain(f'no running worker has a cron entry {name}', 'rq-leveldb cron-jobs lists them.')
    return code


def _row(entry: CronEntry) -> list[str]:
    definition = entry.definition
    when = definition.cron or f'every {render.duration(definition.interval or 0)}'
    following = 'disabled' if entry.is_disabled else render.moment(entry.next_at)
    cells = [definition.name, definition.queue_name, when, following, render.moment(entry.last_at)]
    return [*map(render.cut, cells), (entry.id or '')[:_SHOWN_ID]]


def _document(entry: CronEntry) -> dict[str, Any]:
    definition = entry.definition
    return {
        'id': entry.id,
        'name': definition.name,
        'function': definition.func_name,
        'queue': definition.queue_name,
        'cron': definition.cron,
        'interval_seconds': definition.interval,
        'is_enabled': not entry.is_disabled,
        'last_at': entry.last_at.isoformat() if entry.last_at is not None else None,
        'next_at': entry.next_at.isoformat() if entry.next_at is not None else None,
    }

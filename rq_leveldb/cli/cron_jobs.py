"""rq-leveldb cron-jobs: the entries of cron with their next runs; running one now, disabling it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import options, render

if TYPE_CHECKING:
    from rq_leveldb.jobs.cron_entries import CronEntry

__all__ = ['cron_jobs']

# So much of an id tells entries of one name apart.
_SHOWN_ID = 8
_DONE = {'run': 'A worker runs', 'disable': 'Disabled', 'enable': 'Enabled'}

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


@click.command('cron-jobs', epilog=_EPILOG)
@click.argument('action', required=False, type=click.Choice(('run', 'disable', 'enable')))
@click.argument('names', nargs=-1, metavar='[NAME]...')
@options.url
@options.json_output
def cron_jobs(action: str | None, names: tuple[str, ...], url: str | None, as_json: bool) -> int:
    """List the cron entries of running workers with their next runs, or do something with those of some names or ids.

    run: a worker enqueues it now, also if it is disabled; when it is due next stays as it is. disable: it does not run
    until it is enabled; what is left out meanwhile is not made up for.
    """
    from rq_leveldb.client.connection import Redis
    from rq_leveldb.jobs.cron_document import cron_document
    from rq_leveldb.jobs.cron_entries import find_cron_entries
    from rq_leveldb.lookup import Strange

    if action is not None and not names:
        raise click.UsageError(f'Say which entries to {action}, by name or id.')
    connection: Any = Redis.from_url(url) if url is not None else Redis()
    strange: list[Strange] = []
    entries = find_cron_entries(connection, strange)
    code = 0
    if action is not None:
        code = max([_act(connection, entries, action, name, as_json) for name in names])
        entries = find_cron_entries(connection, [])
    if as_json:
        render.document({'entries': list(map(cron_document, entries)), 'unreadable': list(map(vars, strange))})
        return code
    if action is None:
        if entries:
            table = [_row(entry) for entry in entries]
            render.table(['name', 'queue', 'when', 'next run', 'last run', 'id'], table, texts=6)
        else:
            click.echo('No running worker has cron entries. Start one: rq-leveldb worker --cron FILE')
    render.unreadable(strange)
    return code


def _act(connection: Any, entries: Sequence[CronEntry], action: str, name: str, is_quiet: bool) -> int:
    """Do something with the entry of a name, and return the exit code."""
    from rq_leveldb.jobs.cron_entries import run_now, set_enabled

    found = {entry.id: entry for entry in entries if name in (entry.definition.name, entry.id)}
    if not found and len(name) >= _SHOWN_ID:
        found = {entry.id: entry for entry in entries if (entry.id or '').startswith(name)}
    ids = [entry_id for entry_id in found if entry_id is not None]
    if len(ids) > 1:
        shown = ', '.join(entry_id[:_SHOWN_ID] for entry_id in ids)
        render.complain(f'{len(ids)} entries have the name {name}', f'Say which by its id: {shown}')
        return 1
    if not ids:
        if found:
            what = f"{name} is an entry of RQ's own rq cron"
            render.complain(what, 'Run its file with rq-leveldb worker --cron FILE instead.')
        else:
            render.complain(f'no running worker has a cron entry {name}', 'rq-leveldb cron-jobs lists them.')
        return 1
    (entry_id,) = ids
    is_done = (
        run_now(connection, entry_id) if action == 'run' else set_enabled(connection, entry_id, action == 'enable')
    )
    if not is_done:
        render.complain(f'when {name} is due cannot be read', 'Its worker writes it anew within a second.')
        return 1
    if not is_quiet:
        click.echo(f'{_DONE[action]} {found[entry_id].definition.name}.')
    return 0


def _row(entry: CronEntry) -> list[str]:
    definition = entry.definition
    when = definition.cron or f'every {render.duration(definition.interval or 0)}'
    following = 'disabled' if entry.is_disabled else render.moment(entry.next_at)
    cells = [definition.name, definition.queue_name, when, following, render.moment(entry.last_at)]
    return [*map(render.cut, cells), (entry.id or '')[:_SHOWN_ID]]

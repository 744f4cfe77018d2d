"""rq-leveldb status: where the data is, whether a store is running, how many jobs there are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rq_leveldb.cli import check_options, options, render
from rq_leveldb.errors import StoreError, mask_password
from rq_leveldb.location import Location, is_redis_url, parse

if TYPE_CHECKING:
    from rq_leveldb.client.connection import Redis

__all__ = ['status']

# Seconds within which the store has to answer.
_PATIENCE = 5.0
# The last state is brief, and shown only if there are such jobs.
_STATES = ('queued', 'started', 'finished', 'failed', 'deferred', 'scheduled', 'canceled', 'ready_to_enqueue')


@click.command(epilog=check_options.EPILOG)
@options.url
@options.json_output
@check_options.check_options
def status(url: str | None, as_json: bool, check: bool, **limits: Any) -> int:
    """Show where the data is, whether a store is running (pid, version, uptime, sizes), and jobs per queue and state.

    This starts nothing. If the store is not running, only its place and its size on disk are known. A Redis or Valkey
    server is asked for its version, memory, eviction policy and persistence; a setting that may lose jobs is named.
    Only with --check a store is started, for it has to be asked.
    """
    if check:
        from rq_leveldb.cli.status_check import Thresholds, run_check

        directory = None if url is not None and is_redis_url(url) else parse(url).directory.path
        return run_check(url or parse(None).url, directory, Thresholds(**limits), _PATIENCE, as_json)
    if url is not None and is_redis_url(url):
        report = _server(url)
    else:
        report = _store(parse(url))
    if as_json:
        render.document(report)
    else:
        _show(report)
    return 0


def _store(location: Location) -> dict[str, Any]:
    from rq_leveldb.client import autostart

    directory = location.directory
    exists = directory.check()
    running = autostart.running_store(directory)
    report: dict[str, Any] = {
        'url': location.url,
        'directory': str(directory.path),
        'exists': exists,
        'running': running is not None,
        'pid': running[0].pid if running else None,
        'version': running[1] if running else None,
        'disk_bytes': _tree_size(directory.path) if exists else 0,
        'database_bytes': _tree_size(directory.database) if exists else 0,
    }
    if running is not None:
        from redis.exceptions import TimeoutError as StoreTimeout

        from rq_leveldb.client.connection import Redis

        try:
            with Redis.from_url(location.url, socket_timeout=_PATIENCE) as connection:
                report.update(_process(connection))
                report.update(_contents(connection))
        except StoreTimeout as error:
            pid = running[0].pid
            raise StoreError(
                str(directory.path),
                title=f'The store (process {pid}) is running but does not answer',
                advice=f'It may be stopped (kill -CONT {pid} resumes it), or its disk may hang; see store.log there.',
            ) from error
    return report


def _server(url: str) -> dict[str, Any]:
    from rq_leveldb.cli.server_state import read_server
    from rq_leveldb.client.connection import Redis

    with Redis.from_url(url, socket_timeout=_PATIENCE) as connection:
        return {'url': mask_password(url), 'running': True, **read_server(connection), **_contents(connection)}


def _process(connection: Redis) -> dict[str, Any]:
    """Return what a running store says about its process."""
    info = connection.info()
    return {
        'pid': info.get('process_id'),
        'version': info.get('rq_leveldb_version'),
        'uptime_seconds': info.get('uptime_in_seconds'),
        'fsync': connection.config_get('appendfsync').get('appendfsync'),
        # Not counting this command's own connection.
        'clients': max(0, int(info.get('connected_clients', 1)) - 1),
        'memory_bytes': info.get('used_memory_rss'),
    }


def _contents(connection: Redis) -> dict[str, Any]:
    """Return what is in a running store or server."""
    from rq.suspension import is_suspended

    from rq_leveldb.lookup import count_jobs, find_paused, find_queues, find_workers, registry_key
    from rq_leveldb.unreadable import read_aside

    registered = find_workers(connection)
    unreadable: list[dict[str, str]] = []
    workers, gone, served = _workers(registered.names, connection, unreadable)
    queues = find_queues(connection)
    counts = dict(zip(queues.names, count_jobs(connection, queues.names), strict=True))
    paused = find_paused(connection)
    strange = (*queues.strange, *registered.strange, *paused.strange)
    unreadable += [{'key': item.key, 'reason': item.reason} for item in strange]
    unreadable += [
        {'key': registry_key(state, name), 'reason': 'holds another type of value'}
        for name, states in counts.items()
        for state, number in states.items()
        if number is None
    ]
    unreadable += [{'key': item.key, 'reason': item.reason} for item in read_aside(connection)]
    return {
        'workers': workers,
        'workers_gone': gone,
        'suspended': bool(is_suspended(connection)),
        'queues': {name: {state: states[state] for state in _STATES} for name, states in counts.items()},
        'paused': paused.names,
        'unserved': [
            name
            for name, states in counts.items()
            if states['queued'] and name not in served and name not in paused.names
        ],
        'unreadable': unreadable,
    }


def _workers(names: Sequence[str], connection: Redis, unreadable: list[dict[str, str]]) -> tuple[int, int, set[str]]:
    """Return how many workers are alive, how many are dead but not cleaned up yet, and the queues of the former."""
    from rq_leveldb.cli.workers_seen import read_workers
    from rq_leveldb.worker.liveness import is_surely_dead

    lived = gone = 0
    served: set[str] = set()
    for worker in read_workers(connection, names):
        identity = worker.identity
        worker.fields.whole('pid')
        unreadable += [{'key': worker.key, 'reason': str(fault)} for fault in worker.fields.faults]
        if is_surely_dead(connection, worker.name, identity):
            gone += 1
        else:
            lived += 1
            served.update((worker.fields.text('queues') or '').split(','))
    return lived, gone, served


def _tree_size(path: Path) -> int:
    """Return the total size in bytes of the files under a path; files may come and go meanwhile."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def _show(report: dict[str, Any]) -> None:
    lines = []
    if 'directory' in report:
        lines.append(('Data', report['directory'] if report['exists'] else f'{report["directory"]} (not created yet)'))
    lines.append(('URL', report['url']))
    if 'server' in report:
        from rq_leveldb.cli.server_state import server_rows

        lines += server_rows(report)
    elif report['running']:
        lines.append(
            (
                'Store',
                f'{click.style("running", fg="green")}, pid {report["pid"]}, version {report["version"]}, '
                f'up {render.duration(report["uptime_seconds"] or 0)}',
            )
        )
        lines.append(('Durability', f'fsync {report["fsync"]}'))
        lines.append(('Clients', str(report['clients'])))
        if report['memory_bytes']:
            lines.append(('Memory', render.size(report['memory_bytes'])))
    else:
        lines.append(('Store', f'{click.style("not running", fg="yellow")}; it starts with the next command'))
    if report.get('exists'):
        lines.append(('Disk', f'{render.size(report["disk_bytes"])}, {render.size(report["database_bytes"])} database'))
    if report['running']:
        suspended = click.style(', suspended (rq-leveldb resume)', fg='yellow') if report['suspended'] else ''
        gone = report['workers_gone']
        died = click.style(f', {gone} died: the next worker recovers its jobs', fg='yellow') if gone else ''
        lines.append(('Workers', f'{report["workers"]}{died}{suspended}'))
        if report['paused']:
            names = render.cut(', '.join(report['paused']))
            lines.append(('Paused', f'{click.style(names, fg="yellow")} (rq-leveldb unpause QUEUE)'))
    render.fields(lines)
    for warning in report.get('warnings', ()):
        click.echo(f'{click.style("Warning:", fg="yellow")} {warning}')
    if report.get('queues'):
        click.echo()
        states = [
            state
            for state in _STATES
            if state != _STATES[-1] or any(counts[state] for counts in report['queues'].values())
        ]
        render.table(
            ('queue', *(state.replace('_', ' ') for state in states)),
            [
                (
                    f'{name} (paused)' if name in report['paused'] else name,
                    *('?' if counts[state] is None else counts[state] for state in states),
                )
                for name, counts in report['queues'].items()
            ],
        )
        for name in report['unserved']:
            waiting = f'{name}: {report["queues"][name]["queued"]} queued, and no worker serves it.'
            click.echo(f'\n{click.style(waiting, fg="yellow")} Start one: rq-leveldb worker {name}')
    elif report['running']:
        click.echo('\nNo queues yet.')
    if report.get('unreadable'):
        click.echo(f'\n{click.style("Cannot be read:", fg="yellow")}')
        render.fields([(item['key'], item['reason']) for item in report['unreadable']])

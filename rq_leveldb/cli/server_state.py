"""What a real server says about itself, and whether it is set up to keep jobs: for rq-leveldb status."""

from __future__ import annotations

from typing import Any

import click
from redis import Redis
from redis.exceptions import ResponseError

from rq_leveldb.cli import render

__all__ = ['read_server', 'server_rows']


def read_server(connection: Redis) -> dict[str, Any]:
    """Return what a server says about itself; null for what the user of the connection may not ask.

    Fields are those of INFO and of CONFIG GET, by names that say more. `warnings` has a sentence for each setting with
    which jobs may get lost.

    Args:
        connection: the server, Redis or Valkey.
    """
    warnings: list[str] = []
    info: dict[str, Any] = {}
    try:
        info = dict(connection.info())
    except ResponseError as error:
        warnings.append(f'The state of the server is not known: {error}')
    settings: dict[str | None, str | None] = {}
    try:
        # One at a time: before Redis 7.0 it took only one name.
        for name in ('save', 'appendfsync'):
            settings.update(connection.config_get(name))
    except ResponseError:
        # Many providers do not offer the command.
        pass
    has_file = bool(info['aof_enabled']) if 'aof_enabled' in info else None
    report = {
        'server': 'Valkey' if 'valkey_version' in info else 'Redis',
        'version': info.get('valkey_version', info.get('redis_version')),
        'pid': info.get('process_id'),
        'uptime_seconds': info.get('uptime_in_seconds'),
        # Not counting this command's own connection.
        'clients': max(0, int(info['connected_clients']) - 1) if 'connected_clients' in info else None,
        'memory_bytes': info.get('used_memory'),
        'memory_limit_bytes': info.get('maxmemory'),
        'eviction_policy': info.get('maxmemory_policy'),
        'append_only_file': has_file,
        'fsync': settings.get('appendfsync') if has_file else None,
        'snapshots': settings.get('save'),
        'role': info.get('role'),
    }
    return {**report, 'warnings': [*warnings, *_warnings(report, info)]}


def _warnings(report: dict[str, Any], info: dict[str, Any]) -> list[str]:
    found = []
    if report['eviction_policy'] not in (None, 'noeviction'):
        found.append(
            f'With the eviction policy {report["eviction_policy"]} the server may remove jobs when its memory is '
            'full. Set maxmemory-policy noeviction.'
        )
    if report['append_only_file'] is False and report['snapshots'] == '':
        found.append('Persistence is off: all jobs are lost when the server restarts. Set appendonly yes.')
    if info.get('rdb_last_bgsave_status') == 'err' or info.get('aof_last_write_status') == 'err':
        found.append('The server could not save its data the last time. Its log says why.')
    if report['role'] == 'slave':
        found.append('This server is a replica and takes no writes. Name its primary in the URL.')
    return found


def server_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what `read_server` found, as names and values to show.

    Args:
        report: what it returned.
    """
    rows = [('Server', f'{click.style("running", fg="green")}, {report["server"]} {report["version"] or "(unknown)"}')]
    if report['pid'] is not None:
        rows[0] = ('Server', f'{rows[0][1]}, pid {report["pid"]}, up {render.duration(report["uptime_seconds"] or 0)}')
        rows.append(('Clients', str(report['clients'])))
    if report['memory_bytes'] is not None:
        limit = report['memory_limit_bytes']
        rows.append(('Memory', render.size(report['memory_bytes']) + (f' of {render.size(limit)}' if limit else '')))
    if report['eviction_policy'] is not None:
        rows.append(('Eviction', _marked(report['eviction_policy'], report['eviction_policy'] == 'noeviction')))
    if report['append_only_file'] is not None:
        rows.append(('Persistence', _persistence(report)))
    return rows


def _persistence(report: dict[str, Any]) -> str:
    kinds = []
    if report['append_only_file']:
        kinds.append('append-only file' + (f', fsync {report["fsync"]}' if report['fsync'] else ''))
    if report['snapshots'] is None:
        kinds.append('snapshots unknown')
    elif report['snapshots']:
        kinds.append(f'snapshots (save {report["snapshots"]})')
    return _marked('; '.join(kinds) or 'off', bool(kinds))


def _marked(text: str, is_good: bool) -> str:
    return text if is_good else click.style(text, fg='yellow')

"""INFO, of the server group."""

from __future__ import annotations

import os
import time

from rq_leveldb.location import DATABASES
from rq_leveldb.process import resident_bytes
from rq_leveldb.store.context import Context
from rq_leveldb.store.descriptors import most_clients
from rq_leveldb.store.info import REDIS_VERSION, one_word
from rq_leveldb.store.replies import Reply, Verbatim
from rq_leveldb.version import __version__


def info(ctx: Context, argv: list[bytes]) -> Reply:
    asked = [argument.decode('latin-1').lower() for argument in argv[1:]] or ['default']
    # Counted only if requested: RQ keeps asking for other sections.
    wanted = not {'keyspace', 'default', 'all', 'everything'}.isdisjoint(asked)
    databases: list[tuple[int, int, int]] = []
    if wanted and not ctx.services.refused():
        expiring = ctx.keys.count_expiring()
        databases = [(db, count, expiring[db]) for db in range(DATABASES) if (count := ctx.keys.count(db))]
    found = _sections(ctx, databases)
    if 'all' in asked or 'everything' in asked:
        asked = list(found)
    elif 'default' in asked:
        asked += [name for name in found if name not in ('commandstats', 'latencystats')]
    text = '\r\n'.join(
        f'# {name.capitalize()}\r\n' + ''.join(f'{key}:{value}\r\n' for key, value in found[name].items())
        for name in found
        if name in asked
    )
    return Verbatim(text.encode())


def _sections(ctx: Context, databases: list[tuple[int, int, int]]) -> dict[str, dict[str, object]]:
    """Return the sections in order, each with its lines.

    Args:
        ctx: the command's context.
        databases: number, keys and keys with an expiry of each database that holds keys.
    """
    services, settings, statistics = ctx.services, ctx.services.settings, ctx.services.statistics
    pubsub = services.pubsub
    unswept, swept = services.sweeper.counts()
    compacted = services.compaction.share()
    now = time.time()
    uptime = int(time.monotonic() - statistics.started)
    resident = resident_bytes()
    usage = os.times()
    return {
        'server': {
            'redis_version': REDIS_VERSION,
            'redis_mode': 'standalone',
            'rq_leveldb_version': __version__,
            'os': ' '.join((os.uname().sysname, os.uname().release, os.uname().machine)),
            'arch_bits': 64,
            'process_id': os.getpid(),
            'tcp_port': settings.port,
            'server_time_usec': int(now * 1e6),
            'uptime_in_seconds': uptime,
            'uptime_in_days': uptime // 86400,
            'executable': '',
            'config_file': '',
            'exit_after_idle_seconds': f'{settings.idle:g}',
            'data_directory': one_word(str(settings.directory.path)),
        },
        'clients': {
            'connected_clients': len(services.clients),
            'maxclients': most_clients(),
            'blocked_clients': services.blocked_clients(),
            'pubsub_clients': sum(state.subscribed for state in services.clients.values()),
            'watching_clients': sum(bool(state.watched) for state in services.clients.values()),
            'total_blocking_keys': len(services.waiting.lines),
        },
        'memory': {
            'used_memory': resident,
            'used_memory_human': f'{resident / 2**20:.2f}M',
            'used_memory_rss': resident,
            'used_memory_peak': resident,
            'number_of_cached_scripts': services.sandbox.count(),
            'maxmemory': 0,
            'maxmemory_policy': 'noeviction',
            'lazyfree_pending_objects': unswept,
            'lazyfreed_objects': swept,
        },
        'persistence': {
            'loading': 0,
            'fsync': settings.fsync,
            'aof_enabled': 1,
            'rdb_changes_since_last_save': ctx.keys.changes,
            'rdb_bgsave_in_progress': 0,
            'rdb_last_save_time': int(statistics.saved),
            'rdb_last_bgsave_status': 'ok',
            'aof_rewrite_in_progress': int(compacted is not None),
            'compacted_percent': int(100 * (compacted or 0.0)),
            'aof_last_bgrewrite_status': 'ok',
            'aof_last_write_status': 'err' if services.write_trouble() else 'ok',
            'disk_bytes': ctx.keys.size_on_disk(),
            'commits': statistics.commits,
            'syncs': statistics.syncs,
            'longest_unsynced_ms': int(statistics.longest_unsynced * 1000),
            'write_errors': statistics.write_errors,
            'last_write_error': one_word(statistics.last_write_error, ' '),
        },
        'stats': {
            'total_connections_received': statistics.connections,
            'total_commands_processed': statistics.commands,
            'total_net_input_bytes': statistics.input_bytes,
            'total_net_output_bytes': statistics.output_bytes,
            'expired_keys': ctx.keys.expired_keys,
            'evicted_keys': 0,
            'pubsub_channels': pubsub.channel_count(),
            'pubsub_patterns': pubsub.pattern_count(),
            'pubsubshard_channels': len(pubsub.shards),
            'total_error_replies': sum(statistics.errors.values()),
        },
        'replication': {'role': 'master', 'connected_slaves': 0},
        'cpu': {'used_cpu_sys': f'{usage.system:.6f}', 'used_cpu_user': f'{usage.user:.6f}'},
        'commandstats': {
            f'cmdstat_{name}': (
                f'calls={row.calls},usec={int(row.seconds * 1e6)},'
                f'usec_per_call={row.seconds * 1e6 / max(row.calls, 1):.2f},'
                f'rejected_calls=0,failed_calls={row.failed}'
            )
            for name, row in sorted(statistics.by_command.items())
        },
        'errorstats': {
            f'errorstat_{one_word(code)}': f'count={count}' for code, count in sorted(statistics.errors.items())
        },
        'cluster': {'cluster_enabled': 0},
        'keyspace': {
            f'db{db}': f'keys={keys},expires={expires},avg_ttl=0,subexpiry=0' for db, keys, expires in databases
        },
    }

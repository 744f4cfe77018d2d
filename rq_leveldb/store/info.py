"""The store's counters and settings: for INFO, CONFIG GET and SLOWLOG."""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import quote

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.descriptors import most_clients
from rq_leveldb.store.layout import Layout
from rq_leveldb.version import __version__

REDIS_VERSION = '8.2.3'
"""The version that INFO, HELLO and scripts report: the one whose replies are the model."""

# Not the blank, the comma, the equal sign and line ends, at which clients split such replies; nor any non-ASCII
# character, since some of those are blanks and line ends as well.
_PLAIN = '!"#$&\'()*+-./:;<>?@[\\]^_`{|}~'


def one_word(text: str, also: str = '') -> str:
    """Return free text for a ``key=value`` or ``key:value`` reply, with special characters quoted as in a URL.

    Args:
        text: any characters.
        also: further characters that need no quoting.
    """
    return quote(text.encode('utf-8', 'surrogateescape'), safe=_PLAIN + also)


@dataclass
class StoreSettings:
    """How this store was started.

    Attributes:
        directory: the data directory.
        fsync: ``everysec`` or ``always``.
        idle: seconds without a client after which the store exits, 0 for never.
        port: loopback TCP port, 0 for none.
        slower_than: microseconds above which SLOWLOG keeps a command, -1 for none.
        slowlog_length: how many commands it keeps.
        busy_reply_threshold: milliseconds after which other clients get BUSY while a script runs, 0 for never.
        layout: sizes by which OBJECT ENCODING names values.
    """

    directory: DataDirectory
    fsync: str = 'everysec'
    idle: float = 0
    port: int = 0
    slower_than: int = 10_000
    slowlog_length: int = 128
    busy_reply_threshold: int = 5000
    layout: Layout = field(default_factory=Layout)


@dataclass(frozen=True)
class SlowCommand:
    """One row of SLOWLOG.

    Attributes:
        started: Unix time in seconds.
        duration: microseconds.
    """

    number: int
    started: int
    duration: int
    argv: list[bytes]
    address: str
    name: bytes


@dataclass
class CommandStatistics:
    """Counters of one command.

    Attributes:
        seconds: all calls together.
    """

    calls: int = 0
    seconds: float = 0.0
    failed: int = 0


@dataclass
class Statistics:
    """Counters since the store's start.

    Attributes:
        saved: Unix time in seconds of the last SAVE or BGSAVE.
    """

    started: float = field(default_factory=time.monotonic)  # the wall clock may be changed meanwhile
    connections: int = 0
    commands: int = 0
    commits: int = 0
    syncs: int = 0
    longest_unsynced: float = 0.0  # seconds from a write to the end of the sync that made it durable
    write_errors: int = 0
    last_write_error: str = ''
    input_bytes: int = 0
    output_bytes: int = 0
    by_command: dict[str, CommandStatistics] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    slow: deque[SlowCommand] = field(default_factory=deque)
    slow_number: int = 0
    saved: float = field(default_factory=time.time)

    def reset(self) -> None:
        """Reset the counters, as CONFIG RESETSTAT does."""
        self.connections = self.commands = self.commits = self.syncs = 0
        self.longest_unsynced = 0.0
        self.input_bytes = self.output_bytes = 0
        self.by_command.clear()
        self.errors.clear()

    def count_error(self, text: str) -> None:
        """Count an error under its code, its first word; new codes are dropped once there are 128."""
        code = text.partition(' ')[0]
        if code in self.errors or len(self.errors) < 128:
            self.errors[code] = self.errors.get(code, 0) + 1


def resident_bytes() -> int:
    """Return this process's resident memory."""
    try:
        with open('/proc/self/statm', 'rb') as file:
            return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')
    except OSError:
        import resource

        # Without /proc only the peak is known: in bytes on macOS, in kilobytes elsewhere.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)


@dataclass(frozen=True)
class Snapshot:
    """The values that INFO shows beside the counters.

    Attributes:
        databases: number, keys and keys with an expiry of each database that holds keys.
        blocking_keys: keys that clients wait for.
        changes: keys changed since the last SAVE or BGSAVE.
        unswept: values without an owner that still have records.
        write_trouble: why commands that add data are refused; empty if they are not.
        compacted: how much of the database was merged, from 0 to 1 (BGREWRITEAOF); None if it is not being merged.
    """

    clients: int
    blocked_clients: int
    subscribers: int
    databases: list[tuple[int, int, int]]
    disk_bytes: int
    expired_keys: int
    channels: int
    patterns: int
    shard_channels: int
    watching_clients: int
    blocking_keys: int
    scripts: int
    changes: int
    unswept: int
    swept: int
    write_trouble: str
    compacted: float | None


def sections(settings: StoreSettings, statistics: Statistics, snapshot: Snapshot) -> dict[str, dict[str, object]]:
    """Return INFO's sections in order, each with its lines."""
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
            'connected_clients': snapshot.clients,
            'maxclients': most_clients(),
            'blocked_clients': snapshot.blocked_clients,
            'pubsub_clients': snapshot.subscribers,
            'watching_clients': snapshot.watching_clients,
            'total_blocking_keys': snapshot.blocking_keys,
        },
        'memory': {
            'used_memory': resident,
            'used_memory_human': f'{resident / 2**20:.2f}M',
            'used_memory_rss': resident,
            'used_memory_peak': resident,
            'number_of_cached_scripts': snapshot.scripts,
            'maxmemory': 0,
            'maxmemory_policy': 'noeviction',
            'lazyfree_pending_objects': snapshot.unswept,
            'lazyfreed_objects': snapshot.swept,
        },
        'persistence': {
            'loading': 0,
            'fsync': settings.fsync,
            'aof_enabled': 1,
            'rdb_changes_since_last_save': snapshot.changes,
            'rdb_bgsave_in_progress': 0,
            'rdb_last_save_time': int(statistics.saved),
            'rdb_last_bgsave_status': 'ok',
            'aof_rewrite_in_progress': int(snapshot.compacted is not None),
            'compacted_percent': int(100 * (snapshot.compacted or 0.0)),
            'aof_last_bgrewrite_status': 'ok',
            'aof_last_write_status': 'err' if snapshot.write_trouble else 'ok',
            'disk_bytes': snapshot.disk_bytes,
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
            'expired_keys': snapshot.expired_keys,
            'evicted_keys': 0,
            'pubsub_channels': snapshot.channels,
            'pubsub_patterns': snapshot.patterns,
            'pubsubshard_channels': snapshot.shard_channels,
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
            f'db{db}': f'keys={keys},expires={expires},avg_ttl=0,subexpiry=0'
            for db, keys, expires in snapshot.databases
        },
    }

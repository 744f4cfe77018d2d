"""The store's counters and settings: for INFO, CONFIG GET and SLOWLOG."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.layout import Layout

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
    slow: deque[list[Any]] = field(default_factory=deque)  # as SLOWLOG GET shows them
    slow_number: int = 0
    saved: float = field(default_factory=time.time)

    def reset(self) -> None:
        """Reset the counters, as CONFIG RESETSTAT does."""
        self.connections = self.commands = self.commits = self.syncs = self.input_bytes = self.output_bytes = 0
        self.longest_unsynced = 0.0
        self.by_command.clear()
        self.errors.clear()

    def count_error(self, text: str) -> None:
        """Count an error under its code, its first word; new codes are dropped once there are 128."""
        code = text.partition(' ')[0]
        if code in self.errors or len(self.errors) < 128:
            self.errors[code] = self.errors.get(code, 0) + 1

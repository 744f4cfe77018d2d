"""What the store knows of one connected client: who it is, and the state that commands set."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rq_leveldb.store.replies import Push, Status


@dataclass(eq=False, slots=True)
class ClientState:
    """One client.

    Attributes:
        number: CLIENT ID.
        address: how CLIENT LIST shows it.
        send: deliver a message outside of any reply (pub/sub, MONITOR).
        close: disconnect once what was sent has gone out.
        queue: the commands since MULTI, None outside.
        queue_bytes: memory that they need beside their own bytes, about.
        failed: a command since MULTI could not be queued, so EXEC must refuse.
        watched: database, key and whether it lived, for each WATCH.
        dirty: a watched key changed.
        subscribed: whether it listens to anything; asked before every command.
        slow: the blocking command that goes into the slow log when its waiting ends, and its seconds.
    """

    number: int
    address: str
    descriptor: int
    send: Callable[[Push | Status], None]
    close: Callable[[], None]
    pid: int = 0
    uid: int = 0
    name: bytes = b''
    library: bytes = b''
    library_version: bytes = b''
    created: float = field(default_factory=time.monotonic)
    last_active: float = field(default_factory=time.monotonic)
    last_command: str = 'NULL'
    protocol: int = 2
    db: int = 0
    queue: list[list[bytes]] | None = None
    queue_bytes: int = 0
    failed: bool = False
    watched: dict[tuple[int, bytes], bool] = field(default_factory=dict)
    dirty: bool = False
    blocked: bool = False
    slow: tuple[list[bytes], float] | None = None
    monitor: bool = False
    channels: set[bytes] = field(default_factory=set)
    patterns: set[bytes] = field(default_factory=set)
    shard_channels: set[bytes] = field(default_factory=set)
    subscribed: bool = False
    unsent_bytes: Callable[[], int] = lambda: 0

    def begin_transaction(self) -> None:
        """Begin to queue commands, as MULTI does."""
        self.queue = []
        self.queue_bytes = 0
        self.failed = False

    def forget_connection(self) -> None:
        """It has gone. What its session holds, which may be much, is freed at once: neither refers to the other now."""
        self.send = lambda message: None
        self.close = lambda: None
        self.unsent_bytes = lambda: 0

    def note_subscriptions(self) -> None:
        """Channels or patterns were removed."""
        self.subscribed = bool(self.channels or self.patterns or self.shard_channels)

    def forget_subscriptions(self) -> None:
        """It listens to nothing any more."""
        self.channels.clear()
        self.patterns.clear()
        self.shard_channels.clear()
        self.subscribed = False

"""The state of one connected client: its identity, and what commands have set."""

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
        address: the address that CLIENT LIST shows.
        send: delivers a message outside any reply (pub/sub, MONITOR).
        close: disconnects once the replies have been sent.
        queue: the commands since MULTI; None outside a transaction.
        queue_bytes: about how much memory they need beside their own bytes.
        failed: whether a command since MULTI could not be queued, so that EXEC must refuse.
        watched: database, key and whether the key existed, for each WATCH.
        dirty: whether a watched key changed.
        subscribed: whether it has any subscription; checked before every command.
        slow: the blocking command for the slow log, added when it unblocks, and its seconds.
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
        """Start queueing commands, as MULTI does."""
        self.queue = []
        self.queue_bytes = 0
        self.failed = False

    def forget_connection(self) -> None:
        """Drop the references to a closed session, which may hold much, so that it is freed at once."""
        self.send = lambda message: None
        self.close = lambda: None
        self.unsent_bytes = lambda: 0

    def note_subscriptions(self) -> None:
        """Update `subscribed` after channels or patterns were removed."""
        self.subscribed = bool(self.channels or self.patterns or self.shard_channels)

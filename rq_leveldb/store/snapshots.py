"""Snapshots: a client reads the whole store as it was at one moment, with the commands that read, while others write.

``DEBUG SNAPSHOT ON`` begins it, for this connection alone. ``DEBUG SNAPSHOT OFF`` ends it, and so do the end of the
connection and some minutes without a command. Nothing is copied: the client's commands get another keyspace, over a
`View` of the database, whose clock stands still.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.context import Context
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.types.value import Value
from rq_leveldb.store.view import View

logger = logging.getLogger(__name__)

MOST = 4
"""Snapshots at a time: each may keep two memtables in memory, and files on the disk that a compaction has replaced."""
IDLE = 300.0


class FrozenKeyspace(Keyspace):
    """The keyspace at one moment.

    Args:
        view: the database at that moment.
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        # What had expired by then stays hidden, and is not removed.
        self.keeps_expired = True

    def _lookup(self, meta_key: bytes) -> Value | None:
        if meta_key not in self._cache:
            # No commit comes by that would trim it, and a dump reads every key once.
            self._cache.clear()
            self._heavy.clear()
        return super()._lookup(meta_key)


@dataclass(eq=False)
class Snapshots:
    """All snapshots of a store.

    Args:
        loop: runs a timer while there are any.
        engine: the open database.
        keyspace: what clients without a snapshot see.
        commit: ends the open unit, with which clients are disconnected.
        idle: seconds without a command after which a snapshot ends and its client is disconnected.
    """

    _loop: asyncio.AbstractEventLoop
    _engine: Engine
    _keyspace: Keyspace
    _commit: Callable[[], None]
    idle: float = IDLE
    _open: dict[ClientState, tuple[Context, View]] = field(init=False, default_factory=dict)

    def begin(self, ctx: Context) -> None:
        """Let a client read the present moment from now on.

        Raises:
            ReplyError: it has a snapshot, there are too many, or its own changes are not written yet.
        """
        if ctx.client in self._open:
            raise ReplyError('ERR this client has a snapshot already')
        if len(self._open) >= MOST:
            raise ReplyError(f'ERR there are {MOST} snapshots already: wait until one of them has ended')
        if self._keyspace.has_changes():
            raise ReplyError('ERR a snapshot must not begin in a pipeline behind commands that write')
        # What it shows must be durable when this command is answered.
        self._keyspace.saw_all = True
        view = self._engine.view()
        ctx.keys = FrozenKeyspace(view)
        ctx.may_block = False
        if not self._open:
            self._loop.call_later(self.idle / 10, self._look)
        self._open[ctx.client] = ctx, view

    def end(self, client: ClientState) -> bool:
        """Let a client read what is there now again; return whether it had a snapshot."""
        ctx, view = self._open.pop(client, (None, None))
        if ctx is None or view is None:
            return False
        view.close()
        ctx.keys = self._keyspace
        ctx.may_block = True
        return True

    def _look(self) -> None:
        oldest = time.monotonic() - self.idle
        for client in [client for client in self._open if client.last_active < oldest]:
            logger.warning('client %d has not used its snapshot for %g s: it is disconnected', client.number, self.idle)
            self.end(client)
            client.close()
            self._commit()
        if self._open:
            self._loop.call_later(self.idle / 10, self._look)

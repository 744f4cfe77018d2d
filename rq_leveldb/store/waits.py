"""Blocked clients, which wait for a key or for the disk: their time-outs and their replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rq_leveldb.store.blocking import Waiter, WaitingRoom
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.context import Context
from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.replies import NO_REPLY, Reply, ReplyError
from rq_leveldb.store.session import Session
from rq_leveldb.store.units import Units


@dataclass(eq=False)
class Waits:
    """All blocked clients.

    Args:
        loop: runs their timers.
        room: the queues in which they wait.
        dispatcher: counts their replies.
        units: the owner of the unit that their replies join.
        sessions: every client's session by its number.
    """

    _loop: asyncio.AbstractEventLoop
    _room: WaitingRoom
    _dispatcher: Dispatcher
    _units: Units
    _sessions: Mapping[int, Session]
    _waiters: dict[int, Waiter] = field(init=False, default_factory=dict)

    def __len__(self) -> int:
        return len(self._waiters)

    def block(
        self, ctx: Context, keys: list[bytes], timeout: float, attempt: Callable[[bytes], Reply], timeout_reply: Reply
    ) -> Reply:
        """Block a client; see :meth:`StoreServices.block`."""
        client = ctx.client
        session = self._sessions[client.number]

        def deliver(reply: Reply) -> None:
            client.blocked = False
            self._waiters.pop(client.number, None)
            self._dispatcher.waited(client, reply)
            session.answer(reply)
            self._loop.call_soon(session.run)

        def expire() -> None:
            self._room.leave(waiter)
            deliver(timeout_reply)
            self._units.commit()

        places = tuple((ctx.db, key) for key in dict.fromkeys(keys))
        waiter = Waiter(places, attempt, session.is_gone, deliver, timeout_reply)
        if timeout > 0:
            waiter.cancel_timer = self._loop.call_later(timeout, expire).cancel
        client.blocked = True
        self._waiters[client.number] = waiter
        self._room.enter(waiter)
        return NO_REPLY

    def unblock(self, client: ClientState, with_error: bool) -> bool:
        """Unblock a client; return whether it was blocked."""
        waiter = self._waiters.get(client.number)
        if waiter is None:
            return False
        self._room.leave(waiter)
        error = ReplyError('UNBLOCKED client unblocked via CLIENT UNBLOCK')
        waiter.deliver(error if with_error else waiter.timeout_reply)
        return True

    def for_sync(self, ctx: Context, timeout: float, reply: Reply, timeout_reply: Reply) -> Reply:
        """Block a client until the disk has synced; see :meth:`StoreServices.wait_for_sync`."""
        waiting = self.block(ctx, [], timeout, lambda key: None, timeout_reply)
        waiter = self._waiters[ctx.client.number]

        def synced() -> None:
            if self._waiters.get(ctx.client.number) is waiter:
                self._room.leave(waiter)
                waiter.deliver(reply)
                self._units.commit()

        # After the commit of what the client wrote in the same unit.
        self._loop.call_soon(self._units.durability.when_synced, synced)
        return waiting

    def forget(self, client: ClientState) -> None:
        """Forget a client that has disconnected."""
        waiter = self._waiters.pop(client.number, None)
        if waiter is not None:
            self._room.leave(waiter)

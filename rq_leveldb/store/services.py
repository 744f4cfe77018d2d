"""What commands ask of the rest of the store, and who does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import Command
from rq_leveldb.store.context import Context
from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.info import Settings, Statistics
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.multi import Watches
from rq_leveldb.store.pausing import Pausing
from rq_leveldb.store.pubsub import PubSub
from rq_leveldb.store.replies import Reply
from rq_leveldb.store.script_time import ScriptTime
from rq_leveldb.store.scripting import Sandbox
from rq_leveldb.store.sweeper import Sweeper
from rq_leveldb.store.units import Units
from rq_leveldb.store.upkeep import Upkeep
from rq_leveldb.store.waits import Waits


@dataclass
class StoreServices:
    """The services of a running store; see :class:`rq_leveldb.store.context.Services` for what each does."""

    commands: dict[bytes, Command]
    clients: dict[int, ClientState]
    watches: Watches
    pubsub: PubSub
    sandbox: Sandbox
    script_time: ScriptTime
    settings: Settings
    statistics: Statistics
    keyspace: Keyspace
    dispatcher: Dispatcher
    units: Units
    waits: Waits
    pausing: Pausing
    sweeper: Sweeper
    upkeep: Upkeep
    stop: Callable[[], None]

    @property
    def refused(self) -> str:
        return self.units.refusals.reason

    def call(self, ctx: Context, argv: list[bytes]) -> Reply:
        return self.dispatcher.call(ctx, argv)

    def block(
        self, ctx: Context, keys: list[bytes], timeout: float, attempt: Callable[[bytes], Reply], timeout_reply: Reply
    ) -> Reply:
        return self.waits.block(ctx, keys, timeout, attempt, timeout_reply)

    def unblock(self, client: ClientState, with_error: bool) -> bool:
        return self.waits.unblock(client, with_error)

    def blocked_clients(self) -> int:
        return len(self.waits) + len(self.pausing)

    def blocking_keys(self) -> int:
        return len(self.dispatcher.waiting.lines)

    def waited_places(self, db: int) -> list[tuple[int, bytes]]:
        return self.dispatcher.waiting.places(db)

    def monitor(self, client: ClientState, shown: bool) -> None:
        if shown:
            self.dispatcher.monitors[client.number] = client
        else:
            self.dispatcher.monitors.pop(client.number, None)

    def forget_statistics(self) -> None:
        self.dispatcher.forget_statistics()
        self.sweeper.forget_statistics()

    def demand_fsync(self) -> None:
        self.settings.fsync = 'always'
        self.keyspace.track()
        self.units.durability.demand()

    def is_synced(self) -> bool:
        return self.units.durability.is_synced() and not self.keyspace.has_changes()

    def wait_for_sync(self, ctx: Context, timeout: float, reply: Reply, timeout_reply: Reply) -> Reply:
        return self.waits.for_sync(ctx, timeout, reply, timeout_reply)

    def write_trouble(self) -> str:
        return self.units.refusals.trouble()

    def swept(self) -> tuple[int, int]:
        return self.sweeper.unswept(), self.sweeper.swept

    def remove_expired(self, wanted: bool) -> None:
        self.upkeep.remove_expired(wanted)

    def pause(self, milliseconds: int, everything: bool) -> None:
        self.pausing.begin(milliseconds, everything)

    def unpause(self) -> None:
        self.pausing.end()

    def shutdown(self) -> None:
        self.stop()

"""What a command gets to work with: the open transaction, the client's state, the clock and the store's services."""

from __future__ import annotations

from collections.abc import Callable, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.replies import Reply
from rq_leveldb.store.types.value import Value

if TYPE_CHECKING:
    from rq_leveldb.store.blocking import WaitingRoom
    from rq_leveldb.store.client_state import ClientState
    from rq_leveldb.store.command import Command
    from rq_leveldb.store.compaction import Compaction
    from rq_leveldb.store.info import Statistics, StoreSettings
    from rq_leveldb.store.multi import Watches
    from rq_leveldb.store.pubsub import PubSub
    from rq_leveldb.store.script_time import ScriptTime
    from rq_leveldb.store.scripting import Sandbox
    from rq_leveldb.store.sweeper import Sweeper

V = TypeVar('V', bound=Value)


@dataclass(frozen=True)
class StoreServices:
    """What a command may use of the rest of the store without knowing its parts.

    Attributes:
        commands: every command by its name in lower case.
        clients: every connected client by its number.
        watches: all WATCHes.
        pubsub: all subscriptions.
        sandbox: all scripts.
        script_time: the time limit of the running script.
        settings: the store's configuration.
        statistics: the store's counters.
        call: executes one command in the open transaction, as EXEC does; raises its error.
        call_from_script: the same for a script. It gets whether that may not write, and whether the reply may use RESP3
            types.
        block: blocks the client. `attempt` gets the key that changed; see :meth:`Context.block` for the rest.
        unblock: unblocks a client, as if it had timed out or with an error; returns whether it was blocked.
        blocked_clients: how many clients are blocked.
        waiting: the queues of blocked clients.
        monitor: starts or stops showing a client every command.
        forget_statistics: must be called after the counters were reset.
        demand_fsync: syncs every write before it is acknowledged, from now on.
        is_synced: whether everything written so far would survive a power loss.
        wait_for_sync: blocks the client until that is so: seconds (0 forever), the reply, the reply on time-out.
        refused: why the database takes no writes; empty while it does.
        write_trouble: why commands that add data are refused; empty while they are not.
        sweeper: removes what has no owner.
        remove_expired: sets whether expired keys are removed even if no command accesses them.
        pause: holds back the commands of clients for so many ms: those that may write, or all.
        unpause: ends the pause.
        begin_snapshot: lets a client read this moment from now on; raises an error if it cannot.
        end_snapshot: ends that; returns whether there was a snapshot.
        compaction: merges the whole database.
        shutdown: stops the store once the commands received so far are answered.
    """

    commands: dict[bytes, Command]
    clients: dict[int, ClientState]
    watches: Watches
    pubsub: PubSub
    sandbox: Sandbox
    script_time: ScriptTime
    settings: StoreSettings
    statistics: Statistics
    call: Callable[[Context, list[bytes]], Reply]
    call_from_script: Callable[[bool, Context, list[bytes], bool], Reply]
    block: Callable[[Context, list[bytes], float, Callable[[bytes], Reply], Reply], Reply]
    unblock: Callable[[ClientState, bool], bool]
    blocked_clients: Callable[[], int]
    waiting: WaitingRoom
    monitor: Callable[[ClientState, bool], None]
    forget_statistics: Callable[[], None]
    demand_fsync: Callable[[], None]
    is_synced: Callable[[], bool]
    wait_for_sync: Callable[[Context, float, Reply, Reply], Reply]
    refused: Callable[[], str]
    write_trouble: Callable[[], str]
    sweeper: Sweeper
    remove_expired: Callable[[bool], None]
    pause: Callable[[int, bool], None]
    unpause: Callable[[], None]
    begin_snapshot: Callable[[Context], None]
    end_snapshot: Callable[[ClientState], bool]
    compaction: Compaction
    shutdown: Callable[[], None]


class Context:
    """One client's view of the store while a command runs.

    Attributes:
        db: number of the selected database.
        keys: all databases, with the open transaction; or as they were at one moment (DEBUG SNAPSHOT).
        client: the calling client.
        resp3: whether replies may use RESP3 types.
        in_script: whether a script is the caller.
        may_block: false inside MULTI and scripts, where a blocking command behaves as if it had timed out.
    """

    __slots__ = ('client', 'db', 'in_script', 'keys', 'may_block', 'resp3', 'services')

    def __init__(self, keys: Keyspace, client: ClientState, services: StoreServices) -> None:
        self.keys = keys
        self.client = client
        self.services = services
        self.db = 0
        self.resp3 = False
        self.in_script = False
        self.may_block = True

    @property
    def now(self) -> int:
        """Unix time in ms; it stands still within a transaction or a script."""
        return self.keys.now

    def find(self, key: bytes) -> Value | None:
        """Return the value of `key`, of any type, or None."""
        return self.keys.find(self.db, key)

    def typed(self, key: bytes, type_: type[V]) -> V | None:
        """Return the value of `key`, or None.

        Raises:
            ReplyError: WRONGTYPE.
        """
        return self.keys.typed(self.db, key, type_)

    def read(self, key: bytes, type_: type[V]) -> V:
        """Return the value of `key`, or an empty one, which only has to be read.

        Raises:
            ReplyError: WRONGTYPE.
        """
        return self.keys.read(self.db, key, type_)

    def first(self, keys: list[bytes], type_: type[V]) -> tuple[bytes, V] | None:
        """Return the first key that exists, and its value.

        Raises:
            ReplyError: WRONGTYPE.
        """
        for key in keys:
            value = self.typed(key, type_)
            if value is not None:
                return key, value
        return None

    def typed_or_new(self, key: bytes, type_: type[V]) -> V:
        """Return the key's value, or an empty one that the key gets once it is marked as changed.

        Raises:
            ReplyError: WRONGTYPE.
        """
        return self.keys.typed_or_new(self.db, key, type_)

    def assign(self, key: bytes, data: bytes, expire: int = 0) -> None:
        """Set `key` to a string, whatever it held before.

        Args:
            key: the key.
            data: the string.
            expire: Unix time in ms, 0 for never.
        """
        self.keys.assign(self.db, key, data, expire)

    def put(self, key: bytes, value: Value) -> None:
        """Set `key` to `value`, whatever it held before; the expiry is that of `value`."""
        self.keys.put(self.db, key, value)

    def store(self, key: bytes, value: Value) -> int:
        """Set `key` to a new value, or remove it if that is empty; return how many elements it has."""
        if value.is_empty():
            self.delete(key)
            return 0
        count = len(cast(Sized, value))
        self.put(key, value)
        return count

    def delete(self, key: bytes) -> bool:
        """Remove `key`; return whether it existed."""
        return self.keys.delete(self.db, key)

    def block(
        self,
        keys: list[bytes],
        type_: type[Value] | None,
        timeout: float,
        take: Callable[[], Reply],
        timeout_reply: Reply,
    ) -> Reply:
        """Block the client until `take` succeeds. The command has already tried once, without success.

        Args:
            keys: `take` is tried again when one of these changes; the client that has waited longest comes first.
            type_: try only if that key now holds this type; None to try whatever it holds, even nothing.
            timeout: seconds, 0 forever.
            take: does the command's work as if the client had sent it again, and returns the reply; None if there is
                still nothing to take (it must not have changed anything then). A ReplyError it raises is the reply.
            timeout_reply: the reply on time-out, or at once where a command may not block.

        Returns:
            What the command has to return.
        """
        if not self.may_block:
            return timeout_reply

        def attempt(key: bytes) -> Reply:
            return take() if type_ is None or isinstance(self.find(key), type_) else None

        return self.services.block(self, keys, timeout, attempt, timeout_reply)

    def block_for(
        self, keys: list[bytes], type_: type[Value], timeout: float, take: Callable[[], Reply], timeout_reply: Reply
    ) -> Reply:
        """Try `take` once, and block if there is nothing to take.

        The arguments are those of `block`.

        Raises:
            ReplyError: as `take`.
        """
        reply = take()
        return self.block(keys, type_, timeout, take, timeout_reply) if reply is None else reply

"""CLIENT PAUSE in a running store: holding clients, and releasing them when it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import MAY_REPLICATE, WRITE, Command, find
from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.script_source import says_readonly
from rq_leveldb.store.scripting import Sandbox
from rq_leveldb.store.session import Session
from rq_leveldb.store.units import Units


@dataclass(eq=False)
class Pausing:
    """The current pause, if any, and the clients it holds.

    Args:
        loop: runs its timer.
        keyspace: keeps expired keys meanwhile.
        dispatcher: checks whether a command is held.
        sandbox: knows which scripts write nothing.
        units: commits what waited for the end, as a unit.
        sessions: every client's session by its number.
        on_end: called at the end of the pause.
    """

    _loop: asyncio.AbstractEventLoop
    _keyspace: Keyspace
    _dispatcher: Dispatcher
    _sandbox: Sandbox
    _units: Units
    _sessions: Mapping[int, Session]
    _on_end: Callable[[], None]
    _until = 0  # Unix time in ms
    _everything = False  # whether commands that only read are held as well
    _held: dict[Session, None] = field(init=False, default_factory=dict)  # in order of arrival
    _timer: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self._dispatcher.hold = self._hold

    def __len__(self) -> int:
        return len(self._held)

    def begin(self, milliseconds: int, everything: bool) -> None:
        """Hold back clients' commands for so long: those that may write, or all.

        A pause that has begun is only made longer or stricter.
        """
        if self._dispatcher.pause is None:
            self._until, self._everything = 0, False
            self._dispatcher.pause = self._holds
        self._until = max(self._until, self._keyspace.now + milliseconds)
        self._everything = self._everything or everything
        self._keyspace.keeps_expired = True
        self._await_end()

    def _await_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._dispatcher.pause is None:
            return
        left = self._until / 1000 - time.time()
        if left <= 0:
            self.end()
        else:
            # A timer's delay is limited, and the wall clock may be changed meanwhile.
            self._timer = self._loop.call_later(min(left, 60.0), self._await_end)

    def _holds(self, command: Command, argv: list[bytes], queue: list[list[bytes]] | None) -> bool:
        if self._everything or self._may_write(command, argv):
            return True
        commands = self._dispatcher.commands
        return command.name == 'exec' and any(
            self._may_write(found, queued) for queued in queue or () if (found := find(commands, queued)) is not None
        )

    def _may_write(self, command: Command, argv: list[bytes]) -> bool:
        if command.name in ('eval', 'evalsha'):
            return not self._says_readonly(argv)
        return WRITE in command.flags or MAY_REPLICATE in command.flags

    def _says_readonly(self, argv: list[bytes]) -> bool:
        if argv[0].lower() == b'eval':
            return says_readonly(argv[1])
        sha = argv[1].lower()
        return self._sandbox.knows(sha) and self._sandbox.is_readonly(sha)

    def _hold(self, client: ClientState, argv: list[bytes]) -> None:
        session = self._sessions[client.number]
        session.hold(argv)
        self._held[session] = None

    def end(self) -> None:
        """End the pause and release the clients."""
        if self._dispatcher.pause is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dispatcher.pause = None
        self._keyspace.keeps_expired = False
        held, self._held = self._held, {}
        for session in held:
            session.client.blocked = False
            self._loop.call_soon(session.run)
        self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self._dispatcher.pause is not None:
            return  # another pause has begun meanwhile
        self._on_end()
        try:
            self._dispatcher.serve_postponed()
        except Exception as fault:
            self._units.undo(fault, 'what waited for the end of a pause')
        self._units.commit()

    def forget(self, session: Session) -> None:
        """Forget a client that has disconnected."""
        self._held.pop(session, None)

"""The open unit: commands that are executed, committed and answered together, or not at all.

A unit holds the commands of one client that arrived together, and what they trigger for blocked clients. None of its
replies is sent before it is committed. If the commit fails, each reply becomes an error and nothing was done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rq_leveldb.store import encoding
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import find
from rq_leveldb.store.context import Context
from rq_leveldb.store.dispatch import Dispatcher, UnitAborted, damaged, words_of
from rq_leveldb.store.durability import Durability
from rq_leveldb.store.engine import ReadFailed, WriteRefused, words
from rq_leveldb.store.info import Statistics, StoreSettings
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.multi import Watches
from rq_leveldb.store.outbox import Outbox
from rq_leveldb.store.refusals import Refusals, goes_on
from rq_leveldb.store.replies import Reply, ReplyError

logger = logging.getLogger(__name__)


class Member(Protocol):
    """A client with replies in a unit.

    Attributes:
        outbox: the client's replies in the open unit.
        unreleased: number of committed units whose replies to it wait for a sync.
    """

    client: ClientState
    ctx: Context
    outbox: Outbox
    unreleased: int

    def refuse(self, error: ReplyError) -> None:
        """Replace each of its replies by this error."""

    def write(self, data: bytes) -> None:
        """Send bytes taken from its outbox."""

    def finish(self) -> None:
        """Disconnect it; its replies have been handed over."""


@dataclass(eq=False)
class Units:
    """The owner of the open unit, which begins with the first command.

    Args:
        keyspace: its open transaction holds the unit's changes.
        dispatcher: executes the commands.
        watches: the WATCHes of all clients.
        refusals: knows whether the database takes writes.
        settings: the store's configuration.
        statistics: where commits are counted.

    Attributes:
        members: clients with replies in the open unit.
        leaving: clients to disconnect once those replies are sent.
        durability: decides when replies may be sent.
        on_write: called after a unit was written.
        on_rollback: called after a unit was rolled back.
    """

    _keyspace: Keyspace
    _dispatcher: Dispatcher
    _watches: Watches
    refusals: Refusals
    _settings: StoreSettings
    _statistics: Statistics
    durability: Durability = field(init=False)
    members: dict[Member, None] = field(init=False, default_factory=dict)
    leaving: dict[Member, None] = field(init=False, default_factory=dict)
    on_write: Callable[[], None] = lambda: None
    on_rollback: Callable[[], None] = lambda: None

    def execute(self, member: Member, argv: list[bytes]) -> Reply:
        """Execute one command of a client, inside the open unit."""
        if self.refusals.reason:
            refusal = self._refusal_of(member.client, argv)
            if refusal is not None:
                return refusal
        if argv[0][:4] in (b'EVAL', b'eval'):
            # A script that hits a limit is rolled back with its whole unit, so it gets a unit of its own.
            self.commit()
        try:
            return self._dispatcher.execute(member.ctx, argv)
        except Exception as fault:
            return self.undo(fault, f"'{argv[0][:64].decode('latin-1').lower()}'")

    def undo_reply(self, member: Member, argv: list[bytes], fault: Exception) -> ReplyError:
        """Undo the open unit because a reply could not be encoded.

        Args:
            member: the client to be answered.
            argv: the command to be answered.
            fault: what went wrong.

        Returns:
            The error to send instead.
        """
        if isinstance(fault, encoding.UNREADABLE):
            fault = self._dispatcher.damage(member.ctx, None, argv, fault)
        return self.undo(fault, f"the reply to '{argv[0][:64].decode('latin-1').lower()}'")

    def _refusal_of(self, client: ClientState, argv: list[bytes]) -> ReplyError | None:
        self._reopen()
        refusals = self.refusals
        in_transaction = client.queue is not None
        command = find(self._dispatcher.commands, argv)
        if not refusals.reason or goes_on(command, in_transaction, refusals.is_readable()):
            return None
        if in_transaction:
            # The transaction ends here, or with its EXEC.
            client.failed = True
            if argv[0].lower() in (b'exec', b'discard', b'reset'):
                self._watches.end_transaction(client)
        return refusals.error()

    def commit(self) -> None:
        """End the open unit: write it, then release its replies."""
        keyspace = self._keyspace
        wrote = False
        if self.refusals.reason:
            if keyspace.has_changes():
                # A read found an expired key; it can be removed another time.
                self._rollback()
        else:
            try:
                wrote = keyspace.commit()
                self._statistics.commits += wrote
            except Exception as fault:
                self.undo(fault, 'a commit')
        durability = self.durability
        if wrote:
            self.on_write()
            if keyspace.seen is not None:
                durability.changed(keyspace.seen, keyspace.saw_all)
        members = self.members
        if members and not self.leaving and (durability.is_immediate() or self._shows_synced_only(wrote)):
            for member in members:
                member.write(member.outbox.take())
            members.clear()
            if wrote:
                durability.note_write()
        elif members or self.leaving:
            durability.committed(wrote, self._released())
        elif wrote:
            durability.committed(wrote, lambda: None)
        if keyspace.seen is not None:
            keyspace.forget_seen()

    def _released(self) -> Callable[[], None]:
        """Take the replies out of the unit and return a function that sends them."""
        replies = [(member, member.outbox.take()) for member in self.members]
        leaving = list(self.leaving)
        self.members.clear()
        self.leaving.clear()
        for member, _ in replies:
            member.unreleased += 1

        def release() -> None:
            for member, data in replies:
                member.unreleased -= 1
                member.write(data)
            for member in leaving:
                member.finish()

        return release

    def _shows_synced_only(self, wrote: bool) -> bool:
        """Return whether the unit wrote nothing, saw only durable data, and none of its clients' replies wait."""
        keyspace = self._keyspace
        if wrote or keyspace.seen is None or self.durability.concerns(keyspace.seen, keyspace.saw_all):
            return False
        return not any(member.unreleased for member in self.members)

    def demand_fsync(self) -> None:
        """Acknowledge no write before it is synced, from now on."""
        self._settings.fsync = 'always'
        self._keyspace.track()
        self.durability.demand()

    def is_synced(self) -> bool:
        """Return whether everything written so far would survive a power loss."""
        return self.durability.is_synced() and not self._keyspace.has_changes()

    def after_replies(self, action: Callable[[], None]) -> None:
        """Run an action after the replies of the unit that was just committed."""
        self.durability.committed(False, action)

    def forget(self, member: Member) -> None:
        """Forget a client that has disconnected."""
        self.members.pop(member, None)
        self.leaving.pop(member, None)

    def undo(self, fault: Exception, where: str) -> ReplyError:
        """Undo the open unit and replace each of its replies by an error.

        Args:
            fault: what went wrong.
            where: what failed, in words.
        """
        if isinstance(fault, WriteRefused):
            return self.refuse(fault.reason)
        if isinstance(fault, UnitAborted):
            # The traceback's frames hold the script's values; see Dispatcher.execute.
            error = fault.error.with_traceback(None)
            error.__context__ = error.__cause__ = None
        elif isinstance(fault, MemoryError):
            logger.error('out of memory in %s', where)
            error = ReplyError(f'OOM the store has not enough memory for {where}: nothing of it was done')
        elif isinstance(fault, (ReadFailed, *encoding.UNREADABLE)):
            reason = words(fault) if isinstance(fault, ReadFailed) else words_of(encoding.of_keys(fault, ()))
            logger.error('damaged data in %s: %s', where, reason, exc_info=fault)
            error = damaged(self._settings.directory.path, reason)
        else:
            logger.error('internal error in %s', where, exc_info=fault)
            error = ReplyError(f'ERR internal error in {where} ({type(fault).__name__}), see store.log')
        self._rollback()
        self._refuse_replies(error)
        return error

    def _rollback(self) -> None:
        try:
            self._keyspace.rollback()
        except ReadFailed as fault:
            self.refusals.reason = words(fault)
        self.on_rollback()

    def _refuse_replies(self, error: ReplyError) -> None:
        for member in self.members:
            member.refuse(error)

    def refuse(self, reason: str) -> ReplyError:
        """Acknowledge nothing of the open unit, or after it, until the database was reopened.

        Args:
            reason: what LevelDB or the operating system said.

        Returns:
            The error for the clients.
        """
        self.refusals.begin(reason)
        error = self.refusals.error()
        self._refuse_replies(error)
        self._reopen()
        return error

    def _reopen(self) -> None:
        if self.refusals.reopen():
            self.on_rollback()
            self.durability.renewed()

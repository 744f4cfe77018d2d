"""One store: its clients, units, timers and listener; it wires everything else together.

It never forks and never runs code of its users. One thread does everything but the syncs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import math
import os
import socket
import time
from collections.abc import Callable

from rq_leveldb import errors, trust
from rq_leveldb.store import encoding
from rq_leveldb.store.attending import Attendance
from rq_leveldb.store.blocking import Waiter, WaitingRoom
from rq_leveldb.store.busy_polling import BusyPolling
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import LOADING, SKIP_QUEUE, WRITE, find
from rq_leveldb.store.commands.table import all_commands
from rq_leveldb.store.compaction import Compaction
from rq_leveldb.store.context import Context
from rq_leveldb.store.descriptors import is_reserved, most_clients
from rq_leveldb.store.dispatch import Dispatcher, UnitAborted, damaged, words_of
from rq_leveldb.store.durability import Durability
from rq_leveldb.store.engine import WRITE_BUFFER_BYTES, Engine, ReadFailed, WriteRefused, words
from rq_leveldb.store.info import Settings, Statistics, one_word
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.multi import Watches
from rq_leveldb.store.opening import close_database
from rq_leveldb.store.pause import Pause
from rq_leveldb.store.pubsub import PubSub
from rq_leveldb.store.replies import NO_REPLY, Reply, ReplyError
from rq_leveldb.store.script_time import ScriptTime
from rq_leveldb.store.scripting import Sandbox, says_readonly
from rq_leveldb.store.session import Session
from rq_leveldb.store.sweeper import Sweeper

logger = logging.getLogger(__name__)

SWEEP_SLICE = 500
"""Records that the sweeper removes before others get their turn."""

FREE_SPACE_FLOOR = 64 << 20
FREE_SPACE_SHARE = 20
FREE_SPACE_LEAST = 3 * WRITE_BUFFER_BYTES
"""Commands that add data are refused when less than so many bytes are free, or 1/20 of the file system if that is
less, but never less than LevelDB needs to be opened again (a log, the table made of it, and the next log): it must not
run into a full disk, and what shrinks the data must still work then."""

FREE_SPACE_INTERVAL = 100
"""Milliseconds between two looks at the free space."""

_MAY_WRITE = frozenset(('eval', 'evalsha', 'debug'))
"""What has no flag of writing, and what it does is not known before."""

REOPEN_INTERVAL = 0.5
"""Seconds between attempts to open the database again after it refused a write."""

_OF_THE_CONNECTION = frozenset((b'auth', b'client', b'hello', b'multi', b'select'))
"""Commands that need no data and are never refused: what follows them would mean something else without them, such as
a transaction whose commands would be executed one by one."""

LOST = 'The data directory was removed or replaced under the store'

LOOK_INTERVAL = 0.5
"""Seconds between two looks at whether clients still find this store, and a restart its files, at the path."""


class Server:
    """One store on one data directory.

    :param settings: what it was told
    :param engine: its open database
    :param claim: the lock on its directory, and the name of its socket
    """

    def __init__(self, settings: Settings, engine: Engine, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.engine = engine
        self.claim = claim
        self.loop = loop
        self.statistics = Statistics()
        self.keyspace = Keyspace(engine)
        self.sweeper = Sweeper(self.keyspace)
        self.watches = Watches()
        self.waiting = WaitingRoom()
        self.pubsub = PubSub()
        self.sandbox = Sandbox()
        self.attendance = Attendance(loop, lambda: self.sessions.values(), lambda: Session(self), self._sockets)
        self.script_time = ScriptTime(settings, self.attendance.attend, self.attendance.over)
        self.dispatcher = Dispatcher(
            all_commands(), self.keyspace, settings, self.statistics, self.watches, self.waiting
        )
        self.commands = self.dispatcher.commands
        self.dispatcher.refuse_growth = self._refuse_growth
        self.dispatcher.hold = self._hold
        self.durability = Durability(engine, settings.fsync == 'always', loop, self.statistics, self._sync_failed)
        self.compaction = Compaction(engine, loop, self.statistics)
        self.busy_polling = BusyPolling(loop)
        if settings.fsync == 'always':
            self.keyspace.track()
        self.clients: dict[int, ClientState] = {}
        self.sessions: dict[int, Session] = {}
        self.arriving = 0  # connections that were accepted, and that the loop has not introduced yet
        self.outbox: dict[Session, None] = {}
        self.closing: dict[Session, None] = {}
        self.lost = ''  # why this store is no longer what is at its path
        self.refused = ''  # why LevelDB takes no writes, as long as it does not
        self._refused_at = 0.0
        self._free_checked = 0
        self._low_space = ''
        self._next_number = 0
        self._full = False  # the last client that came was one too many
        self._waiters: dict[int, Waiter] = {}
        self._held: dict[Session, None] = {}  # by a pause, in the order in which they came
        self._pause_timer: asyncio.TimerHandle | None = None
        self._removes_expired = True
        self._sweeping = True
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._expiry_due = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self._port: asyncio.Server | None = None  # the listener at a TCP port
        self._listening: asyncio.Task[None] | None = None
        self._unreachable = ''
        self.stopped = loop.create_future()

    # -- clients

    def admit(self, session: Session) -> bool:
        """Take a new client in.

        :returns: whether it may stay: same user, not too many
        """
        sock = session.transport.get_extra_info('socket')
        pid = uid = 0
        address = self._address(sock)
        if sock is not None and sock.family == socket.AF_UNIX:
            pid, uid = trust.peer(sock)
            if uid not in (os.getuid(), 0):
                logger.warning('refused a client of user %d', uid)
                session.transport.write(b'-NOPERM this store belongs to another user\r\n')
                return False
        descriptor = sock.fileno() if sock is not None else -1
        if len(self.clients) >= most_clients() or is_reserved(descriptor):
            if not self._full:
                self._full = True
                logger.warning(
                    'refused a client: %d are connected, and the limit of open files leaves room for %d',
                    len(self.clients),
                    most_clients(),
                )
            session.transport.write(b'-ERR max number of clients reached\r\n')
            return False
        self._full = False
        self._next_number += 1
        session.client = ClientState(
            number=self._next_number,
            address=address,
            descriptor=descriptor,
            send=session.message,
            close=session.close,
            pid=pid,
            uid=uid,
            unsent_bytes=session.unsent_bytes,
        )
        session.ctx = Context(self.keyspace, session.client, self)
        self.clients[self._next_number] = session.client
        self.sessions[self._next_number] = session
        self.statistics.connections += 1
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        return True

    def _address(self, sock: socket.socket | None) -> str:
        if sock is not None and sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                host, port = sock.getpeername()[:2]
                return f'{host}:{port}'
        return f'{one_word(str(self.settings.directory.socket))}:0'

    def leave(self, session: Session) -> None:
        """A client has gone."""
        self.outbox.pop(session, None)
        self.closing.pop(session, None)
        self._held.pop(session, None)
        client = getattr(session, 'client', None)
        if client is None or self.clients.pop(client.number, None) is None:
            return
        del self.sessions[client.number]
        self.watches.unwatch(client)
        self.pubsub.leave(client)
        self.dispatcher.monitors.pop(client.number, None)
        waiter = self._waiters.pop(client.number, None)
        if waiter is not None:
            self.waiting.leave(waiter)
        client.forget_connection()
        if not self.clients:
            self._watch_idleness()

    def _watch_idleness(self) -> None:
        if self.settings.idle and not self.clients and self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.settings.idle, self._idle)

    def _idle(self) -> None:
        self._idle_timer = None
        if not self.clients:
            logger.info('no client for %g s', self.settings.idle)
            self.shutdown()

    # -- units

    def execute(self, session: Session, argv: list[bytes]) -> Reply:
        """Execute one command of a client, inside the open unit."""
        if self.refused and argv[0].lower() not in _OF_THE_CONNECTION:
            refusal = self._reopen()
            if refusal is not None and not self._can_still_do(session.client, argv):
                client = session.client
                if client.queue is not None:
                    # What is refused must not be done later: the transaction ends here, or will when its EXEC comes.
                    client.failed = True
                    if argv[0].lower() in (b'exec', b'discard', b'reset'):
                        self.watches.end_transaction(client)
                return refusal
        if argv[0][:4] in (b'EVAL', b'eval'):
            # A script that meets a limit is rolled back with its whole unit: let that be the script alone.
            self.commit()
        try:
            return self.dispatcher.execute(session.ctx, argv)
        except Exception as fault:
            return self._undo(fault, f"'{argv[0][:64].decode('latin-1').lower()}'")

    def undo_reply(self, session: Session, argv: list[bytes], fault: Exception) -> ReplyError:
        """Undo the open unit, since a reply could not be made.

        :param argv: what it was to answer
        :returns: the error that takes its place
        """
        if isinstance(fault, encoding.UNREADABLE):
            fault = self.dispatcher.damage(session.ctx, None, argv, fault)
        return self._undo(fault, f"the reply to '{argv[0][:64].decode('latin-1').lower()}'")

    def _can_still_do(self, client: ClientState, argv: list[bytes]) -> bool:
        """:returns: whether a command writes nothing, and reads only what can be read"""
        command = find(self.commands, argv)
        if command is None or client.queue is not None or SKIP_QUEUE in command.flags:
            return False
        if LOADING in command.flags and command.name != 'debug':
            # What Redis answers while it loads: an operator is told here by INFO.
            return True
        readable = self.engine.is_open and not self.lost
        return readable and WRITE not in command.flags and command.name not in _MAY_WRITE

    def _undo(self, fault: Exception, where: str) -> ReplyError:
        """Undo the open unit; each of its replies becomes the error.

        :param where: what failed, for people
        :returns: the error
        """
        if isinstance(fault, WriteRefused):
            return self._refuse(fault.reason)
        if isinstance(fault, UnitAborted):
            # Its frames hold what the script used; see Dispatcher.execute.
            error = fault.error.with_traceback(None)
            error.__context__ = error.__cause__ = None
        elif isinstance(fault, MemoryError):
            logger.error('out of memory in %s', where)
            error = ReplyError(f'OOM the store has not enough memory for {where}: nothing of it was done')
        elif isinstance(fault, (ReadFailed, *encoding.UNREADABLE)):
            reason = words(fault) if isinstance(fault, ReadFailed) else words_of(encoding.of_keys(fault, ()))
            logger.error('damaged data in %s: %s', where, reason, exc_info=fault)
            error = damaged(self.settings.directory.path, reason)
        else:
            logger.error('internal error in %s', where, exc_info=fault)
            error = ReplyError(f'ERR internal error in {where} ({type(fault).__name__}), see store.log')
        try:
            self.keyspace.rollback()
        except ReadFailed as again:
            self.refused = words(again)
        for session in self.outbox:
            session.refuse(error)
        if not self._sweeping:
            self._start_sweeping()  # what it knew may have been rolled back
        return error

    def commit(self) -> None:
        """End the open unit: write it, then let its replies go."""
        keyspace = self.keyspace
        wrote = not self.refused and keyspace.has_changes()
        try:
            if not self.refused:
                keyspace.commit()
                self.statistics.commits += wrote
            elif keyspace.has_changes():
                # A key that a read found expired: that can be noted another time.
                keyspace.rollback()
        except Exception as fault:
            wrote = False
            self._undo(fault, 'a commit')
        if keyspace.next_due != self._expiry_due:
            self._schedule_expiry()
        if keyspace.seen is not None and wrote:
            self.durability.changed(keyspace.seen, keyspace.saw_all)
        if self.outbox and not self.closing and (self.durability.is_immediate() or self._shows_synced_only(wrote)):
            for session in self.outbox:
                session.write(session.take())
            self.outbox.clear()
            if wrote:
                self.durability.note_write()
        elif self.outbox or self.closing:
            released = [(session, session.take()) for session in self.outbox]
            closing = list(self.closing)
            self.outbox.clear()
            self.closing.clear()
            for session, _ in released:
                session.unreleased += 1

            def release() -> None:
                for session, data in released:
                    session.unreleased -= 1
                    session.write(data)
                for session in closing:
                    session.finish()

            self.durability.committed(wrote, release)
        elif wrote:
            self.durability.committed(wrote, lambda: None)
        if keyspace.seen is not None:
            keyspace.forget_seen()
        if keyspace.overlay.abandoned and not self._sweeping:
            self._start_sweeping()

    def _shows_synced_only(self, wrote: bool) -> bool:
        """:returns: whether the unit neither changed nor saw what is not durable, and no reply of its client waits"""
        keyspace = self.keyspace
        if wrote or keyspace.seen is None or self.durability.concerns(keyspace.seen, keyspace.saw_all):
            return False
        return not any(session.unreleased for session in self.outbox)

    def _start_sweeping(self) -> None:
        self._sweeping = True
        self.loop.call_later(0.05, self._sweep)

    def after_replies(self, action: Callable[[], None]) -> None:
        """Do something behind the replies of the unit that was just committed."""
        self.durability.committed(False, action)

    def _refuse(self, reason: str) -> ReplyError:
        logger.error('LevelDB refused a write: %s', reason)
        self.statistics.write_errors += 1
        self.statistics.last_write_error = reason
        self.refused = reason
        self._refused_at = 0.0
        error = self._refusal()
        for session in self.outbox:
            session.refuse(error)
        self._reopen()
        return error

    def _refusal(self) -> ReplyError:
        if self.lost:
            return ReplyError(
                f'MISCONF {LOST} ({self.lost}): nothing of this command was done; repeat it on what is there now'
            )
        return ReplyError(
            f'MISCONF the store cannot write to {self.settings.directory.path} ({self.refused}); nothing of this '
            'command was done. Make room on the disk or repair the directory: the store goes on by itself then'
        )

    def _reopen(self) -> ReplyError | None:
        # After a failed append LevelDB would go on accepting writes that no restart finds again, so nothing is
        # acknowledged until it was closed, opened, and its last acknowledged batch found. As long as it could not be
        # opened again it is kept open for those who read.
        now = time.monotonic()
        if now - self._refused_at < REOPEN_INTERVAL:
            return self._refusal()
        self._refused_at = now
        if self._lost_its_place():
            return self._refusal()
        if self.engine.is_open and not self.engine.can_grow():
            return self._refusal()
        try:
            self.engine.reopen()
            self.keyspace.rollback()
        except (errors.StoreError, WriteRefused, ReadFailed, OSError) as error:
            logger.error('cannot reopen the database: %s', words(error))
            return self._refusal()
        logger.warning('the database is open again after: %s', self.refused)
        if not self._sweeping:
            self._start_sweeping()
        self.refused = ''
        self.durability.renewed()
        return None

    def _sync_failed(self, reason: str) -> bool:
        # What was written may not be durable, now or ever: those who wait for it must not be told that it is, unless
        # it could be written anew.
        self._refuse(f'fsync: {reason}')
        if not self.refused:
            return True
        for session in list(self.sessions.values()):
            if session.unreleased:
                session.transport.abort()
        return False

    def _refuse_growth(self) -> ReplyError | None:
        # The clock may have been set back since.
        if not 0 <= self.keyspace.now - self._free_checked <= FREE_SPACE_INTERVAL:
            try:
                status = os.statvfs(self.engine.directory)
            except OSError as error:
                return self._refuse_unseen(error)
            self._free_checked = self.keyspace.now
            free = status.f_bavail * status.f_frsize
            share = status.f_blocks * status.f_frsize // FREE_SPACE_SHARE
            floor = min(FREE_SPACE_FLOOR, max(share, FREE_SPACE_LEAST))
            self._low_space = f'only {free >> 20} MiB are free' if free < floor else ''
        if self._low_space:
            return ReplyError(
                f'MISCONF the disk of {self.settings.directory.path} is almost full ({self._low_space}): commands that '
                'add data are refused until there is room'
            )
        return None

    def _refuse_unseen(self, error: OSError) -> ReplyError:
        if self._lost_its_place():
            return self._refusal()
        return ReplyError(
            f'MISCONF the directory {self.settings.directory.path} cannot be looked at ({error.strerror}): commands '
            'that add data are refused until it can'
        )

    # -- what commands ask for

    def call(self, ctx: Context, argv: list[bytes]) -> Reply:
        return self.dispatcher.call(ctx, argv)

    def block(
        self, ctx: Context, keys: list[bytes], timeout: float, attempt: Callable[[bytes], Reply], timeout_reply: Reply
    ) -> Reply:
        client = ctx.client
        session = self.sessions[client.number]

        def deliver(reply: Reply) -> None:
            client.blocked = False
            self._waiters.pop(client.number, None)
            self.dispatcher.waited(client, reply)
            session.answer(reply)
            self.loop.call_soon(session.run)

        def expire() -> None:
            self.waiting.leave(waiter)
            deliver(timeout_reply)
            self.commit()

        places = tuple((ctx.db, key) for key in dict.fromkeys(keys))
        waiter = Waiter(places, attempt, session.is_gone, deliver, timeout_reply)
        if timeout > 0:
            waiter.cancel_timer = self.loop.call_later(timeout, expire).cancel
        client.blocked = True
        self._waiters[client.number] = waiter
        self.waiting.enter(waiter)
        return NO_REPLY

    def unblock(self, client: ClientState, with_error: bool) -> bool:
        waiter = self._waiters.get(client.number)
        if waiter is None:
            return False
        self.waiting.leave(waiter)
        waiter.deliver(
            ReplyError('UNBLOCKED client unblocked via CLIENT UNBLOCK') if with_error else waiter.timeout_reply
        )
        return True

    def blocked_clients(self) -> int:
        return len(self._waiters) + len(self._held)

    def blocking_keys(self) -> int:
        return len(self.waiting.lines)

    def waited_places(self, db: int) -> list[tuple[int, bytes]]:
        return self.waiting.places(db)

    def forget_statistics(self) -> None:
        self.dispatcher.forget_statistics()
        self.sweeper.forget_statistics()

    def demand_fsync(self) -> None:
        self.settings.fsync = 'always'
        self.keyspace.track()
        self.durability.demand()

    def monitor(self, client: ClientState, shown: bool) -> None:
        if shown:
            self.dispatcher.monitors[client.number] = client
        else:
            self.dispatcher.monitors.pop(client.number, None)

    def is_synced(self) -> bool:
        return self.durability.is_synced() and not self.keyspace.has_changes()

    def wait_for_sync(self, ctx: Context, timeout: float, reply: Reply, timeout_reply: Reply) -> Reply:
        waiting = self.block(ctx, [], timeout, lambda key: None, timeout_reply)
        waiter = self._waiters[ctx.client.number]

        def synced() -> None:
            if self._waiters.get(ctx.client.number) is waiter:
                self.waiting.leave(waiter)
                waiter.deliver(reply)
                self.commit()

        # Behind the commit of what the client wrote in the same unit.
        self.loop.call_soon(self.durability.when_synced, synced)
        return waiting

    def write_trouble(self) -> str:
        if not self.refused:
            self._refuse_growth()  # looks at the free space, if that is due
        return self.refused or self._low_space

    def swept(self) -> tuple[int, int]:
        return self.sweeper.unswept(), self.sweeper.swept

    def remove_expired(self, wanted: bool) -> None:
        self._removes_expired = wanted
        self._schedule_expiry()

    def pause(self, milliseconds: int, everything: bool) -> None:
        pause = self.dispatcher.pause
        if pause is None:
            pause = self.dispatcher.pause = Pause(lambda argv: find(self.commands, argv), self._says_readonly)
        pause.extend(self.keyspace.now + milliseconds, everything)
        self.keyspace.keeps_expired = True
        self._await_end_of_pause()

    def _await_end_of_pause(self) -> None:
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
        pause = self.dispatcher.pause
        if pause is None:
            return
        left = pause.until / 1000 - time.time()
        if left <= 0:
            self.unpause()
        else:
            # A timer's delay is bounded, and the wall clock may be set meanwhile.
            self._pause_timer = self.loop.call_later(min(left, 60.0), self._await_end_of_pause)

    def _says_readonly(self, argv: list[bytes]) -> bool:
        if argv[0].lower() == b'eval':
            return says_readonly(argv[1])
        sha = argv[1].lower()
        return self.sandbox.knows(sha) and self.sandbox.is_readonly(sha)

    def _hold(self, client: ClientState, argv: list[bytes]) -> None:
        session = self.sessions[client.number]
        session.hold(argv)
        self._held[session] = None

    def unpause(self) -> None:
        if self.dispatcher.pause is None:
            return
        if self._pause_timer is not None:
            self._pause_timer.cancel()
            self._pause_timer = None
        self.dispatcher.pause = None
        self.keyspace.keeps_expired = False
        held, self._held = self._held, {}
        for session in held:
            session.client.blocked = False
            self.loop.call_soon(session.run)
        self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        if self.dispatcher.pause is not None:
            return  # the next pause has begun meanwhile
        self._schedule_expiry()
        try:
            self.dispatcher.serve_postponed()
        except Exception as fault:
            self._undo(fault, 'what waited for the end of a pause')
        self.commit()

    def shutdown(self) -> None:
        self.script_time.stop()
        if not self.stopped.done():
            self.stopped.set_result(None)

    # -- timers

    def _schedule_expiry(self) -> None:
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
            self._expiry_timer = None
        self._expiry_due = self.keyspace.next_due
        if self._expiry_due:
            delay = max(self._expiry_due / 1000 - time.time(), 0.0)
            # A timer's delay is bounded, and the wall clock may be set meanwhile.
            self._expiry_timer = self.loop.call_later(min(delay + 0.001, 60.0), self._expire)

    def _expire(self) -> None:
        self._expiry_timer = None
        if self.stopped.done() or self.dispatcher.pause is not None or not self._removes_expired:
            return  # whoever ends that looks again
        self._expiry_due = -1
        if self.refused:
            self._expiry_timer = self.loop.call_later(1.0, self._expire)
            return
        self.keyspace.tick()
        try:
            self.sweeper.take_due(SWEEP_SLICE)
            if self.keyspace.touched:
                self.dispatcher.notify()
        except Exception as fault:
            self._undo(fault, 'expiry')
            self._expiry_timer = self.loop.call_later(1.0, self._expire)
            return
        self.commit()

    def _sweep(self) -> None:
        if self.stopped.done():
            return  # the database is about to be closed; another start goes on
        if self.refused:
            self.loop.call_later(1.0, self._sweep)
            return
        try:
            self.sweeper.sweep(SWEEP_SLICE)
        except Exception as fault:
            # Whatever it is, it is only space that is not given back; another start tries again.
            self._undo(fault, 'the sweeper')
            self._sweeping = False
            return
        self.commit()
        if self.sweeper.has_work():
            self.loop.call_later(0.005, self._sweep)
        else:
            self._sweeping = False

    # -- life

    def start_timers(self) -> None:
        self._schedule_expiry()
        self.loop.call_soon(self._sweep)
        self.loop.call_later(LOOK_INTERVAL, self._look_at_place)
        self.compaction.start()
        self._watch_idleness()

    async def listen(self) -> None:
        """Listen at the socket's name.

        :raises errors.StoreError: it cannot be had
        """
        listener = await self.loop.create_unix_server(lambda: Session(self), sock=self.claim.listen(), backlog=1024)
        self.stop_listening()
        self._listener = listener

    async def listen_on_port(self, port: int) -> None:
        """Listen at a TCP port of the loopback interface as well.

        :raises errors.StoreError: it cannot be had
        """
        try:
            self._port = await self.loop.create_server(lambda: Session(self), '127.0.0.1', port, backlog=1024)
        except OSError as error:
            raise errors.StoreError(
                f'127.0.0.1:{port}',
                title=f'The store cannot listen on this port ({error.strerror or error})',
                advice='Stop what listens there, or name another one with --port.',
            ) from error

    def _sockets(self) -> list[socket.socket]:
        listeners = [listener for listener in (self._listener, self._port) if listener is not None]
        return [sock for listener in listeners for sock in listener.sockets]

    def stop_listening(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def stop_listening_on_port(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None

    def _look_at_place(self) -> None:
        if self.stopped.done() or self._lost_its_place():
            return
        if self.claim.is_reachable():
            self.loop.call_later(LOOK_INTERVAL, self._look_at_place)
        else:
            self._listening = self.loop.create_task(self._listen_again())

    async def _listen_again(self) -> None:
        try:
            await self.listen()
        except (errors.StoreError, OSError) as error:
            if str(error) != self._unreachable:
                self._unreachable = str(error)
                logger.error('no client can connect: %s', error)
        else:
            self._unreachable = ''
            logger.warning('the socket was removed or replaced: the store listens at a new one')
        self.loop.call_later(LOOK_INTERVAL, self._look_at_place)

    def _lost_its_place(self) -> bool:
        """See whether another start would find this store's directory and files; if not, end without another write.

        What is written from then on is found by nobody, so nothing more is acknowledged. Clients are disconnected, and
        connect to what is at the path now.
        """
        if not self.lost:
            self.lost = self.claim.loss() or self.engine.loss()
            if self.lost:
                self.refused = self.lost
                self._refused_at = math.inf
                self.shutdown()
        return bool(self.lost)

    async def finish(self) -> None:
        """Answer what has arrived, then close everything."""
        self.compaction.stop()
        synced = not self.lost
        if not self.lost:
            for session in list(self.sessions.values()):
                session.run()
                session.stop_reading()
            try:
                await self.durability.drain()
            except OSError as error:
                logger.error('cannot sync the database: %s', error)
                synced = False
        for session in list(self.sessions.values()):
            session.transport.close()
        await asyncio.sleep(0)
        if synced and not self.refused:
            close_database(self.settings.directory, self.engine)
        else:
            self.engine.close()

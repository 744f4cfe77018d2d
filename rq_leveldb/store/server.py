"""The store's server: clients, listeners, startup and shutdown. It wires the other parts together.

It never forks and never runs user code. One thread does everything except syncs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket

from rq_leveldb import errors, trust
from rq_leveldb.store.attending import Attendance
from rq_leveldb.store.blocking import WaitingRoom
from rq_leveldb.store.busy_polling import BusyPolling
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.commands.table import all_commands
from rq_leveldb.store.compaction import Compaction
from rq_leveldb.store.context import Context, StoreServices
from rq_leveldb.store.descriptors import is_reserved, most_clients
from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.durability import Durability
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.info import Statistics, StoreSettings, one_word
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.multi import Watches
from rq_leveldb.store.opening import close_database
from rq_leveldb.store.pausing import Pausing
from rq_leveldb.store.pubsub import PubSub
from rq_leveldb.store.refusals import Refusals
from rq_leveldb.store.replies import ReplyError
from rq_leveldb.store.script_time import ScriptTime
from rq_leveldb.store.scripting import Sandbox
from rq_leveldb.store.session import Session
from rq_leveldb.store.snapshots import Snapshots
from rq_leveldb.store.sweeper import Sweeper
from rq_leveldb.store.units import Units
from rq_leveldb.store.upkeep import Upkeep
from rq_leveldb.store.waits import Waits

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 0.5
"""Seconds between checks that clients still find this store, and a restart its files, at the path."""


class Server:
    """A store serving one data directory.

    Args:
        settings: the store's configuration.
        engine: the open database.
        claim: the lock on the directory, and the name of the socket.
        loop: the event loop that runs everything.

    Attributes:
        stopped: done when the store has to stop.
    """

    def __init__(self, settings: StoreSettings, engine: Engine, claim: Claim, loop: asyncio.AbstractEventLoop) -> None:
        self.settings = settings
        self.loop = loop
        self.statistics = Statistics()
        self.busy_polling = BusyPolling(loop)
        self.stopped: asyncio.Future[None] = loop.create_future()
        self.arriving = 0
        self.engine = engine
        self._claim = claim
        self._clients: dict[int, ClientState] = {}
        self._sessions: dict[int, Session] = {}
        self._next_number = 0
        self._full = False  # the last client exceeded the limit
        self._idle_timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Server | None = None
        self._port: asyncio.Server | None = None  # the listener at a TCP port
        self._listening: asyncio.Task[None] | None = None
        self._unreachable = ''

        self.keyspace = keyspace = Keyspace(engine)
        self._watches = watches = Watches()
        self._pubsub = PubSub()
        waiting = WaitingRoom()
        sweeper = Sweeper(keyspace)
        sandbox = Sandbox()
        commands = {command.name.encode(): command for command in all_commands()}
        self.dispatcher = Dispatcher(commands, keyspace, settings, self.statistics, watches, waiting)
        self.refusals = Refusals(keyspace, engine, claim, settings, self.statistics, self.shutdown)
        self.dispatcher.refuse_growth = self.refusals.of_growth
        self.units = Units(keyspace, self.dispatcher, watches, self.refusals, settings, self.statistics)
        always = settings.fsync == 'always'
        self.units.durability = Durability(engine, always, loop, self.statistics, self._sync_failed)
        if always:
            keyspace.track()
        self._compaction = Compaction(engine, loop, self.statistics)
        self._attendance = Attendance(loop, self._sessions.values, lambda: Session(self), self._sockets)
        self._script_time = ScriptTime(settings, self._attendance.attend, self._attendance.over)
        self.upkeep = Upkeep(loop, keyspace, sweeper, self.dispatcher, self.units, self.is_stopping)
        self._waits = Waits(loop, waiting, self.dispatcher, self.units, self._sessions)
        self._pausing = Pausing(
            loop, keyspace, self.dispatcher, sandbox, self.units, self._sessions, self.upkeep.schedule
        )
        self._snapshots = Snapshots(loop, engine, keyspace, self.units.commit)
        self._services = StoreServices(
            commands=self.dispatcher.commands,
            clients=self._clients,
            watches=watches,
            pubsub=self._pubsub,
            sandbox=sandbox,
            script_time=self._script_time,
            settings=settings,
            statistics=self.statistics,
            call=self.dispatcher.call,
            call_from_script=self.dispatcher.call_from_script,
            block=self._waits.block,
            unblock=self._waits.unblock,
            blocked_clients=lambda: len(self._waits) + len(self._pausing),
            waiting=waiting,
            monitor=self.dispatcher.monitor,
            forget_statistics=self.dispatcher.forget_statistics,
            demand_fsync=self.units.demand_fsync,
            is_synced=self.units.is_synced,
            wait_for_sync=self._waits.for_sync,
            refused=lambda: self.refusals.reason,
            write_trouble=self.refusals.trouble,
            sweeper=sweeper,
            remove_expired=self.upkeep.remove_expired,
            pause=self._pausing.begin,
            unpause=self._pausing.end,
            begin_snapshot=self._snapshots.begin,
            end_snapshot=self._snapshots.end,
            compaction=self._compaction,
            shutdown=self.shutdown,
        )

    # -- clients

    def admit(self, session: Session, sock: socket.socket | None) -> Context:
        """Admit a new client.

        Raises:
            ReplyError: it belongs to another user, or there are too many clients.
        """
        pid = uid = 0
        if sock is not None and sock.family == socket.AF_UNIX:
            pid, uid = trust.peer(sock)
            if uid not in (os.getuid(), 0):
                logger.warning('refused a client of user %d', uid)
                raise ReplyError('NOPERM this store belongs to another user')
        descriptor = sock.fileno() if sock is not None else -1
        if len(self._clients) >= most_clients() or is_reserved(descriptor):
            if not self._full:
                self._full = True
                logger.warning(
                    'refused a client: %d clients are connected, and the limit of open files allows %d',
                    len(self._clients),
                    most_clients(),
                )
            raise ReplyError('ERR max number of clients reached')
        self._full = False
        self._next_number += 1
        client = ClientState(
            number=self._next_number,
            address=self._address(sock),
            descriptor=descriptor,
            send=session.message,
            close=session.close,
            pid=pid,
            uid=uid,
            unsent_bytes=session.unsent_bytes,
        )
        self._clients[client.number] = client
        self._sessions[client.number] = session
        self.statistics.connections += 1
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        return Context(self.keyspace, client, self._services)

    def _address(self, sock: socket.socket | None) -> str:
        if sock is not None and sock.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):
                host, port = sock.getpeername()[:2]
                return f'{host}:{port}'
        return f'{one_word(str(self.settings.directory.socket))}:0'

    def leave(self, session: Session) -> None:
        """Forget a client that has disconnected."""
        client = session.client
        self.units.forget(session)
        self._pausing.forget(session)
        if self._clients.pop(client.number, None) is None:
            return
        del self._sessions[client.number]
        self._watches.unwatch(client)
        self._pubsub.leave(client)
        self.dispatcher.monitor(client, False)
        self._waits.forget(client)
        self._snapshots.end(client)
        client.forget_connection()
        if not self._clients:
            self._watch_idleness()

    def _watch_idleness(self) -> None:
        if self.settings.idle and not self._clients and self._idle_timer is None:
            self._idle_timer = self.loop.call_later(self.settings.idle, self._idle)

    def _idle(self) -> None:
        self._idle_timer = None
        if not self._clients:
            logger.info('stopping: no client for %g s', self.settings.idle)
            self.shutdown()

    def _sync_failed(self, reason: str) -> bool:
        # What was written may never become durable. Clients that wait for it must not be told that it is, unless it
        # could be written again.
        self.units.refuse(f'fsync: {reason}')
        if not self.refusals.reason:
            return True
        for session in list(self._sessions.values()):
            if session.unreleased:
                session.abort()
        return False

    # -- life

    def shutdown(self) -> None:
        """Stop the store once the commands received so far are answered."""
        self._script_time.stop()
        if not self.stopped.done():
            self.stopped.set_result(None)

    def is_stopping(self) -> bool:
        """Return whether :meth:`shutdown` was called."""
        return self.stopped.done()

    def start_timers(self) -> None:
        """Start all background work."""
        self.upkeep.start()
        self._compaction.start()
        self.loop.call_later(LOOK_INTERVAL, self._look_at_place)
        self._watch_idleness()

    async def listen(self) -> None:
        """Listen on the Unix socket.

        Raises:
            errors.StoreError: the socket cannot be created.
        """
        listener = await self.loop.create_unix_server(lambda: Session(self), sock=self._claim.listen(), backlog=1024)
        if self._listener is not None:
            self._listener.close()
        self._listener = listener

    async def listen_on_port(self, port: int) -> None:
        """Also listen on a TCP port of the loopback interface.

        Raises:
            errors.StoreError: the port is not available.
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
        """Accept no more connections."""
        for listener in (self._listener, self._port):
            if listener is not None:
                listener.close()
        self._listener = self._port = None

    def _look_at_place(self) -> None:
        if self.is_stopping() or self.refusals.lost_its_place():
            return
        if self._claim.is_reachable():
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
            logger.warning('the socket was removed or replaced: the store now listens at a new one')
        self.loop.call_later(LOOK_INTERVAL, self._look_at_place)

    async def finish(self) -> None:
        """Answer the commands received so far, then close everything."""
        self._compaction.stop()
        synced = not self.refusals.lost
        if not self.refusals.lost:
            for session in list(self._sessions.values()):
                session.run()
                session.stop_reading()
            try:
                await self.units.durability.drain()
            except OSError as error:
                logger.error('cannot sync the database: %s', error)
                synced = False
        for session in list(self._sessions.values()):
            session.finish()
        await asyncio.sleep(0)
        if synced and not self.refusals.reason:
            close_database(self.settings.directory, self.engine)
        else:
            self.engine.close()

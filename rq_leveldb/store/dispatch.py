"""From a command to its reply: checks, execution, statistics, and notifying clients of changed keys.

A *unit* is what is committed as one batch: the commands of one client that arrived together, and what they trigger for
blocked clients. No reply of a unit is sent before the unit is committed. If the commit fails, each reply becomes an
error and nothing of the unit was done.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter

from rq_leveldb.store import command as flags
from rq_leveldb.store import encoding
from rq_leveldb.store.blocking import WaitingRoom
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.command import Command, find
from rq_leveldb.store.context import Context
from rq_leveldb.store.encoding import DamagedRecord
from rq_leveldb.store.info import CommandStatistics, Statistics, StoreSettings
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.monitoring import line
from rq_leveldb.store.multi import Watches
from rq_leveldb.store.replies import (
    NO_REPLY,
    QUEUED,
    Pieces,
    Reply,
    ReplyError,
    SetReply,
    unknown_command,
    unknown_subcommand,
    wrong_arity,
)
from rq_leveldb.store.script_time import BUSY, ScriptAborted

SHOWN_ARGUMENTS = 32
SHOWN_BYTES = 128
_SHOWN_KEYS = 5

MAX_QUEUE = 512 << 20
"""Bytes of memory that the queued commands of a transaction may need, not counting their contents."""

_COMMAND, _ARGUMENT = 64, 48
"""Bytes of memory that a command and an argument need."""


Held = Callable[[Command, 'list[bytes]', 'list[list[bytes]] | None'], bool]
"""Whether a command is held back: gets it, its arguments, and what the client has queued since MULTI."""


class UnitAborted(Exception):
    """Nothing of the open unit may be kept.

    Args:
        error: the error for its clients.
    """

    def __init__(self, error: ReplyError) -> None:
        super().__init__(error.text)
        self.error = error


class _Row:
    """A command in the lookup table, with what each call needs to know about it."""

    __slots__ = (
        'command',
        'grows',
        'handler',
        'least',
        'may_write',
        'most',
        'no_script',
        'queued',
        'reads',
        'skips_queue',
        'statistics',
        'writes',
    )

    def __init__(self, command: Command, statistics: CommandStatistics) -> None:
        self.command = command
        self.statistics = statistics
        self.handler = command.handler
        self.least = abs(command.arity)
        self.most = command.arity if command.arity >= 0 else sys.maxsize
        self.skips_queue = flags.SKIP_QUEUE in command.flags
        self.grows = flags.DENYOOM in command.flags
        self.reads = not command.flags.isdisjoint((flags.READONLY, flags.IN_SNAPSHOT))
        self.no_script = flags.NOSCRIPT in command.flags
        self.writes = flags.WRITE in command.flags
        self.may_write = self.writes or flags.MAY_REPLICATE in command.flags
        self.queued = not self.skips_queue and command.flags.isdisjoint((flags.NO_MULTI, flags.NOT_QUEUED))


@dataclass(eq=False)
class Dispatcher:
    """The executor of commands.

    Args:
        commands: every command by its name in lower case.
        keyspace: the data.
        settings: the store's configuration.
        statistics: where calls and errors are counted.
        watches: the WATCHes of all clients.
        waiting: the blocked clients.
    """

    commands: dict[bytes, Command]
    keyspace: Keyspace
    settings: StoreSettings
    statistics: Statistics
    watches: Watches
    waiting: WaitingRoom
    _rows: dict[bytes | tuple[bytes, ...], _Row] = field(init=False, default_factory=dict)
    refuse_growth: Callable[[], ReplyError | None] = lambda: None
    monitors: dict[int, ClientState] = field(init=False, default_factory=dict)
    pause: Held | None = None
    hold: Callable[[ClientState, list[bytes]], None] = lambda client, argv: None
    _unserved: dict[tuple[int, bytes], None] = field(init=False, default_factory=dict)

    def _look_up(self, argv: list[bytes]) -> _Row | None:
        """Find a row that callers did not find in `_rows` by its first word; they try that inline to save a call."""
        # A command with subcommands is never stored by its name alone, so the others need only one lookup.
        words = tuple(argv[:2])
        row = self._rows.get(words)
        if row is None:
            command = find(self.commands, argv)
            if command is None:
                return None
            statistics = self.statistics.by_command.setdefault(command.name, CommandStatistics())
            # Keyed as clients spell it. Two spellings are usual; the limit guards against clients that vary the case.
            if len(self._rows) > 4 * len(self.commands):
                self._rows.clear()
            row = _Row(command, statistics)
            self._rows[words if self.commands[argv[0].lower()].subcommands else argv[0]] = row
        return row

    def _unknown(self, argv: list[bytes]) -> ReplyError:
        container = self.commands.get(argv[0].lower())
        if container is not None:
            return unknown_subcommand(argv[1].decode('utf-8', 'surrogateescape'), container.name.upper())
        return unknown_command(argv[0], argv[1:])

    def forget_statistics(self) -> None:
        """Drop references to the counters, which were reset."""
        self._rows.clear()

    def execute(self, ctx: Context, argv: list[bytes]) -> Reply:
        """Execute or queue one command that a client sent.

        Returns:
            Its reply, errors included.

        Raises:
            UnitAborted: the open unit has to be rolled back.
            Exception: likewise, for a bug or damaged data.
        """
        client = ctx.client
        row = self._rows.get(argv[0]) or self._look_up(argv)
        if row is None:
            if argv[0].lower() in (b'post', b'host:'):
                # An HTTP request that reached the port: its body would be run as commands.
                client.close()
                return NO_REPLY
            client.failed = client.queue is not None
            return self._rejected(self._unknown(argv))
        command, statistics = row.command, row.statistics
        if not row.least <= len(argv) <= row.most:
            return self._turned_away(client, command, wrong_arity(command.name))
        if client.subscribed and not _heard_while_subscribed(client, command):
            return self._turned_away(client, command, _subscribed(command))
        if ctx.keys is not self.keyspace and not row.reads:
            return self._turned_away(client, command, _snapshot(command))
        if self.pause is not None and self.pause(command, argv, client.queue):
            client.last_command = command.name
            self.hold(client, argv)
            return NO_REPLY
        if client.queue is not None and not row.skips_queue:
            if not row.queued:
                client.failed = True
                return self._rejected(ReplyError('ERR Command not allowed inside a transaction'))
            client.queue.append(argv)
            client.queue_bytes += _COMMAND + _ARGUMENT * len(argv)
            if client.queue_bytes > MAX_QUEUE:
                # EXEC will refuse it, so the queue is no longer needed.
                client.queue.clear()
                client.queue_bytes = 0
                client.failed = True
                return self._rejected(
                    ReplyError(f'ERR too many commands in a transaction: they need more than {MAX_QUEUE >> 20} MiB')
                )
            return QUEUED
        client.last_command = command.name
        keyspace = self.keyspace
        keyspace.tick()
        started = perf_counter()
        try:
            reply = self._run(ctx, row, argv)
        except ReplyError as fault:
            statistics.failed += 1
            self._count(fault)
            # The traceback holds frames that hold the reply: this reference cycle would keep their values alive.
            reply = fault.with_traceback(None)
            fault.__context__ = None
        elapsed = perf_counter() - started
        statistics.calls += 1
        statistics.seconds += elapsed
        self.statistics.commands += 1
        if elapsed * 1e6 >= self.settings.slower_than >= 0 and flags.SKIP_SLOWLOG not in command.flags:
            if client.blocked:
                client.slow = argv, elapsed
            else:
                self._remember_slow(client, argv, elapsed)
        if keyspace.touched or keyspace.woken:
            if self.watches.watchers or self.waiting.lines:
                self.notify()
            else:
                keyspace.touched.clear()
                keyspace.woken.clear()
        return reply

    def answer_while_busy(self, ctx: Context, argv: list[bytes]) -> Reply:
        """Answer a command that a client sent while another client's script runs.

        Returns:
            The reply: BUSY for most commands.
        """
        client = ctx.client
        row = self._rows.get(argv[0]) or self._look_up(argv)
        if row is None or not row.least <= len(argv) <= row.most:
            return self.execute(ctx, argv)
        command = row.command
        if not flags.allows_busy(command, argv):
            heard = _heard_while_subscribed(client, command)
            return self._turned_away(client, command, ReplyError(BUSY) if heard else _subscribed(command))
        if client.queue is not None and not row.skips_queue:
            return self.execute(ctx, argv)
        # No tick and no notify: the clock stands still, and the changes are the script's.
        row.statistics.calls += 1
        try:
            return row.handler(ctx, argv)
        except ReplyError as error:
            row.statistics.failed += 1
            self._count(error)
            return error.with_traceback(None)

    def begin(self, ctx: Context) -> bool:
        """Do what MULTI does, at a fraction of the cost.

        Returns:
            Whether it was done; if not, MULTI has to be executed as usual.
        """
        client = ctx.client
        if client.queue is not None or client.subscribed or self.monitors or self.pause is not None:
            return False
        if ctx.keys is not self.keyspace:
            return False
        if self.settings.slower_than == 0:
            return False  # the slow log has everything
        client.begin_transaction()
        return True

    def queue_ahead(self, ctx: Context, commands: deque[list[bytes]]) -> int:
        """Queue the received commands of an open transaction, at a fraction of the cost.

        Args:
            ctx: the client's context.
            commands: the received commands. Those before EXEC, or before the first error, are queued and removed.

        Returns:
            How many commands were queued.
        """
        client = ctx.client
        queue = client.queue
        if queue is None or client.subscribed or self.monitors or self.pause is not None:
            return 0
        rows = self._rows
        before = len(queue)
        cost = client.queue_bytes
        while commands and cost < MAX_QUEUE:
            argv = commands[0]
            row = rows.get(argv[0]) or self._look_up(argv) if argv else None
            count = len(argv)
            if row is None or not row.queued or not row.least <= count <= row.most:
                break
            queue.append(commands.popleft())
            cost += _COMMAND + _ARGUMENT * count
        client.queue_bytes = cost
        return len(queue) - before

    def call(self, ctx: Context, argv: list[bytes]) -> Reply:
        """Execute one command of a transaction, inside the open unit.

        Raises:
            ReplyError: its error.
        """
        row = self._rows.get(argv[0]) or self._look_up(argv)
        if row is None:
            raise self._unknown(argv)
        if not row.least <= len(argv) <= row.most:
            raise wrong_arity(row.command.name)
        return self._call(ctx, row, argv)

    def call_from_script(self, readonly: bool, ctx: Context, argv: list[bytes], resp3: bool) -> Reply:
        """Execute one command of a script, inside the open unit.

        Args:
            readonly: whether the script may not write.
            ctx: the client's context.
            argv: the command.
            resp3: whether the reply may use RESP3 types.

        Raises:
            ReplyError: its error; `counted` if the command was executed.
        """
        row = self._rows.get(argv[0]) or self._look_up(argv)
        if row is None:
            raise ReplyError('ERR Unknown Redis command called from script')
        if not row.least <= len(argv) <= row.most:
            raise ReplyError('ERR Wrong number of args calling Redis command from script')
        if row.no_script:
            raise ReplyError('ERR This Redis command is not allowed from script')
        if row.may_write:
            if readonly:
                raise ReplyError('ERR Write commands are not allowed from read-only scripts.')
            if row.writes:
                ctx.services.script_time.wrote = True
        ctx.resp3 = resp3
        return self._call(ctx, row, argv)

    def _call(self, ctx: Context, row: _Row, argv: list[bytes]) -> Reply:
        statistics = row.statistics
        statistics.calls += 1
        started = perf_counter()
        try:
            reply = self._run(ctx, row, argv)
        except ReplyError as error:
            statistics.failed += 1
            self._count(error)
            raise
        finally:
            elapsed = perf_counter() - started
            statistics.seconds += elapsed
            if elapsed * 1e6 >= self.settings.slower_than >= 0:
                self._remember_slow(ctx.client, argv, elapsed)
        return _whole(reply) if type(reply) is Pieces else reply

    def _run(self, ctx: Context, row: _Row, argv: list[bytes]) -> Reply:
        if row.grows:
            refusal = self.refuse_growth()
            if refusal is not None:
                raise refusal
        try:
            return self._monitored(ctx, row, argv) if self.monitors else row.handler(ctx, argv)
        except ScriptAborted as error:
            raise UnitAborted(error) from error
        except encoding.UNREADABLE as fault:
            raise self.damage(ctx, row.command, argv, fault) from fault

    def damage(self, ctx: Context, command: Command | None, argv: list[bytes], fault: Exception) -> DamagedRecord:
        """Return a read fault as an error that names the command's keys.

        Args:
            ctx: the client's context.
            command: the command that found damaged records; None to look it up by `argv`.
            argv: the command's name and arguments.
            fault: one of `encoding.UNREADABLE`.
        """
        command = command or find(self.commands, argv)
        if command is None or not command.keys[0]:
            return encoding.of_keys(fault, ())
        first, last, step = command.keys
        prefix = self.keyspace.prefixes[ctx.db]
        named = argv[first : last + 1 if last >= 0 else len(argv) + last + 1 : step]
        return encoding.of_keys(fault, [prefix + key for key in named])

    def _monitored(self, ctx: Context, row: _Row, argv: list[bytes]) -> Reply:
        name = row.command.name
        if name.startswith('eval'):
            self._show(ctx, row, argv)  # before the commands that the script calls
            return row.handler(ctx, argv)
        try:
            return row.handler(ctx, argv)
        finally:
            self._show(ctx, row, argv)

    def _show(self, ctx: Context, row: _Row, argv: list[bytes]) -> None:
        if flags.ADMIN not in row.command.flags:
            shown = line(ctx, argv)
            for client in list(self.monitors.values()):
                client.send(shown)

    def monitor(self, client: ClientState, shown: bool) -> None:
        """Start or stop showing a client every command."""
        if shown:
            self.monitors[client.number] = client
        else:
            self.monitors.pop(client.number, None)

    def waited(self, client: ClientState, reply: Reply) -> None:
        """Account for a blocked command that has ended with this reply."""
        if isinstance(reply, ReplyError):
            self._count(reply)
            statistics = self.statistics.by_command.get(client.last_command)
            if statistics is not None:
                statistics.failed += 1
        if client.slow is not None:
            argv, elapsed = client.slow
            client.slow = None
            if self.settings.slower_than >= 0:
                self._remember_slow(client, argv, elapsed)

    def notify(self) -> None:
        """Notify the clients that watch or wait for the changed keys."""
        keyspace, watches, waiting = self.keyspace, self.watches, self.waiting
        while keyspace.touched or keyspace.woken:
            touched, keyspace.touched = keyspace.touched, []
            woken, keyspace.woken = keyspace.woken, []
            changed = set(touched)
            for meta_key in dict.fromkeys(touched + woken):
                place = keyspace.place(meta_key)
                if place is None:
                    continue
                if meta_key in changed:
                    watches.touch(place)
                if place in waiting.lines:
                    if self.pause is None:
                        self._serve(place)
                    else:
                        self._unserved[place] = None

    def serve_postponed(self) -> None:
        """Serve the clients that wait for keys that changed during a pause."""
        places, self._unserved = self._unserved, {}
        for place in places:
            self._serve(place)
        self.notify()

    def _serve(self, place: tuple[int, bytes]) -> None:
        served = False
        for waiter in list(self.waiting.lines.get(place, ())):
            # Once earlier waiters have emptied the key, nothing is left for later ones. If it was removed in another
            # way, they must still be told: a consumer group may have gone with it.
            if served and self.keyspace.find(*place) is None:
                return
            if waiter.is_gone():
                continue  # leaves its queues once the loop reports the disconnect
            try:
                reply = waiter.attempt(place[1])
            except ReplyError as error:
                reply = error
            except encoding.UNREADABLE as fault:
                self.waiting.leave(waiter)
                found = encoding.of_keys(fault, [self.keyspace.prefixes[place[0]] + place[1]])
                waiter.deliver(damaged(self.settings.directory.path, words_of(found)))
                raise found from fault
            except Exception:
                # Left in the queue, it would fail the next client that changes this key.
                self.waiting.leave(waiter)
                waiter.deliver(ReplyError('ERR internal error, see store.log'))
                raise
            if reply is not None:
                served = True
                self.waiting.leave(waiter)
                waiter.deliver(reply)

    def _turned_away(self, client: ClientState, command: Command, error: ReplyError) -> ReplyError:
        """Reject a known command; a transaction that it belongs to, or should end, fails with it."""
        client.failed = client.queue is not None
        if command.name == 'exec':
            self.watches.end_transaction(client)
            error = ReplyError(f'EXECABORT Transaction discarded because of: {error.text.removeprefix("ERR ")}')
        return self._rejected(error)

    def _count(self, error: ReplyError) -> None:
        if not error.counted:
            self.statistics.count_error(error.text)
            error.counted = True

    def _rejected(self, error: ReplyError) -> ReplyError:
        self.statistics.count_error(error.text)
        return error

    def _remember_slow(self, client: ClientState, argv: list[bytes], elapsed: float) -> None:
        statistics = self.statistics
        shown = [
            argument
            if len(argument) <= SHOWN_BYTES
            else argument[:SHOWN_BYTES] + b'... (%d more bytes)' % (len(argument) - SHOWN_BYTES)
            for argument in islice(argv, SHOWN_ARGUMENTS)
        ]
        if len(argv) > SHOWN_ARGUMENTS:
            shown[-1] = b'... (%d more arguments)' % (len(argv) - SHOWN_ARGUMENTS + 1)
        times = int(time.time()), int(elapsed * 1e6)
        statistics.slow.appendleft([statistics.slow_number, *times, shown, client.address.encode(), client.name])
        statistics.slow_number += 1
        while len(statistics.slow) > self.settings.slowlog_length:
            statistics.slow.pop()


def damaged(directory: Path, reason: str) -> ReplyError:
    """Return the error for a command that found damaged data.

    Args:
        directory: the data directory, named in the text.
        reason: what cannot be read, in words.
    """
    return ReplyError(
        f'MISCONF the database in {directory} is damaged or cannot be read ({reason}). Other keys can be used; '
        'rq-leveldb check says what is damaged, and with --fix saves what can be read'
    )


def words_of(fault: DamagedRecord) -> str:
    """Return in words what is damaged, and of which key."""
    names = [
        f"'{key[encoding.META_PREFIX_SIZE :][:SHOWN_BYTES].decode('utf-8', 'surrogateescape')}'"
        for key in islice(fault.keys, _SHOWN_KEYS)
    ]
    if len(fault.keys) > _SHOWN_KEYS:
        names.append('...')
    if not names:
        return f'a key: {fault.reason}'
    return f'{"one of the keys" if len(names) > 1 else "the key"} {", ".join(names)}: {fault.reason}'


def _heard_while_subscribed(client: ClientState, command: Command) -> bool:
    return not client.subscribed or client.protocol == 3 or flags.IN_SUBSCRIPTION in command.flags


def _subscribed(command: Command) -> ReplyError:
    return ReplyError(
        f"ERR Can't execute '{command.name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
        'RESET are allowed in this context'
    )


def _snapshot(command: Command) -> ReplyError:
    return ReplyError(f"ERR Can't execute '{command.name}': a client with a snapshot can only read")


def _whole(reply: Pieces) -> Reply:
    if reply.kind == 'map':
        return dict(zip(reply.elements, reply.elements, strict=True))
    if reply.kind == 'set':
        return SetReply(reply.elements)
    return list(reply.elements)

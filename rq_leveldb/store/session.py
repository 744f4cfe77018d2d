"""One client: from bytes that arrive to commands, from replies to bytes that leave, with limits on both.

A client that does not read its replies has nothing more executed until it does, so that its replies need no memory. It
is listened to all the same, since a client that sends a long pipeline reads nothing before it has sent everything. What
it sends ahead stays the bytes that it is: as commands it would need many times as much. It has a limit, as have the
messages of its subscriptions; above them the client is disconnected, as Redis does.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Protocol, cast

from rq_leveldb.store.busy_polling import BusyPolling
from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.context import Context
from rq_leveldb.store.dispatch import Dispatcher
from rq_leveldb.store.info import Statistics
from rq_leveldb.store.outbox import Outbox
from rq_leveldb.store.replies import MAX_WHOLE, NoReply, Pieces, Push, Reply, ReplyError, Status
from rq_leveldb.store.resp import MAX_QUERY, Parser, ProtocolError, encode, encode_pieces, error_line
from rq_leveldb.store.session_state import (
    BEGIN,
    CLOSE,
    END,
    FAIL,
    FINISH,
    HOLD,
    RESUME,
    STREAM,
    STREAMED,
    Execution,
    Reading,
)
from rq_leveldb.store.units import Units

logger = logging.getLogger(__name__)

UNIT_COMMANDS = 1000
UNIT_BYTES = 1 << 20
"""A unit is committed at the latest after so many commands, or bytes of replies."""

TURN_COMMANDS = 2000
"""Commands after which other clients get their turn."""

MAX_BEHIND_WAITING = 1 << 20
"""Bytes behind a command that waits, above which the client is not listened to any more."""

PARSED_BYTES = 1 << 16
"""Bytes of what was sent ahead that become commands at a time."""

MAX_UNSENT_MESSAGES = 32 << 20
"""Bytes of subscriptions' messages that may wait for a client (client-output-buffer-limit pubsub)."""

HIGH_WATER = 1 << 20

_ENDED = getattr(select, 'POLLRDHUP', 0)  # macOS reports it as POLLHUP, which needs not be asked for
_MULTI = [b'MULTI']
_MAY_TAKE_LONG = (b'EVAL', b'eval', b'EXEC', b'exec')
_OK = b'+OK\r\n'
_QUEUED = b'+QUEUED\r\n'
_READY, _RUNNING, _, _CLOSING = Execution
_OPEN = Reading.OPEN


class Host(Protocol):
    """The store that a session belongs to.

    Attributes:
        arriving: connections that were accepted, and that the loop has not introduced yet.
    """

    loop: asyncio.AbstractEventLoop
    statistics: Statistics
    busy_polling: BusyPolling
    dispatcher: Dispatcher
    units: Units
    arriving: int

    def admit(self, session: Session, sock: socket.socket | None) -> Context:
        """Take a new client in.

        Raises:
            ReplyError: It may not stay.
        """

    def leave(self, session: Session) -> None:
        """A client that was admitted has gone."""

    def is_stopping(self) -> bool:
        """Return whether nothing more is listened to."""


class Session(asyncio.Protocol):
    """One client's connection.

    Args:
        host: the store.

    Attributes:
        outbox: its replies in the open unit.
        unreleased: units whose replies wait for a sync.
    """

    transport: asyncio.Transport
    ctx: Context
    client: ClientState

    def __init__(self, host: Host) -> None:
        self._host = host
        self._units = host.units
        self._parser = Parser()
        self._backlog: deque[list[bytes]] = deque()
        self._unparsed: deque[bytes] = deque()  # what arrived behind the backlog
        self._ahead = 0  # bytes that arrived since the backlog was last empty
        self.outbox = Outbox()
        self._own_messages: list[Push | Status] = []  # behind the reply of the command that runs
        self._pieces: Iterator[bytes] | None = None
        self._held: list[bytes] = []  # replies behind one that is being sent in pieces
        self._execution = _READY
        self._reading = _OPEN
        self._fault = ''
        self._full = False  # the transport has more to send than it should
        self._deferred = False
        self.unreleased = 0
        host.arriving += 1

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or tell it why not and hang up."""
        self._host.arriving -= 1
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        try:
            self.ctx = self._host.admit(self, transport.get_extra_info('socket'))
            self.client = self.ctx.client
        except ReplyError as refusal:
            self._execution = CLOSE[self._execution]
            self.transport.write(error_line(refusal.text))
            self.transport.close()

    def move_to(self, transport: asyncio.Transport) -> None:
        """Go on with another transport of the same connection."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._execution is _CLOSING:
            transport.close()
        elif self._reading in (Reading.HELD, Reading.FAULTY):
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client and what it had asked for."""
        self._execution = CLOSE[self._execution]
        self._forget_commands()
        self._pieces = None
        if hasattr(self, 'client'):
            self._host.leave(self)

    def _forget_commands(self) -> None:
        self._backlog.clear()
        self._unparsed.clear()

    def data_received(self, data: bytes) -> None:
        """Run the commands that are complete now, behind those that came before."""
        if self._execution is _CLOSING or self._fault:
            return
        host = self._host
        host.statistics.input_bytes += len(data)
        self._ahead += len(data)
        self.client.last_active = now = time.monotonic()
        host.busy_polling.arrived(now)
        if self._backlog:
            self._put_aside(data)
            self.run()
        else:
            self._parse(data)
            if self._backlog:
                self.run()
        host.busy_polling.answered()

    def _parse(self, data: bytes) -> None:
        try:
            self._backlog.extend(self._parser.feed(data))
        except ProtocolError as error:
            self._backlog.extend(error.args[1])
            self._backlog.append([])  # stands for the fault: whatever came before it is answered first
            self._fault = error.args[0]
            self._unparsed.clear()
            self.stop_reading()
            self._reading = FAIL[self._reading]

    def _put_aside(self, data: bytes) -> None:
        unparsed = self._unparsed
        if unparsed and len(unparsed[-1]) + len(data) <= PARSED_BYTES:
            unparsed[-1] += data  # a piece of its own would cost many times its length
        else:
            unparsed.append(data)

    def _parse_more(self) -> None:
        data = self._unparsed.popleft()
        if len(data) > PARSED_BYTES:
            self._unparsed.appendleft(data[PARSED_BYTES:])
            data = data[:PARSED_BYTES]
        self._parse(data)

    def eof_received(self) -> bool:
        """Read no more, and close the connection when what has arrived is answered."""
        self._reading = FINISH[self._reading]
        self._close_if_done()
        return True

    def _close_if_done(self) -> None:
        # What was sent before the end is executed and answered, unless it waits for what may never come.
        if self._execution is _READY and (self.client.blocked or not (self._backlog or self._unparsed)):
            self.close()
            self._units.commit()

    def pause_writing(self) -> None:
        """Make no more replies for now: the client does not read them."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on with the replies: the client has read most of them."""
        self._full = False
        if self._pieces is not None:
            self._pump()
        else:
            self.run()

    # -- while a script of another client runs

    def is_at_rest(self) -> bool:
        """Return whether nothing is under way, so that what arrives next can be answered next."""
        return (
            self._execution is _READY
            and self._reading is _OPEN
            and not (self._full or self.client.blocked or self._backlog or self._unparsed)
            and not (self.outbox.parts or self.unreleased or self.transport.get_write_buffer_size())
        )

    def is_closing(self) -> bool:
        """Return whether the client is disconnected once what was answered has been sent."""
        return self._execution is _CLOSING

    def is_gone(self) -> bool:
        """Return whether nobody would receive a reply, even if the loop has not come to that yet.

        Returns:
            Whether the client was disconnected, or has ended its side of the connection, even if the loop has not come
            to that yet.
        """
        # Once closed, the descriptor may be another client's.
        if self._execution is _CLOSING or self.transport.is_closing():
            return True
        ended = select.poll()
        ended.register(self.client.descriptor, _ENDED)
        return bool(ended.poll(0))

    def answer_while_busy(self, data: bytes) -> bytes:
        """Return what has to be sent.

        Args:
            data: what arrived.
        """
        statistics, dispatcher = self._host.statistics, self._host.dispatcher
        statistics.input_bytes += len(data)
        fault = b''
        try:
            commands = self._parser.feed(data)
        except ProtocolError as error:
            commands = error.args[1]
            self._fault = error.args[0]
            self._reading = FAIL[self._reading]
            fault = error_line(self._fault)
            self.close()
        ctx = self.ctx
        answer = b''
        for argv in commands:
            reply = dispatcher.answer_while_busy(ctx, argv)
            if type(reply) is not NoReply:
                answer += encode(reply, ctx.resp3)
        answer += fault
        statistics.output_bytes += len(answer)
        return answer

    # -- execution

    def run(self) -> None:
        """Execute what has arrived, as far as the client may go on."""
        if self._execution is not _READY:
            return
        host, units, backlog, unparsed = self._host, self._units, self._backlog, self._unparsed
        dispatcher, client, ctx = host.dispatcher, self.client, self.ctx
        count = size = turn = 0
        self._execution = BEGIN[_READY]
        try:
            while (backlog or unparsed) and not client.blocked and not self._full:
                if self._execution is not _RUNNING:
                    self._forget_commands()
                    break
                if not backlog:
                    self._parse_more()
                    continue
                if client.queue is not None:
                    queued = dispatcher.queue_ahead(ctx, backlog)
                    if queued:
                        count += self._answer_queued(b'', queued)
                        continue
                argv = backlog.popleft()
                if argv == _MULTI and not units.refusals.reason and dispatcher.begin(ctx):
                    count += 1 + self._answer_queued(_OK, dispatcher.queue_ahead(ctx, backlog))
                    continue
                if not argv:
                    self.answer(ReplyError(self._fault))
                    self.close()
                    break
                if host.arriving and not self._deferred and argv[0][:4] in _MAY_TAKE_LONG:
                    # Only those whom the loop has introduced are heard while a script runs.
                    self._deferred = True
                    backlog.appendleft(argv)
                    host.loop.call_soon(self.run)
                    break
                self._deferred = False
                reply = units.execute(self, argv)
                if type(reply) is NoReply:
                    if self._own_messages:
                        self._send_own_messages()
                    continue
                if type(reply) is Pieces and (reply.count > MAX_WHOLE or reply.counting is not None):
                    # The unit ends here, so that the reply shows nothing that is not committed.
                    units.commit()
                    self._send_in_pieces(reply)
                    if self._own_messages:
                        self._send_own_messages()
                    break
                try:
                    size += self.answer(reply)
                except Exception as fault:
                    # What a reply consists of may be read only now.
                    size += self.answer(units.undo_reply(self, argv, fault))
                count += 1
                if count >= UNIT_COMMANDS or size >= UNIT_BYTES:
                    units.commit()
                    turn += count
                    count = size = 0
                    if turn >= TURN_COMMANDS:
                        host.loop.call_soon(self.run)
                        break
        finally:
            self._execution = END[self._execution]
            units.commit()
        if not backlog and not unparsed:
            self._ahead = 0
        if self._ahead or self._reading is not _OPEN:
            self._read_on()

    def _read_on(self) -> None:
        """Listen to the client, or not, as much as it has sent ahead allows."""
        if self._reading is Reading.ENDED:
            self._close_if_done()
        if self._ahead > MAX_QUERY:
            logger.warning('disconnected client %d: more than %d MiB sent ahead', self.client.number, MAX_QUERY >> 20)
            self.transport.abort()
        elif self.client.blocked and self._ahead > MAX_BEHIND_WAITING:
            self.stop_reading()
        elif self._reading is Reading.HELD and self._execution is not _CLOSING and not self._host.is_stopping():
            self._reading = RESUME[self._reading]
            self.transport.resume_reading()

    def stop_reading(self) -> None:
        """Take in no more bytes, for now."""
        if self._reading is _OPEN and not self.transport.is_closing():
            self._reading = HOLD[self._reading]
            self.transport.pause_reading()

    def answer(self, reply: Reply) -> int:
        """Put a reply behind those of the open unit.

        Returns:
            Its size in bytes.
        """
        data = encode(reply, self.ctx.resp3)
        self.outbox.parts.append(data)
        self._units.members[self] = None
        if self._own_messages:
            self._send_own_messages()
        return len(data)

    def _answer_queued(self, first: bytes, queued: int) -> int:
        self.outbox.put_replies(first + _QUEUED * queued, queued + bool(first))
        self._units.members[self] = None
        return queued

    def message(self, push: Push | Status) -> None:
        """Put a message (pub/sub, MONITOR) behind the replies of the open unit."""
        if self._execution is _CLOSING:
            return
        if self._execution is _RUNNING:
            # What the client sent itself comes behind the reply to that: else it would be taken for the reply.
            self._own_messages.append(push)
            return
        self._put(push)

    def _put(self, push: Push | Status) -> None:
        if self.unsent_bytes() > MAX_UNSENT_MESSAGES:
            self.transport.abort()
            return
        self.outbox.put_message(encode(push, self.ctx.resp3))
        self._units.members[self] = None

    def _send_own_messages(self) -> None:
        messages, self._own_messages = self._own_messages, []
        for push in messages:
            self._put(push)

    def refuse(self, error: ReplyError) -> None:
        """Let every reply of the open unit be this error, and drop its messages: it was not committed."""
        if self.client.queue is not None:
            # Its client was told that a command of the transaction failed, so EXEC must not do the others.
            self.client.failed = True
        self.outbox.refuse(error_line(error.text))

    def write(self, data: bytes) -> None:
        """Send; behind a reply that is still being sent in pieces."""
        if not data or self.transport.is_closing():
            return
        self._host.statistics.output_bytes += len(data)
        if self._pieces is not None:
            self._held.append(data)
        else:
            self.transport.write(data)

    def _send_in_pieces(self, reply: Pieces) -> None:
        self._execution = STREAM[self._execution]
        pieces = encode_pieces(reply, self.ctx.resp3)

        def start() -> None:
            self._pieces = pieces
            self._pump()

        self._units.after_replies(start)

    def _pump(self) -> None:
        # A slice at a time, so that others get their turn.
        for _ in range(16):
            if self._pieces is None or self._full:
                return
            try:
                piece = next(self._pieces, None)
            except Exception as fault:
                # Half a reply cannot be taken back; the client sees that it is not whole.
                logger.error('cannot go on sending a reply: %s', fault, exc_info=fault)
                self.transport.abort()
                return
            if piece is None:
                self._pieces = None
                self._execution = STREAMED[self._execution]
                held, self._held = self._held, []
                self.write(b''.join(held))
                # Not at once: it may be the command's own run that has sent all of it.
                self._host.loop.call_soon(self.run)
                return
            if self.transport.is_closing():
                self._pieces = None
                return
            self._host.statistics.output_bytes += len(piece)
            self.transport.write(piece)
        self._host.loop.call_soon(self._pump)

    def hold(self, argv: list[bytes]) -> None:
        """Let a command that was about to be executed, and whatever comes behind it, wait (CLIENT PAUSE)."""
        self._backlog.appendleft(argv)
        self.client.blocked = True

    def unsent_bytes(self) -> int:
        """Return how many bytes of replies are not sent yet."""
        return self.transport.get_write_buffer_size() + self.outbox.size() + sum(map(len, self._held))

    def close(self) -> None:
        """Disconnect when what was answered has been sent."""
        self._execution = CLOSE[self._execution]
        self._units.leaving[self] = None

    def finish(self) -> None:
        """Disconnect: what was answered has been handed over, and the transport sends it first."""
        self.transport.close()

    def abort(self) -> None:
        """Disconnect at once, whatever has not been sent."""
        self.transport.abort()

"""One client's connection: input bytes become commands, replies become output bytes, with limits on both.

While a client does not read its replies, no more of its commands are executed, so that unread replies take no memory.
Its input is still read, since a client may send a whole pipeline before it reads anything. Input received ahead is kept
as bytes: parsed into commands it would take many times the memory. Both this input and unsent pub/sub messages are
limited. A client that exceeds a limit is disconnected, as in Redis.
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
"""Number of commands, or bytes of replies, after which a unit is committed."""

TURN_COMMANDS = 2000
"""Number of commands after which other clients get their turn."""

MAX_BEHIND_WAITING = 1 << 20
"""Bytes received behind a blocked command above which the client's input is no longer read."""

PARSED_BYTES = 1 << 16
"""Bytes of input received ahead that are parsed at a time."""

UNSENT_BYTES = 1 << 16
"""Bytes of replies that wait for those to the commands behind them, since each sending costs as much as a command."""

MAX_UNSENT_MESSAGES = 32 << 20
"""Bytes of pub/sub messages that may wait for a client (client-output-buffer-limit pubsub)."""

HIGH_WATER = 1 << 20

_ENDED = getattr(select, 'POLLRDHUP', 0)  # macOS reports it as POLLHUP, which need not be requested
_MULTI = [b'MULTI']
_MAY_TAKE_LONG = (b'EVAL', b'eval', b'EXEC', b'exec')
_OK = b'+OK\r\n'
_QUEUED = b'+QUEUED\r\n'
_READY, _RUNNING, _, _CLOSING = Execution
_OPEN = Reading.OPEN


class Host(Protocol):
    """The store that a session belongs to.

    Attributes:
        arriving: connections accepted but not yet passed to `connection_made`.
    """

    loop: asyncio.AbstractEventLoop
    statistics: Statistics
    busy_polling: BusyPolling
    dispatcher: Dispatcher
    units: Units
    arriving: int

    def admit(self, session: Session, sock: socket.socket | None) -> Context:
        """Admit a new client.

        Raises:
            ReplyError: the client is refused.
        """

    def leave(self, session: Session) -> None:
        """Forget an admitted client that has disconnected."""

    def is_stopping(self) -> bool:
        """Return whether no more input is read."""


class Session(asyncio.Protocol):
    """One client's connection.

    Args:
        host: the store.

    Attributes:
        outbox: the client's replies in the open unit.
        unreleased: number of units whose replies wait for a sync.
    """

    transport: asyncio.Transport
    ctx: Context
    client: ClientState

    def __init__(self, host: Host) -> None:
        self._host = host
        self._units = host.units
        self._parser = Parser()
        self._backlog: deque[list[bytes]] = deque()
        self._unparsed: deque[bytes] = deque()  # input behind the backlog
        self._ahead = 0  # bytes that arrived since the backlog was last empty
        self.outbox = Outbox()
        self._own_messages: list[Push | Status] = []  # sent after the reply of the running command
        self._pieces: Iterator[bytes] | None = None
        self._held: list[bytes] = []  # replies behind one being sent in pieces
        self._unsent: list[bytes] = []  # replies that are sent when the running commands are over
        self._unsent_size = 0
        self._execution = _READY
        self._reading = _OPEN
        self._fault = ''
        self._full = False  # the transport's write buffer is above its limit
        self._deferred = False
        self.unreleased = 0
        host.arriving += 1

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or tell it why not and disconnect."""
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
        """Continue on another transport of the same connection."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._execution is _CLOSING:
            transport.close()
        elif self._reading in (Reading.HELD, Reading.FAULTY):
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client and its pending commands."""
        self._execution = CLOSE[self._execution]
        self._forget_commands()
        self._pieces = None
        if hasattr(self, 'client'):
            self._host.leave(self)

    def _forget_commands(self) -> None:
        self._backlog.clear()
        self._unparsed.clear()

    def data_received(self, data: bytes) -> None:
        """Run the commands that are now complete, after the earlier ones."""
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
            self._backlog.append([])  # stands for the fault; the commands before it are answered first
            self._fault = error.args[0]
            self._unparsed.clear()
            self.stop_reading()
            self._reading = FAIL[self._reading]

    def _put_aside(self, data: bytes) -> None:
        unparsed = self._unparsed
        if unparsed and len(unparsed[-1]) + len(data) <= PARSED_BYTES:
            unparsed[-1] += data  # a separate piece would take many times its length
        else:
            unparsed.append(data)

    def _parse_more(self) -> None:
        data = self._unparsed.popleft()
        if len(data) > PARSED_BYTES:
            self._unparsed.appendleft(data[PARSED_BYTES:])
            data = data[:PARSED_BYTES]
        self._parse(data)

    def eof_received(self) -> bool:
        """Stop reading, and close the connection once all input is answered."""
        self._reading = FINISH[self._reading]
        self._close_if_done()
        return True

    def _close_if_done(self) -> None:
        # Commands sent before the end are executed and answered, unless one blocks on what may never come.
        if self._execution is _READY and (self.client.blocked or not (self._backlog or self._unparsed)):
            self.close()
            self._units.commit()

    def pause_writing(self) -> None:
        """Stop producing replies: the client does not read them."""
        self._full = True

    def resume_writing(self) -> None:
        """Continue with the replies: the client has read most of them."""
        self._full = False
        if self._pieces is not None:
            self._pump()
        else:
            self.run()

    # -- while a script of another client runs

    def is_at_rest(self) -> bool:
        """Return whether nothing is in progress, so that the next command can be answered at once."""
        return (
            self._execution is _READY
            and self._reading is _OPEN
            and not (self._full or self.client.blocked or self._backlog or self._unparsed)
            and not (self.outbox.parts or self.unreleased or self.transport.get_write_buffer_size())
        )

    def is_closing(self) -> bool:
        """Return whether the client is disconnected once its replies have been sent."""
        return self._execution is _CLOSING

    def is_gone(self) -> bool:
        """Return whether nobody would receive a reply.

        Returns:
            Whether the client was disconnected or has ended its side of the connection, even if the event loop has not
            noticed yet.
        """
        # Once closed, the descriptor may belong to another client.
        if self._execution is _CLOSING or self.transport.is_closing():
            return True
        ended = select.poll()
        ended.register(self.client.descriptor, _ENDED)
        return bool(ended.poll(0))

    def answer_while_busy(self, data: bytes) -> bytes:
        """Answer input while another client's script runs.

        Args:
            data: the bytes received.

        Returns:
            The bytes to send.
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
        """Execute the received commands, as far as the client may continue."""
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
                    # While a script runs, only clients that the loop has already announced are answered.
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
                    # Commit first, so that the reply shows nothing uncommitted.
                    units.commit()
                    self._send_in_pieces(reply)
                    if self._own_messages:
                        self._send_own_messages()
                    break
                try:
                    size += self.answer(reply)
                except Exception as fault:
                    # A reply's contents may be read from the database only now.
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
            if self._unsent:
                self._send()
        if not backlog and not unparsed:
            self._ahead = 0
        if self._ahead or self._reading is not _OPEN:
            self._read_on()

    def _read_on(self) -> None:
        """Pause or resume reading, depending on how much the client has sent ahead."""
        if self._reading is Reading.ENDED:
            self._close_if_done()
        if self._ahead > MAX_QUERY:
            logger.warning(
                'disconnected client %d: it sent more than %d MiB without waiting for replies',
                self.client.number,
                MAX_QUERY >> 20,
            )
            self.transport.abort()
        elif self.client.blocked and self._ahead > MAX_BEHIND_WAITING:
            self.stop_reading()
        elif self._reading is Reading.HELD and self._execution is not _CLOSING and not self._host.is_stopping():
            self._reading = RESUME[self._reading]
            self.transport.resume_reading()

    def stop_reading(self) -> None:
        """Stop reading input for now."""
        if self._reading is _OPEN and not self.transport.is_closing():
            self._reading = HOLD[self._reading]
            self.transport.pause_reading()

    def answer(self, reply: Reply) -> int:
        """Append a reply to those of the open unit.

        Returns:
            The size of the reply in bytes.
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
        """Append a message (pub/sub, MONITOR) to the replies of the open unit."""
        if self._execution is _CLOSING:
            return
        if self._execution is _RUNNING:
            # A message that the client published itself follows the reply, or it would be taken for the reply.
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
        """Replace every reply of the open unit by this error and drop its messages: it was not committed."""
        if self.client.queue is not None:
            # The client was told that a command of the transaction failed, so EXEC must not run the others.
            self.client.failed = True
        self.outbox.refuse(error_line(error.text))

    def write(self, data: bytes) -> None:
        """Send bytes, after any reply that is still being sent in pieces."""
        if not data or self.transport.is_closing():
            return
        self._host.statistics.output_bytes += len(data)
        if self._pieces is not None:
            self._held.append(data)
        elif self._execution is _RUNNING and self._unsent_size + len(data) <= UNSENT_BYTES:
            self._unsent.append(data)
            self._unsent_size += len(data)
        elif self._unsent:
            self._unsent.append(data)
            self._send()
        else:
            self.transport.write(data)

    def _send(self) -> None:
        data = b''.join(self._unsent)
        self._unsent.clear()
        self._unsent_size = 0
        if not self.transport.is_closing():
            self.transport.write(data)

    def _send_in_pieces(self, reply: Pieces) -> None:
        self._execution = STREAM[self._execution]
        pieces = encode_pieces(reply, self.ctx.resp3)

        def start() -> None:
            if self._unsent:
                self._send()
            self._pieces = pieces
            self._pump()

        self._units.after_replies(start)

    def _pump(self) -> None:
        # A few pieces at a time, so that other clients get their turn.
        for _ in range(16):
            if self._pieces is None or self._full:
                return
            try:
                piece = next(self._pieces, None)
            except Exception as fault:
                # Half a reply cannot be taken back. A lost connection shows the client that it is incomplete.
                logger.error('cannot go on sending a reply: %s', fault, exc_info=fault)
                self.transport.abort()
                return
            if piece is None:
                self._pieces = None
                self._execution = STREAMED[self._execution]
                held, self._held = self._held, []
                self.write(b''.join(held))
                # Not at once: the caller may be the command's own run, which has sent the whole reply.
                self._host.loop.call_soon(self.run)
                return
            if self.transport.is_closing():
                self._pieces = None
                return
            self._host.statistics.output_bytes += len(piece)
            self.transport.write(piece)
        self._host.loop.call_soon(self._pump)

    def hold(self, argv: list[bytes]) -> None:
        """Hold back a command that was about to run, and everything behind it (CLIENT PAUSE)."""
        self._backlog.appendleft(argv)
        self.client.blocked = True

    def unsent_bytes(self) -> int:
        """Return how many bytes of replies are still unsent."""
        held = sum(map(len, self._held)) + self._unsent_size
        return self.transport.get_write_buffer_size() + self.outbox.size() + held

    def close(self) -> None:
        """Disconnect once the replies have been sent."""
        self._execution = CLOSE[self._execution]
        self._units.leaving[self] = None

    def finish(self) -> None:
        """Disconnect; the transport first sends the replies it holds."""
        if self._unsent:
            self._send()
        self.transport.close()

    def abort(self) -> None:
        """Disconnect at once and drop unsent replies."""
        self.transport.abort()

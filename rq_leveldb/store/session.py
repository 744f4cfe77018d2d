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
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from rq_leveldb.store.client_state import ClientState
from rq_leveldb.store.context import Context
from rq_leveldb.store.replies import NoReply, Pieces, Push, Reply, ReplyError, Status
from rq_leveldb.store.resp import MAX_QUERY, Parser, ProtocolError, encode, encode_pieces, error_line

if TYPE_CHECKING:
    from rq_leveldb.store.server import Server

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
STREAMED_FROM = 1000
"""Elements above which a reply is sent in pieces."""


_ENDED = getattr(select, 'POLLRDHUP', 0)  # macOS reports it as POLLHUP, which needs not be asked for
_MULTI = [b'MULTI']
_MAY_TAKE_LONG = (b'EVAL', b'eval', b'EXEC', b'exec')
_OK = b'+OK\r\n'
_QUEUED = b'+QUEUED\r\n'


class Session(asyncio.Protocol):
    """:param server: the store, which executes and commits"""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.parser = Parser()
        self.backlog: deque[list[bytes]] = deque()
        self._unparsed: deque[bytes] = deque()  # what arrived behind the backlog
        self.pending: list[bytes] = []
        self.pending_messages: list[int] = []
        self._own_messages: list[Push | Status] = []  # behind the reply of the command that runs
        self.unreleased = 0  # units whose replies wait for a sync
        self._uncounted = 0  # replies in `pending` beyond one an element
        self.transport: asyncio.Transport
        self.ctx: Context
        self.client: ClientState
        self._pieces: Iterator[bytes] | None = None
        self._streaming = False  # a reply in pieces is being sent, or will be once what came before it has left
        self._fault = ''
        self._held: list[bytes] = []  # replies behind one that is being sent in pieces
        self._paused = False
        self._reading = True
        self._ended = False  # the client sends no more
        self._ahead = 0  # bytes that arrived since the backlog was last empty
        self._closing = False
        self._running = False
        self._deferred = False
        server.arriving += 1

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.server.arriving -= 1
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        admitted = self.server.admit(self)
        if not admitted:
            self._closing = True
            self.transport.close()

    def move_to(self, transport: asyncio.Transport) -> None:
        """Go on with another transport of the same connection."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        if self._closing:
            transport.close()
        elif not self._reading:
            transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self.backlog.clear()
        self._unparsed.clear()
        self._pieces = None
        self.server.leave(self)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._fault:
            return
        self.server.statistics.input_bytes += len(data)
        self._ahead += len(data)
        self.client.last_active = now = time.monotonic()
        self.server.busy_polling.arrived(now)
        if self.backlog:
            self._put_aside(data)
            self.run()
        else:
            self._parse(data)
            if self.backlog:
                self.run()
        self.server.busy_polling.answered()

    def _parse(self, data: bytes) -> None:
        try:
            self.backlog.extend(self.parser.feed(data))
        except ProtocolError as error:
            self.backlog.extend(error.args[1])
            self.backlog.append([])  # stands for the fault: whatever came before it is answered first
            self._fault = error.args[0]
            self._unparsed.clear()
            self.stop_reading()

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
        # What was sent before the end is executed and answered, unless it waits for what may never come.
        self._ended = True
        if not self._closing and (self.client.blocked or not (self.backlog or self._unparsed or self._streaming)):
            self.close()
            self.server.commit()
        return True

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._pieces is not None:
            self._pump()
        else:
            self.run()

    # -- while a script of another client runs

    def is_at_rest(self) -> bool:
        """:returns: whether nothing is under way, so that what arrives next can be answered next"""
        return (
            self._reading
            and not (self._running or self._streaming or self._paused or self._closing or self._fault)
            and not (self.client.blocked or self.backlog or self._unparsed or self.pending or self.unreleased)
            and not self.transport.get_write_buffer_size()
        )

    def is_closing(self) -> bool:
        """:returns: whether the client is disconnected once what was answered has been sent"""
        return self._closing

    def is_gone(self) -> bool:
        """
        :returns: whether the client was disconnected, or has ended its side of the connection, even if the loop has
            not come to that yet
        """
        # Once closed, the descriptor may be another client's.
        if self._closing or self.transport.is_closing():
            return True
        ended = select.poll()
        ended.register(self.client.descriptor, _ENDED)
        return bool(ended.poll(0))

    def answer_while_busy(self, data: bytes) -> bytes:
        """
        :param data: what arrived
        :returns: what has to be sent
        """
        self.server.statistics.input_bytes += len(data)
        fault = b''
        try:
            commands = self.parser.feed(data)
        except ProtocolError as error:
            commands = error.args[1]
            self._fault = error.args[0]
            fault = error_line(self._fault)
            self.close()
        dispatcher, ctx = self.server.dispatcher, self.ctx
        answer = b''
        for argv in commands:
            reply = dispatcher.answer_while_busy(ctx, argv)
            if type(reply) is not NoReply:
                answer += encode(reply, ctx.resp3)
        answer += fault
        self.server.statistics.output_bytes += len(answer)
        return answer

    # -- execution

    def run(self) -> None:
        """Execute what has arrived, as far as the client may go on."""
        if self._running:
            return
        self._running = True
        server, backlog, unparsed = self.server, self.backlog, self._unparsed
        count = size = turn = 0
        try:
            while (backlog or unparsed) and not self.client.blocked and not self._paused and not self._streaming:
                if self._closing:
                    backlog.clear()
                    unparsed.clear()
                    break
                if not backlog:
                    self._parse_more()
                    continue
                if self.client.queue is not None:
                    queued = server.dispatcher.queue_ahead(self.ctx, backlog)
                    if queued:
                        count += self._answer_queued(b'', queued)
                        continue
                argv = backlog.popleft()
                if argv == _MULTI and not server.refused and server.dispatcher.begin(self.ctx):
                    count += 1 + self._answer_queued(_OK, server.dispatcher.queue_ahead(self.ctx, backlog))
                    continue
                if not argv:
                    self.answer(ReplyError(self._fault))
                    self.close()
                    break
                if server.arriving and not self._deferred and argv[0][:4] in _MAY_TAKE_LONG:
                    # Only those whom the loop has introduced are heard while a script runs.
                    self._deferred = True
                    backlog.appendleft(argv)
                    server.loop.call_soon(self.run)
                    break
                self._deferred = False
                reply = server.execute(self, argv)
                if type(reply) is NoReply:
                    if self._own_messages:
                        self._send_own_messages()
                    continue
                if type(reply) is Pieces and (reply.count > STREAMED_FROM or reply.counting is not None):
                    # The unit ends here, so that the reply shows nothing that is not committed.
                    server.commit()
                    self._send_in_pieces(reply)
                    if self._own_messages:
                        self._send_own_messages()
                    break
                try:
                    size += self.answer(reply)
                except Exception as fault:
                    # What a reply consists of may be read only now.
                    size += self.answer(server.undo_reply(self, argv, fault))
                count += 1
                if count >= UNIT_COMMANDS or size >= UNIT_BYTES:
                    server.commit()
                    turn += count
                    count = size = 0
                    if turn >= TURN_COMMANDS:
                        server.loop.call_soon(self.run)
                        break
        finally:
            self._running = False
            server.commit()
        if not backlog and not unparsed:
            self._ahead = 0
        if (
            self._ended
            and (not (backlog or unparsed) or self.client.blocked)
            and not self._streaming
            and not self._closing
        ):
            self.close()
            server.commit()
        if self._ahead > MAX_QUERY:
            logger.warning('disconnected client %d: more than %d MiB sent ahead', self.client.number, MAX_QUERY >> 20)
            self.transport.abort()
        elif self.client.blocked and self._ahead > MAX_BEHIND_WAITING:
            self.stop_reading()
        elif not (self._reading or self._closing or self._fault or server.stopped.done()):
            self._reading = True
            self.transport.resume_reading()

    def stop_reading(self) -> None:
        """Take in no more bytes, for now."""
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def answer(self, reply: Reply) -> int:
        """Put a reply behind those of the open unit.

        :returns: its size in bytes
        """
        data = encode(reply, self.ctx.resp3)
        self.pending.append(data)
        self.server.outbox[self] = None
        if self._own_messages:
            self._send_own_messages()
        return len(data)

    def _answer_queued(self, first: bytes, queued: int) -> int:
        self.pending.append(first + _QUEUED * queued)
        self._uncounted += queued if first else queued - 1
        self.server.outbox[self] = None
        return queued

    def message(self, push: Push | Status) -> None:
        """Put a message (pub/sub, MONITOR) behind the replies of the open unit."""
        if self._closing:
            return
        if self._running:
            # What the client sent itself comes behind the reply to that: else it would be taken for the reply.
            self._own_messages.append(push)
            return
        self._put(push)

    def _put(self, push: Push | Status) -> None:
        if self.unsent_bytes() > MAX_UNSENT_MESSAGES:
            self.transport.abort()
            return
        self.pending_messages.append(len(self.pending))
        self.pending.append(encode(push, self.ctx.resp3))
        self.server.outbox[self] = None

    def _send_own_messages(self) -> None:
        messages, self._own_messages = self._own_messages, []
        for push in messages:
            self._put(push)

    def take(self) -> bytes:
        """:returns: the bytes of the unit that ends"""
        data = self.pending[0] if len(self.pending) == 1 else b''.join(self.pending)
        self.pending.clear()
        if self.pending_messages:
            self.pending_messages.clear()
        self._uncounted = 0
        return data

    def refuse(self, error: ReplyError) -> None:
        """Let every reply of the open unit be this error, and drop its messages: it was not committed."""
        if self.client.queue is not None:
            # Its client was told that a command of the transaction failed, so EXEC must not do the others.
            self.client.failed = True
        replies = len(self.pending) + self._uncounted - len(self.pending_messages)
        self._uncounted = 0
        self.pending.clear()
        self.pending_messages.clear()
        self.pending.extend([error_line(error.text)] * replies)

    def write(self, data: bytes) -> None:
        """Send; behind a reply that is still being sent in pieces."""
        if not data or self.transport.is_closing():
            return
        self.server.statistics.output_bytes += len(data)
        if self._pieces is not None:
            self._held.append(data)
        else:
            self.transport.write(data)

    def _send_in_pieces(self, reply: Pieces) -> None:
        self._streaming = True
        pieces = encode_pieces(reply, self.ctx.resp3)

        def start() -> None:
            self._pieces = pieces
            self._pump()

        self.server.after_replies(start)

    def _pump(self) -> None:
        # A slice at a time, so that others get their turn.
        for _ in range(16):
            if self._pieces is None or self._paused:
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
                self._streaming = False
                held, self._held = self._held, []
                self.write(b''.join(held))
                self.run()
                return
            if self.transport.is_closing():
                self._pieces = None
                return
            self.server.statistics.output_bytes += len(piece)
            self.transport.write(piece)
        self.server.loop.call_soon(self._pump)

    def hold(self, argv: list[bytes]) -> None:
        """Let a command that was about to be executed, and whatever comes behind it, wait (CLIENT PAUSE)."""
        self.backlog.appendleft(argv)
        self.client.blocked = True

    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size() + sum(map(len, self.pending)) + sum(map(len, self._held))

    def close(self) -> None:
        """Disconnect when what was answered has been sent."""
        self._closing = True
        self.server.closing[self] = None

    def finish(self) -> None:
        """What was answered has been handed over: the transport sends it and closes."""
        self.transport.close()

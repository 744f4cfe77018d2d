"""Serving clients while a script runs: other clients get BUSY, and new ones are accepted.

The event loop is blocked meanwhile, so their sockets are polled here. The loop's own transports cannot be used, since
they send only when the loop runs. Bytes are therefore read and written directly, and only for clients with nothing
else in progress.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from rq_leveldb.store.session import Session

_READ_BYTES = 65536


@dataclass(eq=False)
class Attendance:
    """The service of clients while a script runs.

    Args:
        loop: takes over new clients afterwards.
        sessions: returns every client's session.
        make_session: makes a session for a new client.
        listeners: returns the sockets that the loop listens on.
    """

    _loop: asyncio.AbstractEventLoop
    _sessions: Callable[[], Iterable[Session]]
    _make_session: Callable[[], Session]
    _find_listeners: Callable[[], Iterable[Any]]
    _listeners: dict[int, socket.socket] = field(init=False, default_factory=dict)
    _poll: select.poll | None = None
    _attended: dict[int, Session] = field(init=False, default_factory=dict)  # by descriptor
    _guests: dict[int, _GuestTransport] = field(init=False, default_factory=dict)

    def attend(self) -> None:
        """Answer what has arrived since the last call, without waiting."""
        if self._poll is None:
            self._poll = select.poll()
            for found in self._find_listeners():
                descriptor = os.dup(found.fileno())
                self._listeners[descriptor] = socket.socket(fileno=descriptor)
                self._poll.register(descriptor, select.POLLIN)
            for session in self._sessions():
                if session.is_at_rest():
                    self._watch(session)
        for descriptor, _ in self._poll.poll(0):
            if descriptor in self._listeners:
                self._accept(self._listeners[descriptor])
            else:
                self._hear(descriptor)

    def over(self) -> None:
        """Hand all clients back to the loop: the script has ended."""
        self._poll = None
        self._attended.clear()
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        guests, self._guests = self._guests, {}
        for transport in guests.values():
            self._loop.create_task(transport.hand_over(self._loop))

    def _watch(self, session: Session) -> None:
        assert self._poll is not None
        descriptor = session.client.descriptor
        self._attended[descriptor] = session
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        assert self._poll is not None
        self._poll.unregister(descriptor)
        del self._attended[descriptor]

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, _ = listener.accept()
        except OSError:
            return  # the client has disconnected
        sock.setblocking(False)
        session = self._make_session()
        transport = _GuestTransport(sock, session)
        session.connection_made(transport)
        if not transport.is_closing():
            self._guests[sock.fileno()] = transport
            self._watch(session)

    def _hear(self, descriptor: int) -> None:
        session = self._attended[descriptor]
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b''
        if not data:
            # The loop will see the end too, and handle it then.
            self._forget(descriptor)
            guest = self._guests.pop(descriptor, None)
            if guest is not None:
                guest.close()
                session.connection_lost(None)
            return
        answer = session.answer_while_busy(data)
        sent = 0
        if answer:
            with contextlib.suppress(OSError):
                sent = os.write(descriptor, answer)
            if sent < len(answer):
                session.transport.write(answer[sent:])
        if sent < len(answer) or not session.is_at_rest():
            self._forget(descriptor)
            if session.is_closing() and sent == len(answer):
                # The loop closes the connection when it resumes; the client need not wait for that.
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as sock:
                    sock.shutdown(socket.SHUT_WR)


class _GuestTransport(asyncio.Transport):
    """The transport of a client that connected while the loop was blocked; the loop takes it over later."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        super().__init__({'socket': sock})
        self._sock = sock
        self._session = session
        self._unsent = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._unsent += data
        with contextlib.suppress(OSError):
            del self._unsent[: self._sock.send(self._unsent)]

    def get_write_buffer_size(self) -> int:
        return len(self._unsent)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass  # the limits of the loop's transport count

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self._sock.fileno() < 0

    def close(self) -> None:
        self._sock.close()

    def abort(self) -> None:
        self._sock.close()

    async def hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand the connection over to the loop."""
        if self.is_closing():
            self._session.connection_lost(None)
            return
        await loop.connect_accepted_socket(lambda: _Arrival(self._session, self._unsent), self._sock)


class _Arrival(asyncio.Protocol):
    def __init__(self, session: Session, unsent: bytearray) -> None:
        self._session = session
        self._unsent = unsent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        moved = cast(asyncio.Transport, transport)
        moved.set_protocol(self._session)
        self._session.move_to(moved)
        if self._unsent:
            moved.write(bytes(self._unsent))

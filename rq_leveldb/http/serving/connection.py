"""A client's connection: the loop receives its requests, and gunicorn's parser reads them from memory."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

from gunicorn.http import get_parser
from gunicorn.workers.gthread import TConn

from rq_leveldb.http.access.tries import network_of
from rq_leveldb.http.serving.crowd import Wait
from rq_leveldb.http.serving.inbox import Inbox

__all__ = ['Connection']

_LEAST_READ = 16 * 1024
_MOST_READ = 1024 * 1024


class Connection(TConn):  # type: ignore[misc]
    """One connection.

    Args:
        cfg: gunicorn's configuration.
        sock: its socket; left not blocking.
        client: the address of its client.
        server: the address that was connected to.
        max_body: largest body of a request, bytes.
    """

    def __init__(self, cfg: Any, sock: socket.socket, client: Any, server: Any, max_body: int) -> None:
        super().__init__(cfg, sock, client, server)
        # A thread gets it when there is something to read, always.
        self.initialized = self.data_ready = True
        self.inbox = Inbox(max_body)
        self.parser = get_parser(cfg, self.inbox, client)
        self.network = network_of(client[0]) if isinstance(client, tuple) else ''
        self.wait: Wait | None = None
        self.since = 0.0
        self.held = 0
        self.watched = 0
        """The events for which the loop watches it."""
        self.on_event: Callable[[Any], None]
        """What the loop calls when one happens."""
        self._has_answered = False
        self._output = select.poll()
        self._output.register(sock, select.POLLOUT)

    def receive(self) -> bool:
        """Take what has arrived; say whether it is anything, the end included.

        Raises:
            OSError: the connection broke.
        """
        try:
            data = self.sock.recv(min(max(self.inbox.missing, _LEAST_READ), _MOST_READ))
        except (BlockingIOError, InterruptedError):
            return False
        self.inbox.feed(data)
        return True

    def discard(self) -> bool:
        """Drop what has arrived; say whether the client has hung up."""
        try:
            return not self.sock.recv(_LEAST_READ)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def can_be_answered(self) -> bool:
        """Say whether an answer fits into the buffer, so that no thread waits for a client that does not read."""
        return not self._has_answered or bool(self._output.poll(0))

    def begin_next(self) -> None:
        """Turn to the next request, which may have arrived already."""
        self.sock.setblocking(False)
        self._has_answered = True
        self.inbox.begin_next(self.parser.unreader.take_buffered())

    def say(self, data: bytes) -> None:
        """Send a few bytes; they are dropped if the client does not read.

        Args:
            data: the bytes.
        """
        with contextlib.suppress(OSError):
            self.sock.send(data)

    def say_no_more(self) -> bool:
        """Close this side of the connection; say whether the other may still be open."""
        try:
            self.sock.setblocking(False)
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return True

"""A store in this process, without sockets, so that a hundred thousand commands take seconds."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hiredis

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.opening import open_database
from rq_leveldb.store.record_check import RecordCheck, Survey
from rq_leveldb.store.server import Server
from rq_leveldb.store.session import Session

MAX_REPLY = 4 << 20
"""Bytes of replies after which a client disconnects: a command may ask for two billion random members."""


class _Transport(asyncio.Transport):
    """Keeps what is sent to a client."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__({'socket': sock})
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data
        if len(self.sent) > MAX_REPLY:
            self.closed = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Client:
    """One client of it.

    Args:
        server: the store.
        resp3: which version of the protocol.
    """

    def __init__(self, server: Server, *, resp3: bool) -> None:
        self._end, other = socket.socketpair()
        other.close()
        self._transport = _Transport(self._end)
        self.session = Session(server)
        self.session.connection_made(self._transport)
        if resp3:
            self.session.client.protocol = 3
            self.session.ctx.resp3 = True
        self._reader = hiredis.Reader()

    def send(self, data: bytes) -> None:
        """Deliver bytes to the store."""
        self.session.data_received(data)

    def replies(self) -> list[Any]:
        """Return what has been answered since the last call; errors as `hiredis.ReplyError`."""
        self._reader.feed(bytes(self._transport.sent))
        self._transport.sent.clear()
        found = []
        # Not `None`, which is a reply.
        while (reply := self._reader.gets()) is not False:
            found.append(reply)
        return found

    @property
    def usable(self) -> bool:
        """Whether another command would be answered."""
        return not (self._transport.closed or self.session.is_closing() or self.session.client.blocked)

    def close(self) -> None:
        """Disconnect."""
        self._transport.closed = True
        self.session.connection_lost(None)
        self._end.close()


class Store:
    """A store on a data directory.

    Args:
        path: the directory, or where it will be.
    """

    def __init__(self, path: Path) -> None:
        self.directory = DataDirectory(path)
        self.directory.create()
        self._loop = asyncio.new_event_loop()
        self._claim = Claim(self.directory)
        self.server = Server(StoreSettings(self.directory), open_database(self.directory), self._claim, self._loop)
        self.faults = _Faults()
        logging.getLogger('rq_leveldb.store').addHandler(self.faults)
        self._loop.set_exception_handler(lambda loop, context: self.faults.note(str(context)))
        self._loop.call_soon(self.server.start_timers)
        self.turn()

    def client(self, *, resp3: bool = False) -> Client:
        """Return a new client."""
        return Client(self.server, resp3=resp3)

    def turn(self) -> None:
        """Run the store's background work once."""
        self._loop.run_until_complete(asyncio.sleep(0))

    def survey(self) -> Survey:
        """Return what the check of all records finds."""
        return RecordCheck(self.server.engine, lambda done, total: None).run()

    def close(self) -> None:
        """Stop."""
        logging.getLogger('rq_leveldb.store').removeHandler(self.faults)
        self._loop.run_until_complete(self.server.finish())
        self._loop.close()
        self._claim.close()


class _Faults(logging.Handler):
    """Notes what is logged as a fault."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._noted: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.note(text if text.startswith('damaged data') else logging.Formatter().format(record))

    def note(self, text: str) -> None:
        """Note a fault."""
        self._noted.append(text)

    def take(self) -> list[str]:
        """Return what was noted since the last call."""
        noted, self._noted = self._noted, []
        return noted


def request(argv: Sequence[bytes]) -> bytes:
    """Return a command as a client sends it."""
    return b'*%d\r\n' % len(argv) + b''.join(b'$%d\r\n%b\r\n' % (len(word), word) for word in argv)


def errors_in(reply: Any) -> list[str]:
    """Return the errors in a reply, also those within an array."""
    if isinstance(reply, hiredis.ReplyError):
        return [str(reply)]
    if isinstance(reply, list):
        return [text for item in reply for text in errors_in(item)]
    return []

"""One connection that shows replies as they stand on the wire: every type of RESP2 and RESP3, unconverted."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """A reply.

    Attributes:
        kind: the type's byte on the wire, for example ``$`` for a bulk string; ``closed`` for the connection's end.
        value: bytes for ``+ - $ , ( =``, int for ``:``, bool for ``#``, a list of replies for ``* ~ >``, a list of
            pairs of replies for ``%``, and None for a null of any type.
    """

    kind: str
    value: Any

    def __repr__(self) -> str:
        if self.kind in ('*', '~', '>', '%') and self.value is not None:
            return f'{self.kind}{list(self.value)!r}'
        return f'{self.kind}{self.value!r}'


CLOSED = Reply('closed', None)


class Wire:
    """A client of a server on a unix socket.

    Args:
        path: the socket's path.
        protocol: 2 or 3; with 3, ``HELLO 3`` is sent at once.
        patience: seconds to wait for a reply before TimeoutError.
    """

    def __init__(self, path: str, protocol: int = 2, patience: float = 10) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._connect(path)
        self._patience = patience
        self._buffer = bytearray()
        self._at = 0
        self.protocol = protocol
        if protocol == 3:
            greeting = self.call('HELLO', 3)
            assert greeting.kind == '%', greeting

    def _connect(self, path: str) -> None:
        if len(os.fsencode(path)) < 100:
            self._socket.connect(path)
            return
        directory = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            self._socket.connect(f'/proc/self/fd/{directory}/{os.path.basename(path)}')
        finally:
            os.close(directory)

    def send(self, *arguments: Any) -> None:
        """Send one command; its arguments are bytes, or things whose str() is sent."""
        self.send_raw(encode(arguments))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are. A connection that the server closed is no error here: the next read shows it."""
        try:
            self._socket.settimeout(self._patience)
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def call(self, *arguments: Any) -> Reply:
        """Send one command and return its reply."""
        self.send(*arguments)
        return self.read()

    def call_many(self, commands: Sequence[Sequence[Any]]) -> list[Reply]:
        """Send commands as one pipeline and return as many replies."""
        self.send_raw(b''.join(map(encode, commands)))
        return [self.read() for _ in commands]

    def read(self) -> Reply:
        """Return the next reply, or CLOSED.

        Raises:
            TimeoutError: if none comes.
            ValueError: if what comes is not RESP.
        """
        try:
            reply = self._parse()
        except EOFError:
            return CLOSED
        del self._buffer[: self._at]
        self._at = 0
        return reply

    def pending(self, seconds: float = 0) -> bool:
        """Tell whether something can be read now or within ``seconds``."""
        return bool(self._buffer) or bool(select.select([self._socket], [], [], seconds)[0])

    def read_pending(self) -> list[Reply]:
        """Return the replies that are there already, without waiting; the connection's end is none."""
        replies = []
        while self.pending() and (reply := self.read()) is not CLOSED:
            replies.append(reply)
        return replies

    def read_to_end(self) -> bytes:
        """Say that no more will be sent, and return all bytes until the server closes.

        Raises:
            TimeoutError: if it does not.
        """
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        got = bytearray()
        while True:
            try:
                self._fill()
            except EOFError:
                return bytes(got)
            got += self._buffer
            self._buffer.clear()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _fill(self) -> None:
        self._socket.settimeout(self._patience)
        try:
            data = self._socket.recv(1 << 20)
        except ConnectionResetError:
            data = b''
        if not data:
            raise EOFError
        self._buffer += data

    def _line(self) -> bytes:
        while (end := self._buffer.find(b'\r\n', self._at)) < 0:
            self._fill()
        line = bytes(self._buffer[self._at : end])
        self._at = end + 2
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < self._at + count + 2:
            self._fill()
        data = bytes(self._buffer[self._at : self._at + count])
        if self._buffer[self._at + count : self._at + count + 2] != b'\r\n':
            raise ValueError(f'a bulk of {count} bytes does not end in CRLF')
        self._at += count + 2
        return data

    def _parse(self) -> Reply:
        line = self._line()
        kind, rest = chr(line[0]), line[1:]
        if kind in '+-,(':
            return Reply(kind, rest)
        if kind == ':':
            return Reply(kind, int(rest))
        if kind in '$=':
            return Reply(kind, None if rest == b'-1' else self._exactly(int(rest)))
        if kind in '*~>':
            return Reply(kind, None if rest == b'-1' else [self._parse() for _ in range(int(rest))])
        if kind == '%':
            return Reply(kind, [(self._parse(), self._parse()) for _ in range(int(rest))])
        if kind == '#' and rest in (b't', b'f'):
            return Reply(kind, rest == b't')
        if kind == '_' and not rest:
            return Reply(kind, None)
        raise ValueError(f'not RESP: {line!r}')


def encode(arguments: Sequence[Any]) -> bytes:
    """Return a command as an array of bulk strings."""
    parts = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    return b'*%d\r\n' % len(parts) + b''.join(b'$%d\r\n%s\r\n' % (len(part), part) for part in parts)

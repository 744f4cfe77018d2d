"""A connection on which many commands are under way: what is sent is not waited for until its reply is wanted.

redis-py makes the connection, with all that its URL says, and shakes hands; then it takes too long for each reply.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import hiredis
import redis.exceptions

from rq_leveldb.client.connection import Redis
from rq_leveldb.client.older_redis_py import UNUSED_NAME
from rq_leveldb.errors import StoreError

__all__ = ['Command', 'Connected', 'CutConnection', 'Refused', 'RefusedPlace', 'Wire', 'advice_for', 'pack']

C = TypeVar('C', bound='Connected')

Command = tuple[Any, ...]
"""A command and its arguments: bytes, text or integers."""

pack = cast(Callable[[Command], bytes], hiredis.pack_command)
"""Returns a command as it is sent."""

# Seconds without any byte after which a server is taken for gone; one that copies a long list is busy for a while.
_PATIENCE = 300.0
_PIECE = 1 << 17

_ADVICE = {
    'OOM': 'It is full: give it more memory (maxmemory), and run the same command again; it goes on where it was.',
    'MISCONF': 'It cannot use its disk: mend what it says, and run the same command again; it goes on where it was.',
    'NOPERM': 'Its user may not do this: give rights to read and write all of these keys (ACL SETUSER).',
    'NOAUTH': 'It wants a password: put it into the URL, redis://USER:PASSWORD@HOST:PORT/DB.',
    'WRONGPASS': 'The user or the password in the URL is wrong.',
    'READONLY': 'It is a replica: name the primary in the URL.',
    'LOADING': 'It reads its file after a start: run the same command again in a while.',
    'MOVED': 'It is a cluster; only single servers can be carried over.',
    'CROSSSLOT': 'It is a cluster; only single servers can be carried over.',
}


class Refused(Exception):
    """An error that a server replied."""


class RefusedPlace(StoreError):
    """A place does not let us do what has to be done."""

    default_title = 'The place refused a command'


class CutConnection(StoreError):
    """A place does not answer any more."""

    default_title = 'The connection was cut'
    default_advice = 'See that it runs, and run the same command again: it goes on where it was.'


def advice_for(text: str) -> str:
    """Return what to do about an error of a server.

    Args:
        text: its error.
    """
    word = text.partition(' ')[0]
    if word == 'EXECABORT':
        word = next((known for known in _ADVICE if known in text), word)
    return _ADVICE.get(word, 'Nothing is half done: mend it, and run the same command again.')


class Wire:
    """A connection to a place.

    Args:
        url: the place.

    Raises:
        BadAddress: the URL names no place.
        RefusedPlace: it does not let us in.
        CutConnection: nobody answers.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.received = 0
        """Bytes of all replies so far."""
        self._pending = 0
        try:
            client = Redis.from_url(url, socket_timeout=_PATIENCE)
            # Scores come as text, and every reply has the same form in all versions.
            client.connection_pool.connection_kwargs['protocol'] = 2
            self._client = client
            self._connection: Any = client.connection_pool.get_connection(*UNUSED_NAME)
        except StoreError:
            raise
        except (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError) as error:
            raise RefusedPlace(
                url, title=f'The place does not let us in ({error})', advice=advice_for(str(error))
            ) from None
        except (redis.exceptions.RedisError, OSError) as error:
            raise CutConnection(
                url, title=f'Nobody answers ({error})', advice='Is the server running, and is this its URL?'
            ) from None
        self.database = int(client.connection_pool.connection_kwargs.get('db') or 0)
        """Number of the logical database."""
        self._socket: Any = self._connection._sock
        self._reader = hiredis.Reader(replyError=Refused)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.disconnect()
        self._client.close()

    def send(self, commands: Iterable[Command]) -> None:
        """Send commands; as many replies are to be received.

        Args:
            commands: some hundred at most where their replies are long, since nobody reads them meanwhile.
        """
        packed = [pack(command) for command in commands]
        self.send_packed(b''.join(packed), len(packed))

    def send_packed(self, data: bytes, count: int) -> None:
        """As `send`, for what is packed already.

        Args:
            data: the commands, as `pack` returns them.
            count: how many they are.
        """
        self._pending += count
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._cut(error) from None

    def receive(self) -> Any:
        """Return the next reply; an error is a `Refused`."""
        reader = self._reader
        reply = reader.gets()
        while reply is False:
            try:
                piece = self._socket.recv(_PIECE)
            except OSError as error:
                raise self._cut(error) from None
            if not piece:
                raise self._cut(None)
            self.received += len(piece)
            reader.feed(piece)
            reply = reader.gets()
        self._pending -= 1
        return reply

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands and return their replies; errors are among them.

        Args:
            commands: as for `send`.
        """
        assert not self._pending
        self.send(commands)
        return [self.receive() for _ in commands]

    def call(self, *command: Any) -> Any:
        """Execute one command and return its reply.

        Args:
            command: its name and its arguments.

        Raises:
            RefusedPlace: the server replied an error.
        """
        (reply,) = self.ask([command])
        return self.checked(reply, str(command[0]))

    def do(self, commands: Sequence[Command]) -> list[Any]:
        """As `ask`, where no command may fail."""
        replies = self.ask(commands)
        return [self.checked(reply, str(command[0])) for reply, command in zip(replies, commands, strict=True)]

    def checked(self, reply: Any, doing: str) -> Any:
        """Return a reply that is no error.

        Args:
            reply: as received.
            doing: what was asked, for the error's text.

        Raises:
            RefusedPlace: it is an error.
        """
        if isinstance(reply, Refused):
            raise RefusedPlace(self.url, title=f'The place refused {doing} ({reply})', advice=advice_for(str(reply)))
        return reply

    def _cut(self, error: OSError | None) -> CutConnection:
        reason = 'it was closed' if error is None else (error.strerror or str(error))
        return CutConnection(self.url, title=f'The connection was cut ({reason})')


class Connected:
    """What has connections as long as its block lasts.

    Args:
        urls: the place of each connection.

    Raises:
        BadAddress, RefusedPlace, CutConnection: as `Wire`.
    """

    def __init__(self, *urls: str) -> None:
        with ExitStack() as stack:
            self._wires = [stack.enter_context(Wire(url)) for url in urls]
            self._stack = stack.pop_all()

    def __enter__(self: C) -> C:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

"""Two servers and the same clients of each: what is sent to one is sent to the other, and the replies are compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from compat_tests.comparison.agreement import CURSORS, Command, agree, agree_on_exec
from compat_tests.comparison.contents import contents, differing
from compat_tests.comparison.wire import Reply, Wire


class Server(Protocol):
    """Anything that listens on a unix socket."""

    socket_path: str


def shown(command: Iterable[bytes]) -> str:
    """Return a command as one would type it into redis-cli."""
    return ' '.join(_quoted(argument) for argument in command)


def clipped(thing: object) -> str:
    """Return a thing's repr, its middle left out where it is long."""
    text = repr(thing)
    return text if len(text) <= 1500 else f'{text[:1000]} ... {text[-300:]}'


def _to_the_end(wire: Wire, command: Command, reply: Reply) -> Reply:
    """Return the reply to a scan from the beginning with what its further steps give, any other reply as it is."""
    at = CURSORS.get(command[0].upper(), len(command))
    if reply.kind != '*' or command[at : at + 1] != (b'0',):
        return reply
    elements = list(reply.value[1].value)
    while reply.value[0].value != b'0':
        reply = wire.call(*command[:at], reply.value[0].value, *command[at + 1 :])
        elements += reply.value[1].value
    return Reply('*', [reply.value[0], Reply('*', elements)])


def _quoted(argument: bytes) -> str:
    text = repr(argument)[1:]
    return argument.decode() if argument and argument.isascii() and text[1:-1].isalnum() else text


def as_bytes(command: Sequence[Any]) -> tuple[bytes, ...]:
    """Return a command with every argument as bytes."""
    return tuple(argument if isinstance(argument, bytes) else str(argument).encode() for argument in command)


class Contest:
    """One run of commands on both servers, from empty databases.

    Args:
        theirs: the real Redis.
        ours: the store.
        protocol: 2 or 3, for all clients.
        patient: collect differing replies in ``found`` and go on, instead of raising at the first.
    """

    def __init__(self, theirs: Server, ours: Server, protocol: int = 2, patient: bool = False) -> None:
        self._servers = (theirs, ours)
        self.protocol = protocol
        self._patient = patient
        self.found: list[str] = []
        self._clients: dict[str, tuple[Wire, Wire]] = {}
        self._queued: dict[str, list[Command]] = {}
        self.history: list[str] = []
        for wire in self.client('a'):
            assert wire.call('FLUSHALL').value == b'OK'

    def client(self, name: str) -> tuple[Wire, Wire]:
        """Return the connections of the client ``name`` to Redis and to the store, made when first asked for."""
        if name not in self._clients:
            theirs, ours = self._servers
            self._clients[name] = (Wire(theirs.socket_path, self.protocol), Wire(ours.socket_path, self.protocol))
        return self._clients[name]

    def send(self, name: str, *arguments: Any) -> Reply:
        """Have the client ``name`` send a command to both; return Redis' reply.

        Raises:
            AssertionError: if the replies do not agree; shows them and what went before.
        """
        command = as_bytes(arguments)
        self.history.append(f'{name}: {shown(command)}')
        their_wire, our_wire = self.client(name)
        theirs = _to_the_end(their_wire, command, their_wire.call(*command))
        their_more = their_wire.read_pending()
        our_wire.send(*command)
        try:
            ours = _to_the_end(our_wire, command, our_wire.read())
            our_more = [our_wire.read() for _ in their_more] + our_wire.read_pending()
        except (TimeoutError, ValueError) as error:
            raise AssertionError(self.complaint(theirs, repr(error))) from None
        verb = command[0].upper()
        if verb == b'EXEC':
            good = agree_on_exec(self._queued.pop(name, []), theirs, ours)
        elif theirs == Reply('+', b'QUEUED'):
            self._queued.setdefault(name, []).append(command)
            good = theirs == ours
        else:
            good = agree(command, theirs, ours)
        if verb in (b'DISCARD', b'MULTI', b'RESET') and theirs.kind == '+' and theirs.value != b'QUEUED':
            self._queued.pop(name, None)
        if not good or their_more != our_more:
            complaint = self.complaint([theirs, *their_more], [ours, *our_more])
            if not self._patient:
                raise AssertionError(complaint)
            self.found.append(complaint)
            self.history[-1] += '   <- differs'
        return theirs

    def complaint(self, theirs: object, ours: object) -> str:
        """Return what both said to the last command, after all commands so far."""
        lines = '\n  '.join(self.history[-60:])
        return f'replies differ\n  {lines}\nRedis: {clipped(theirs)}\nstore: {clipped(ours)}'

    def compare_contents(self) -> None:
        """Compare all databases, key by key.

        Raises:
            AssertionError: if they differ; shows where.
        """
        theirs, ours = (contents(server.socket_path) for server in self._servers)
        found = differing(theirs, ours)
        lines = '\n  '.join(self.history[-60:])
        assert not found, f'contents differ after\n  {lines}\n' + '\n'.join(found[:10])

    def close(self) -> None:
        """Close all connections."""
        for pair in self._clients.values():
            for wire in pair:
                wire.close()
        self._clients.clear()

    def __enter__(self) -> Contest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

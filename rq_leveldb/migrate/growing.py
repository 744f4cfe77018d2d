"""A value that grows under the name `record.PART`, and then gets its own."""

from __future__ import annotations

from rq_leveldb.migrate import record
from rq_leveldb.migrate.record import PART, Entry
from rq_leveldb.migrate.value import NO_EXPIRY, Slice, write_commands
from rq_leveldb.migrate.wire import Command, Wire

__all__ = ['Growing']

# A store writes a string as a whole, however little is added to it: so pieces of many bytes are added at a time, and a
# transaction adds many of them.
_PIECE_BYTES = 4 << 20
_TRANSACTION_BYTES = 32 << 20


class Growing:
    """A value that is not complete; there is one at a time in a place.

    Args:
        aside: the place, on a connection on which nothing is watched.
        beginning: name of the key whose value it begins with; b'' for none.
    """

    def __init__(self, aside: Wire, beginning: bytes = b'') -> None:
        self._aside = aside
        self._pieces: list[bytes] = []
        self._queued = 0
        aside.call(b'UNLINK', PART)
        if beginning:
            aside.call(b'COPY', beginning, PART)

    def add(self, part: Slice) -> None:
        """Add the next slice."""
        if part.kind == b'piece':
            self._pieces += part.items
            if sum(map(len, self._pieces)) >= _PIECE_BYTES:
                self._append()
            return
        commands = write_commands(PART, part)
        for start in range(0, len(commands), 100):
            self._aside.do(commands[start : start + 100])

    def _append(self) -> None:
        if not self._queued:
            self._aside.call(b'MULTI')
        self._queued += sum(map(len, self._pieces))
        self._aside.call(b'APPEND', PART, b''.join(self._pieces))
        self._pieces = []
        if self._queued >= _TRANSACTION_BYTES:
            self._execute()

    def _execute(self) -> None:
        self._queued = 0
        for reply in self._aside.call(b'EXEC'):
            self._aside.checked(reply, 'APPEND')

    def give_name(self, wire: Wire, name: bytes, expires: int, entry: Entry) -> bool:
        """Let it take a key's place; return False if somebody has touched that key meanwhile.

        Args:
            wire: where the key is watched.
            name: the key's name.
            expires: when it expires then, in ms since the epoch or `NO_EXPIRY`.
            entry: what is noted of it.
        """
        if self._pieces:
            self._append()
        if self._queued:
            self._execute()
        lasting: Command = (b'PERSIST', name) if expires == NO_EXPIRY else (b'PEXPIREAT', name, expires)
        *_, replies = wire.do([(b'MULTI',), (b'RENAME', PART, name), lasting, record.note([(name, entry)]), (b'EXEC',)])
        for reply in replies or ():
            wire.checked(reply, 'RENAME')
        return replies is not None

    def drop(self) -> None:
        """Give it up."""
        if self._queued:
            self._aside.call(b'DISCARD')
        self._aside.call(b'UNLINK', PART)

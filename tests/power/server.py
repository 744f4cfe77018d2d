"""The store that is tried: how it starts, what it promises, and how what is left of it is read.

Everything else in this package asks only this, so that another server with the same commands can be tried by the same
loads, cuts and judgements: a subclass of `Server` is all that it takes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from rq_leveldb.location import DataDirectory
from rq_leveldb.store.commands.table import all_commands
from rq_leveldb.store.opening import open_database
from rq_leveldb.store.sweeper import Sweeper
from tests.store.direct import Direct

PROGRAM = (sys.executable, '-m', 'rq_leveldb', 'store')
SOCKET = 'store.sock'
"""The socket's name in the data directory."""

_SLICE = 1000


class Left(Protocol):
    """A database that was opened to see what it holds."""

    def select(self, db: int) -> None:
        """Let the next calls be about that database."""

    def keys(self) -> list[tuple[bytes, str]]:
        """Return the keys of the selected database with their types."""

    def call(self, *argv: str | bytes | int) -> Any:
        """Return a command's reply as RESP2 has it; an error is an exception that is returned."""

    def close(self) -> None: ...


class Server:
    """rq-leveldb's own store.

    Args:
        program: the command that runs it, without its options.

    Attributes:
        everysec: seconds after which an acknowledged write is about to be synced with everysec.
        kept_at_kill: whether everysec loses nothing when the process is killed and the machine goes on.
        settled_at_start: whether a store that answers has synced what those before it left.
        streams: whether it writes some of its files by fwrite(3).
        compaction: a command that makes the files smaller, sent once in each load; empty: that happens by itself.
        raw: what its log holds after an error that its authors did not expect.
    """

    everysec = 1.0
    kept_at_kill = True
    settled_at_start = True
    streams = False
    compaction = ''
    raw = 'Traceback'

    def __init__(self, program: Sequence[str] = PROGRAM) -> None:
        self.program = tuple(program)

    def command(self, data: Path, fsync: str) -> list[str]:
        """Return what runs it in the foreground in a data directory, with its socket there."""
        return [*self.program, '--dir', str(data), '--fsync', fsync]

    def prepare(self, data: Path, fresh: bool) -> None:
        """Make a data directory as it is before a load.

        Args:
            data: a path at which there is nothing.
            fresh: whether the store is about to start for the first time.
        """
        if not fresh:
            data.mkdir(mode=0o700)

    def open(self, data: Path) -> Left:
        """Open what is left.

        Raises:
            Exception: it cannot be opened, and why.
        """
        return _Own(opened(data))

    def mend(self, data: Path) -> bool:
        """Return whether a tool of the store's own says that it has mended what could not be opened."""
        return False


class _Own:
    """The database in this process, opened by the store's own engine and commands.

    Thousands of disks are judged, and the start of a process each time would be most of the work.
    """

    def __init__(self, direct: Direct) -> None:
        self._direct = direct
        self.call = direct.call
        self.close = direct.close
        self._sweep()

    def _sweep(self) -> None:
        """Remove what is due or has no owner, as a store does after its start."""
        keys = self._direct.keys
        sweeper = Sweeper(keys)
        keys.tick()
        while sweeper.take_due(_SLICE):
            keys.commit()
        while sweeper.has_work():
            sweeper.sweep(_SLICE)
            keys.commit()

    def select(self, db: int) -> None:
        self._direct.ctx.db = db

    def keys(self) -> list[tuple[bytes, str]]:
        return list(self._direct.keys.typed_keys(self._direct.ctx.db))


def opened(data: Path) -> Direct:
    """Return the commands of a store that has just been started there."""
    directory = DataDirectory(data)
    directory.create()
    return Direct(directory.database, all_commands(), open_database(directory))

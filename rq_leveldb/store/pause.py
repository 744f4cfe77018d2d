"""CLIENT PAUSE: which commands are held, and until when. No I/O: the server holds and releases them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb.store.command import MAY_REPLICATE, WRITE, Command

_SCRIPTS = frozenset(('eval', 'evalsha'))


@dataclass(eq=False)
class Pause:
    """One pause, from CLIENT PAUSE to its end; another one can only make it longer or stricter.

    Args:
        find: returns the command that some arguments call, if any.
        says_readonly: whether a call of EVAL or EVALSHA runs a script that declares that it writes nothing.

    Attributes:
        until: Unix time in ms.
        everything: whether commands that only read are held as well.
    """

    _find: Callable[[list[bytes]], Command | None]
    _says_readonly: Callable[[list[bytes]], bool]
    until = 0
    everything = False

    def extend(self, until: int, everything: bool) -> None:
        """Make the pause last at least so long.

        Args:
            until: Unix time in ms.
            everything: whether all commands are held; else only those that may write.
        """
        self.until = max(self.until, until)
        self.everything = self.everything or everything

    def holds(self, command: Command, argv: list[bytes], queue: list[list[bytes]] | None) -> bool:
        """Return whether the command has to wait for the end of the pause.

        Args:
            command: the command's row.
            argv: the command's arguments.
            queue: what the client has queued since MULTI.
        """
        if self.everything or self._may_write(command, argv):
            return True
        return command.name == 'exec' and any(
            self._may_write(found, queued) for queued in queue or () if (found := self._find(queued)) is not None
        )

    def _may_write(self, command: Command, argv: list[bytes]) -> bool:
        if command.name in _SCRIPTS:
            return not self._says_readonly(argv)
        return WRITE in command.flags or MAY_REPLICATE in command.flags

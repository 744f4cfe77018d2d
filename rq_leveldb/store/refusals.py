"""Refused writes: why the database takes none, which commands still run, and how it recovers.

After a failed append LevelDB would accept further writes that no restart finds. So nothing is acknowledged until the
database was closed and reopened, and holds the last acknowledged batch. Until that succeeds it stays open for reads.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from rq_leveldb import errors
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.command import LOADING, MAY_WRITE, NEVER_REFUSED, SKIP_QUEUE, WRITE, Command
from rq_leveldb.store.engine import WRITE_BUFFER_BYTES, Engine, ReadFailed, WriteRefused, words
from rq_leveldb.store.info import Statistics, StoreSettings
from rq_leveldb.store.keyspace import Keyspace
from rq_leveldb.store.replies import ReplyError

logger = logging.getLogger(__name__)

FREE_SPACE_FLOOR = 64 << 20
FREE_SPACE_SHARE = 20
FREE_SPACE_LEAST = 3 * WRITE_BUFFER_BYTES
"""Commands that add data are refused when fewer bytes are free than FREE_SPACE_FLOOR, or than 1/20 of the file system
if that is less, but at least what LevelDB needs to be reopened (a log, the table made of it, and the next log). The
disk must not fill up, and commands that remove data must still work."""

FREE_SPACE_INTERVAL = 100
"""Milliseconds between checks of the free space."""

REOPEN_INTERVAL = 0.5
"""Seconds between attempts to reopen the database after it refused a write."""

LOST = 'The data directory was removed or replaced under the store'


def goes_on(command: Command | None, in_transaction: bool, readable: bool) -> bool:
    """Return whether a command runs although the database takes no writes.

    Args:
        command: the command; None if it is unknown, which is reported as usual.
        in_transaction: whether it would be queued.
        readable: whether the database can be read.
    """
    if command is None or NEVER_REFUSED in command.flags:
        return True
    if in_transaction or SKIP_QUEUE in command.flags:
        # A command that is refused now must not run later.
        return False
    if MAY_WRITE in command.flags or WRITE in command.flags:
        return False
    # Commands that Redis answers while loading need no data: an operator can use INFO.
    return readable or LOADING in command.flags


@dataclass(eq=False)
class Refusals:
    """Whether the database takes writes.

    Args:
        keyspace: the data.
        engine: the database that holds it.
        claim: the lock on the data directory.
        settings: the store's configuration.
        statistics: where refused writes are counted.
        on_loss: called when another store would not find this one's files: nothing more may be acknowledged.

    Attributes:
        reason: why LevelDB takes no writes; '' while it does.
        lost: why the path no longer leads to this store's files; '' while it does.
    """

    _keyspace: Keyspace
    _engine: Engine
    _claim: Claim
    _settings: StoreSettings
    _statistics: Statistics
    _on_loss: Callable[[], None]
    reason: str = ''
    lost = ''
    _tried_at = 0.0
    _free_checked = 0
    _low_space = ''

    def begin(self, reason: str) -> None:
        """Refuse writes from now on: LevelDB refused one, or a sync failed.

        Args:
            reason: what LevelDB or the operating system said.
        """
        logger.error('LevelDB refused a write: %s', reason)
        self._statistics.write_errors += 1
        self._statistics.last_write_error = reason
        self.reason = reason
        self._tried_at = 0.0

    def error(self) -> ReplyError:
        """Return the error for clients while writes are refused."""
        if self.lost:
            return ReplyError(
                f'MISCONF {LOST} ({self.lost}). The command was not executed. Run it again to use the directory that '
                'is there now'
            )
        return ReplyError(
            f'MISCONF the store cannot write to {self._settings.directory.path} ({self.reason}). The command '
            'was not executed. Free disk space or repair the directory; the store then continues by itself'
        )

    def reopen(self) -> bool:
        """Reopen the database if an attempt is due.

        Returns:
            Whether it takes writes again; if so, the open transaction was rolled back.
        """
        now = time.monotonic()
        if now - self._tried_at < REOPEN_INTERVAL:
            return False
        self._tried_at = now
        if self.lost_its_place() or (self._engine.is_open and not self._engine.can_grow()):
            return False
        try:
            self._engine.reopen()
            self._keyspace.rollback()
        except (errors.StoreError, WriteRefused, ReadFailed, OSError) as error:
            logger.error('cannot reopen the database: %s', words(error))
            return False
        logger.warning('the database is open again after: %s', self.reason)
        self.reason = ''
        return True

    def is_readable(self) -> bool:
        """Return whether acknowledged data can be read."""
        return self._engine.is_open and not self.lost

    def lost_its_place(self) -> bool:
        """Check whether a restart would find this store's directory and files; if not, stop without another write.

        Nobody would find later writes, so nothing more is acknowledged. Clients are disconnected and can connect to
        whatever is at the path now.
        """
        if not self.lost:
            self.lost = self._claim.loss() or self._engine.loss()
            if self.lost:
                self.reason = self.lost
                self._tried_at = math.inf
                self._on_loss()
        return bool(self.lost)

    def of_growth(self) -> ReplyError | None:
        """Return why a command that adds data is refused, or None if it is not."""
        # The clock may have been set back meanwhile.
        if not 0 <= self._keyspace.now - self._free_checked <= FREE_SPACE_INTERVAL:
            try:
                status = os.statvfs(self._engine.directory)
            except OSError as error:
                return self._of_the_unseen(error)
            self._free_checked = self._keyspace.now
            free = status.f_bavail * status.f_frsize
            share = status.f_blocks * status.f_frsize // FREE_SPACE_SHARE
            floor = min(FREE_SPACE_FLOOR, max(share, FREE_SPACE_LEAST))
            self._low_space = f'only {free >> 20} MiB are free' if free < floor else ''
        if self._low_space:
            return ReplyError(
                f'MISCONF the disk of {self._settings.directory.path} is almost full ({self._low_space}). '
                'Commands that add data are refused until space is free'
            )
        return None

    def _of_the_unseen(self, error: OSError) -> ReplyError:
        if self.lost_its_place():
            return self.error()
        return ReplyError(
            f'MISCONF cannot read the directory {self._settings.directory.path} ({error.strerror}). '
            'Commands that add data are refused until it is readable'
        )

    def trouble(self) -> str:
        """Return why commands that add data are refused; '' if they are not."""
        if not self.reason:
            self.of_growth()  # checks the free space, if that is due
        return self.reason or self._low_space

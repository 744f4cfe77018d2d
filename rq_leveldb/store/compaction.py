"""Freeing disk space: LevelDB drops removed data when it merges tables, and it merges only where it writes.

So when much was removed and there is little to do, the whole database is merged, slice by slice, in a thread.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rq_leveldb.store.engine import BEHIND_ALL, Engine
from rq_leveldb.store.info import Statistics

INTERVAL = 1.0
"""Seconds between two checks, and so between two slices."""
QUIET = 20
"""Number of commits since the last check up to which there is little to do."""
LEAST = 500
"""Number of removed records below which it is not worthwhile."""
WORTH = 4096
"""Bytes of the database per removed record above which it is not worthwhile, since all would be rewritten."""


@dataclass(eq=False)
class Compaction:
    """The background merge of the database, when much was removed and there is little to do.

    Args:
        engine: an open database.
        statistics: counts of commits and of refused writes.
    """

    _engine: Engine
    _loop: asyncio.AbstractEventLoop
    _statistics: Statistics
    _timer: asyncio.TimerHandle | None = None
    _commits = 0
    _removed = 0  # before the current pass began, 0 if there is none
    _position = b''  # where its next slice begins
    _errors = 0
    _stopped = False
    _anew = False  # the next slice is the first
    _demanded = False  # a client has asked for the current pass

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='compaction')
        self._thread.submit(int)  # starts the thread before memory or threads run out, as for a sync

    def start(self) -> None:
        """Check from time to time."""
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def demand(self) -> bool:
        """Merge the whole database now, whatever else there is to do.

        Returns:
            False if that is under way already.
        """
        if self._demanded:
            return False
        self._demanded = self._anew = True
        if self._timer is not None:
            self._timer.cancel()
            self._look()
        return True

    def share(self) -> float | None:
        """Return how much of what a client has asked for is done, from 0 to 1; None if there is nothing."""
        if not self._demanded or not self._engine.is_open:
            return None
        size = self._engine.approximate_size(b'', BEHIND_ALL)
        return self._engine.approximate_size(b'', self._position) / size if size and not self._anew else 0.0

    def stop(self) -> None:
        """Let the current slice end, and start no other."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._thread.shutdown()

    def _look(self) -> None:
        self._timer = None
        commits = self._statistics.commits
        quiet = commits - self._commits <= QUIET
        self._commits = commits
        if self._engine.is_open and not self._failed() and (self._demanded or (quiet and self._has_work())):
            if self._anew:
                self._anew = False
                self._position = b''
                self._removed = self._engine.removed
            slice_ = self._loop.run_in_executor(self._thread, self._engine.compact, self._position)
            slice_.add_done_callback(self._compacted)
        else:
            self.start()

    def _failed(self) -> bool:
        if self._errors == self._statistics.write_errors:
            return False
        # It may have hit an unreadable or unwritable file, and would hit it again.
        self._errors = self._statistics.write_errors
        self._end()
        return True

    def _has_work(self) -> bool:
        if self._removed:
            return True
        removed = self._engine.removed
        if removed < LEAST or removed * WORTH < self._engine.size_on_disk():
            return False
        self._removed = removed
        return True

    def _compacted(self, slice_: asyncio.Future[bytes | None]) -> None:
        position = slice_.result()
        if position is not None:
            self._position = position
        elif not self._anew:
            self._end()
        if self._stopped:
            return
        if self._demanded:
            self._look()
        else:
            self.start()

    def _end(self) -> None:
        self._engine.removed -= self._removed
        self._removed = 0
        self._position = b''
        self._demanded = False

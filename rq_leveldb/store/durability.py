"""When a reply may be sent: at once (everysec), or once what it acknowledges has been synced (always).

With ``always`` one sync serves every client that waits for it (group commit). A reply that shows data not yet synced
waits as well; a reply about other keys does not. While the disk is fast, the sync runs at the end of the event loop's
iteration, for all clients whose commands arrived in it, as in Redis: handing it to a thread and back would take more
CPU time than everything else. While the disk is slow, and with ``everysec``, where a sync follows within a second of
the first unsynced write, it runs in one thread beside the event loop. That thread touches no state but the files.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from rq_leveldb.store.engine import Engine
from rq_leveldb.store.info import Statistics

logger = logging.getLogger(__name__)

MAX_CHANGED_KEYS = 10_000
"""Number of changed keys above which every reader waits for the next sync."""

Release = Callable[[], None]

PERIOD = 1.0
"""Seconds after which a write is synced with ``everysec``."""

QUICK = 0.002
"""Seconds that a sync may take for the next one to run in the event loop."""


class _Changed:
    """The changed keys, or everything: some commands cannot name all they change, and the set's size is limited."""

    def __init__(self) -> None:
        self.keys: set[bytes] = set()
        self.everything = False

    def add(self, keys: set[bytes], everything: bool) -> None:
        if not self.everything:
            self.keys |= keys
            self.everything = everything or len(self.keys) > MAX_CHANGED_KEYS

    def clear(self) -> None:
        self.keys.clear()
        self.everything = False

    def concerns(self, keys: set[bytes], everything: bool) -> bool:
        if self.everything:
            return everything or bool(keys)
        return bool(self.keys) if everything else not self.keys.isdisjoint(keys)


@dataclass(eq=False)
class Durability:
    """Syncs of the database, and the replies that wait for them.

    Args:
        engine: the open database.
        always: whether every write is synced before it is acknowledged.
        loop: runs the `release` callbacks.
        statistics: where syncs are counted.
        on_failure: called with the reason when a sync failed; returns whether everything was made durable in another
            way. If not, waiting replies are not released.
    """

    _engine: Engine
    _always: bool
    _loop: asyncio.AbstractEventLoop
    _statistics: Statistics
    _on_failure: Callable[[str], bool]
    _unsynced_since = 0.0  # time of the oldest write that no sync covers yet, 0 if none
    _running = False
    _due = False  # at the end of the loop's iteration
    _quick = True
    _timer: asyncio.TimerHandle | None = None
    _waiting: list[Release] = field(init=False, default_factory=list)
    _changed: _Changed = field(init=False, default_factory=_Changed)  # since the last sync began
    _in_sync: _Changed = field(init=False, default_factory=_Changed)  # what the running sync makes durable

    def __post_init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix='fsync')
        self._thread.submit(int)  # starts the thread before memory or threads run out

    def demand(self) -> None:
        """Sync every write before it is acknowledged, from now on; the next sync covers earlier writes."""
        self._always = True
        self._changed.everything = True

    def changed(self, keys: set[bytes], everything: bool) -> None:
        """Note the keys that a committed unit may have changed.

        Args:
            keys: meta keys.
            everything: whether it may have changed more than these.
        """
        self._changed.add(keys, everything)

    def concerns(self, keys: set[bytes], everything: bool) -> bool:
        """Return whether any of these keys is not durable yet.

        Args:
            keys: meta keys.
            everything: whether more than these keys was read.
        """
        return self._changed.concerns(keys, everything) or self._in_sync.concerns(keys, everything)

    def is_immediate(self) -> bool:
        """Return whether replies may be sent at once; if so, only :meth:`note_write` has to be called."""
        return not self._always and not self._waiting

    def note_write(self) -> None:
        """Note a committed write whose replies have been sent."""
        if not self._unsynced_since:
            self._unsynced_since = time.monotonic()
        if self._timer is None and not self._running:
            self._start_in_time()

    def _start_in_time(self) -> None:
        # Measured from the write, not from the end of the last sync, which may have taken long.
        self._timer = self._loop.call_at(
            self._loop.time() + self._unsynced_since + PERIOD - time.monotonic(), self._start
        )

    def committed(self, wrote: bool, release: Release) -> None:
        """Release a committed unit's replies, at once or after a sync.

        Args:
            wrote: whether the unit changed anything.
            release: sends its replies.
        """
        if wrote and not self._unsynced_since:
            self._unsynced_since = time.monotonic()
        if self.is_immediate():
            release()
            if wrote:
                self.note_write()
        else:
            self.when_synced(release)

    def is_synced(self) -> bool:
        """Return whether everything that was committed has been synced."""
        return not self._unsynced_since and not self._running

    def when_synced(self, release: Release) -> None:
        """Call `release` once everything committed so far has been synced.

        Args:
            release: called then; the sync starts without delay.
        """
        if self.is_synced():
            release()
            return
        self._waiting.append(release)
        if not self._running and not self._due:
            if self._quick:
                self._due = True
                self._loop.call_soon(self._sync_now)
            else:
                self._start()

    def _begin(self) -> tuple[float, list[Release]]:
        """Return the time of the oldest write that the starting sync covers, and the callbacks that wait."""
        since, self._unsynced_since = self._unsynced_since, 0.0
        released, self._waiting = self._waiting, []
        return since, released

    def _sync(self) -> None:
        started = time.perf_counter()
        self._engine.sync()
        self._quick = time.perf_counter() - started < QUICK

    def _synced(self, since: float, released: list[Release]) -> None:
        statistics = self._statistics
        statistics.syncs += 1
        if since:
            statistics.longest_unsynced = max(statistics.longest_unsynced, time.monotonic() - since)
        for release in released:
            release()

    def _sync_now(self) -> None:
        self._due = False
        if self._running:
            return
        since, released = self._begin()
        try:
            self._sync()
        except Exception as error:
            self._failed(error, released)
            return
        self._changed.clear()
        self._synced(since, released)

    def _failed(self, error: BaseException, released: list[Release]) -> None:
        logger.error('cannot sync the database: %s', error)
        if self._on_failure(str(error)):
            for release in released:
                release()

    def renewed(self) -> None:
        """Release everything that waits: the database was rewritten and synced."""
        _, released = self._begin()
        self._changed.clear()
        self._in_sync.clear()
        for release in released:
            release()

    def _start(self) -> None:
        self._timer = None
        if self._running or not self._unsynced_since:
            return
        self._running = True
        self._changed, self._in_sync = self._in_sync, self._changed
        since, released = self._begin()
        try:
            future = self._loop.run_in_executor(self._thread, self._sync)
        except Exception as error:
            # There was not enough memory.
            self._running = False
            self._failed(error, released)
            return
        future.add_done_callback(lambda done: self._finished(done, since, released))

    def _finished(self, done: asyncio.Future[None], since: float, released: list[Release]) -> None:
        self._running = False
        error = done.exception()
        if error is not None:
            self._failed(error, released)
            return
        self._in_sync.clear()
        self._synced(since, released)
        if self._waiting or (self._unsynced_since and self._always):
            self._unsynced_since = self._unsynced_since or time.monotonic()
            self._start()
        elif self._unsynced_since and self._timer is None:
            self._start_in_time()

    async def drain(self) -> None:
        """Sync until nothing is unsynced and nothing waits, including what is committed meanwhile.

        Raises:
            OSError: the sync failed; waiting replies are not released.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._running or self._unsynced_since or self._waiting:
            if self._running:
                await asyncio.sleep(0.001)
                continue
            since, released = self._begin()
            self._running = True
            try:
                await self._loop.run_in_executor(self._thread, self._engine.sync)
            finally:
                self._running = False
            self._synced(since, released)
        self._thread.shutdown()

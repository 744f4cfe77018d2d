"""Stores that break their promise, each in one way: a harness that does not find these proves nothing.

`python -m tests.power.faulty BUG --dir DIRECTORY --fsync SETTING` runs one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from rq_leveldb.location import FSYNC_POLICIES, DataDirectory
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.durability import Durability
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.info import StoreSettings
from rq_leveldb.store.opening import open_database
from rq_leveldb.store.server import Server


class NoSync(Engine):
    """Nothing is ever synced but what LevelDB syncs by itself."""

    def sync(self) -> None:
        pass


class NoDirectorySync(Engine):
    """Logs are synced; that they are there is not."""

    def sync(self) -> None:
        for path in sorted(self.directory.glob('*.log')):
            _sync(path)


class NewestLogOnly(Engine):
    """The log that LevelDB turned away from is not synced, nor are the names."""

    def sync(self) -> None:
        for path in sorted(self.directory.glob('*.log'))[-1:]:
            _sync(path)
        _sync(self.directory)


class TwoBatches(Engine):
    """What belongs together is written in two parts."""

    def write(self, records: dict[bytes, bytes | None]) -> None:
        items = list(records.items())
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            if half:
                super().write(dict(half))


class EarlyReplies(Durability):
    """Replies leave before what they acknowledge is synced."""

    def is_immediate(self) -> bool:
        return True


BUGS: dict[str, tuple[type[Engine], type[Durability]]] = {
    'no-sync': (NoSync, Durability),
    'no-directory-sync': (NoDirectorySync, Durability),
    'newest-log-only': (NewestLogOnly, Durability),
    'two-batches': (TwoBatches, Durability),
    'early-replies': (Engine, EarlyReplies),
}


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def _serve(bug: str, directory: DataDirectory, fsync: str) -> None:
    engine_type, durability_type = BUGS[bug]
    loop = asyncio.get_running_loop()
    open_database(directory).close()
    engine = engine_type(directory.database)
    claim = Claim(directory)
    server = Server(StoreSettings(directory, fsync, 0.0, 0), engine, claim, loop)
    server.units.durability = durability_type(engine, fsync == 'always', loop, server.statistics, sys.exit)
    loop.add_signal_handler(signal.SIGTERM, server.shutdown)
    await server.listen()
    server.start_timers()
    await server.stopped
    claim.give_name_back()
    server.stop_listening()
    await server.finish()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('bug', choices=BUGS)
    parser.add_argument('--dir', type=Path, required=True)
    parser.add_argument('--fsync', choices=FSYNC_POLICIES, required=True)
    options = parser.parse_args()
    directory = DataDirectory(options.dir)
    directory.create()
    asyncio.run(_serve(options.bug, directory, options.fsync))


if __name__ == '__main__':
    main()

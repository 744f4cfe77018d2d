"""LevelDB, and nothing else here imports plyvel: open, read, write a batch, make it durable.

The durable part follows what LevelDB does and does not do by itself (LevelDB's `doc/impl.md`, and measurements in
docs/internals.rst): it never syncs the log that it leaves at a switch, nor the directory in which a log or CURRENT
appeared, and it goes on accepting writes after an append to its log failed.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

try:
    import plyvel
except ImportError:
    # The same library carried on under another name: it has wheels for Python 3.13 and later, where plyvel has none.
    import plyvel_next as plyvel

from rq_leveldb import errors
from rq_leveldb.store import encoding
from rq_leveldb.store.database_files import LOG, SETTLED, TABLES, DatabaseFiles

WRITE_BUFFER_BYTES = 8 << 20
BLOCK_CACHE_BYTES = 8 << 20
MAX_OPEN_FILES = 500
"""Each open table keeps its index and its filter in memory."""


ReadFailed = plyvel.Error
"""Raised by reads and scans: LevelDB found its files damaged or unreadable."""


class WriteRefused(Exception):
    """LevelDB did not take a batch: nothing of it may be acknowledged, nor anything later, until it was reopened.

    :param reason: what LevelDB or the operating system said
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Engine:
    """One open LevelDB.

    :param directory: LevelDB's own directory, made if it is missing
    :raises errors.StoreError: it cannot be opened: corrupt, unreadable, or of a newer format
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._db: Any = None
        self._syncing = threading.Lock()  # a descriptor must not be closed, and its number reused, during a sync
        self._logs: dict[str, int] = {}  # descriptors of the live logs
        self._logs_of = 0  # the directory's time of change when they were listed, 0 if another listing is due
        self._last_written: dict[bytes, bytes | None] = {}
        self._files: DatabaseFiles
        # LevelDB's own bound method: this is the hottest call of all.
        self.get: Callable[[bytes], bytes | None]
        self.open()

    def open(self) -> None:
        if not (self.directory / 'CURRENT').exists() and any(map(_holds_data, self.directory.glob('*'))):
            # LevelDB would make a new database, and remove the files of the old one.
            raise errors.CorruptDatabase(str(self.directory), title='The database is damaged (CURRENT is missing)')
        try:
            self._db = plyvel.DB(
                os.fsencode(self.directory),
                create_if_missing=True,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=BLOCK_CACHE_BYTES,
                max_open_files=MAX_OPEN_FILES,
                bloom_filter_bits=10,
                paranoid_checks=False,
            )
        except plyvel.IOError as error:
            said = words(error)
            kind = errors.DiskFull if os.strerror(errno.ENOSPC) in said else errors.StoreError
            raise kind(str(self.directory), title=f'LevelDB cannot open its files ({said})') from error
        except plyvel.Error as error:
            said = words(error)
            raise errors.CorruptDatabase(str(self.directory), title=f'The database is damaged ({said})') from error
        found = self._db.get(encoding.FORMAT_KEY)
        if found is None:
            with self._db.write_batch(transaction=True, sync=True) as batch:
                batch.put(encoding.FORMAT_KEY, b'%d' % encoding.FORMAT_VERSION)
        elif int(found) > encoding.FORMAT_VERSION:
            self.close()
            raise errors.NewerFormat(str(self.directory))
        self.get = self._db.get
        sync_directory(self.directory)
        sync_directory(self.directory.parent)
        self._files = DatabaseFiles(self.directory, lambda: self.property(b'leveldb.sstables') or b'', self._flush)

    def loss(self) -> str:
        """See whether another start would find what was written, and make up for a log that would not be there.

        :returns: what became of a file that is needed; '' if all are there, or nobody can tell
        """
        return '' if self._db.closed else self._files.loss()

    def _flush(self) -> None:
        # Whatever the range, LevelDB first makes a table of what is in memory.
        self.compact(b'\xff', b'\xff')

    def close(self) -> None:
        self._db.close()
        with self._syncing:
            for descriptor in self._logs.values():
                os.close(descriptor)
            self._logs = {}
            self._logs_of = 0

    def reopen(self) -> None:
        """Close LevelDB and open it again, so that only what its log really holds is seen.

        :raises errors.StoreError: it cannot be opened, or the last batch that it took is not there. LevelDB replays its
            log in order up to the first fault, so whatever came before that batch is there if the batch is.
        """
        self.close()
        self.open()
        for key, value in self._last_written.items():
            if self.get(key) != value:
                raise errors.CorruptDatabase(
                    str(self.directory), title='Writes that were acknowledged are missing after LevelDB was reopened'
                )

    def write(self, records: dict[bytes, bytes | None]) -> None:
        """Write all records or none.

        :param records: keys with their new values, None to delete; kept as they are until the next write
        :raises WriteRefused: LevelDB or the disk refused
        """
        batch = self._db.write_batch()
        put, delete = batch.put, batch.delete
        for key, value in records.items():
            if value is None:
                delete(key)
            else:
                put(key, value)
        try:
            batch.write()
        except (plyvel.Error, OSError) as error:
            raise WriteRefused(words(error)) from error
        self._last_written = records

    def scan(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """:returns: the records with start <= key < stop as they are now, whatever is written meanwhile"""
        iterator: Iterator[tuple[bytes, bytes]] = self._db.iterator(start=start, stop=stop, reverse=reverse)
        if not reverse:
            return iterator
        # Backwards, plyvel 1.5.1 yields nothing when the only record within the bounds is the one at `start`.
        first = next(iterator, None)
        if first is not None:
            return chain((first,), iterator)
        value = self.get(start) if start < stop else None
        return iter(()) if value is None else iter(((start, value),))

    def sync(self) -> None:
        """Make every batch written so far survive a power cut; may run in a thread beside writes.

        Syncs every live log through a descriptor of its own, oldest first: what is left after a cut is then always a
        beginning of what was written. The directory is synced before, whenever its logs changed.
        """
        with self._syncing:
            changed = os.stat(self.directory).st_mtime_ns
            if changed != self._logs_of:
                self._list_logs()
                # A change within the same tick of the file system's clock would not show: then list again next time.
                self._logs_of = changed if time.time_ns() - changed > SETTLED else 0
            for descriptor in self._logs.values():
                os.fdatasync(descriptor) if hasattr(os, 'fdatasync') else os.fsync(descriptor)

    def _list_logs(self) -> None:
        names = sorted(name for name in os.listdir(self.directory) if name.endswith(LOG))
        if names == list(self._logs):
            return
        sync_directory(self.directory)
        logs = {}
        for name in names:
            try:
                logs[name] = self._logs.pop(name, 0) or os.open(self.directory / name, os.O_RDONLY)
            except FileNotFoundError:
                continue  # its contents are in a table, which LevelDB syncs before it removes the log
        for descriptor in self._logs.values():
            os.close(descriptor)
        self._logs = logs

    def compact(self, start: bytes, stop: bytes) -> None:
        self._db.compact_range(start=start, stop=stop)

    def property(self, name: bytes) -> bytes | None:
        value: bytes | None = self._db.get_property(name)
        return value

    def approximate_size(self, start: bytes, stop: bytes) -> int:
        """:returns: bytes on disk of the records with start <= key < stop, without those in LevelDB's log"""
        return int(self._db.approximate_size(start, stop))

    def size_on_disk(self) -> int:
        """:returns: bytes"""
        total = 0
        for entry in os.scandir(self.directory):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue
        return total


def _holds_data(path: Path) -> bool:
    # A log is empty where the first start was cut short.
    return path.suffix in TABLES or (path.suffix == LOG and path.lstat().st_size > 0)


def words(error: Exception) -> str:
    """:returns: what LevelDB said, which plyvel passes on as bytes"""
    said = error.args[0] if error.args else ''
    return said.decode('utf-8', 'replace') if isinstance(said, bytes) else str(error)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The LevelDB engine, the only module that imports plyvel: create, open, read, write batches, make them durable.

Durability depends on what LevelDB does not do by itself (see its `doc/impl.md`, and measurements in
docs/internals.rst). It never syncs the old log when it switches logs, nor the directory in which a log or CURRENT
appeared, and it keeps accepting writes after an append to its log failed. It also skips holes in its logs, and creates
a new database where CURRENT is missing. So its files are checked before it opens them, and a database is created only
where there is none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import mmap
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

try:
    import plyvel
except ImportError:
    # The same library, continued under another name: it has wheels for Python 3.13 and later, where plyvel has none.
    import plyvel_next as plyvel

from rq_leveldb import errors
from rq_leveldb.location import sync_directory
from rq_leveldb.store import encoding, manifest
from rq_leveldb.store.database_files import LOG, SETTLED, DatabaseFiles
from rq_leveldb.store.log_file import Fault, check_batches
from rq_leveldb.store.view import View

WRITE_BUFFER_BYTES = 8 << 20
BLOCK_CACHE_BYTES = 8 << 20
MAX_OPEN_FILES = 500
"""Each open table keeps its index and its filter in memory."""


SLICE_BYTES = 8 << 20
"""Size of the slice that a compaction takes at a time, without the overlapping data."""
_KEY_WIDTH = 64
"""Length of the keys that separate slices."""
BEHIND_ALL = b'\xff'
"""After every key: no key of encoding.py begins with this byte."""

LARGE_BATCH = 1 << 20
BATCH_COPIES = 4
"""Copies of a larger batch held in memory while it is written: as it grows, in the batch and in the memtable."""

PROBE_BYTES = 1 << 20
"""More than the index of a new table and a new MANIFEST take."""

ReadFailed = plyvel.Error
"""Raised by reads and scans: LevelDB found its files damaged or unreadable."""


class WriteRefused(Exception):
    """LevelDB refused a batch: neither it nor anything later may be acknowledged until the database was reopened.

    Args:
        reason: what LevelDB or the operating system said.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Engine:
    """An open LevelDB database.

    Args:
        directory: LevelDB's own directory; a database is created if it is missing or empty.

    Attributes:
        removed: number of removed records; a user of this count subtracts what it has dealt with.

    Raises:
        errors.StoreError: the database cannot be opened: damaged, unreadable, or of a newer format.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._db: Any = None
        self._syncing = threading.Lock()  # a descriptor must not be closed and reused during a sync
        self._logs: dict[str, int] = {}  # descriptors of the live logs
        self._compacting = threading.Lock()  # the database must not be closed during a compaction
        self._logs_of = 0  # the directory's mtime when the logs were listed, 0 to list them again
        self._batches = 0  # written so far; each batch stores its number
        self.removed = 0
        self._files: DatabaseFiles
        self.get: Callable[[bytes], bytes | None]
        if is_missing(directory):
            create(directory)
        self.open()

    def open(self) -> None:
        """Open the database, which must exist.

        Raises:
            errors.StoreError: LevelDB cannot open it.
        """
        self._look_at_files()
        with _said_clearly(self.directory):
            self._db = plyvel.DB(
                os.fsencode(self.directory),
                create_if_missing=False,
                write_buffer_size=WRITE_BUFFER_BYTES,
                lru_cache_size=BLOCK_CACHE_BYTES,
                max_open_files=MAX_OPEN_FILES,
                bloom_filter_bits=10,
                # LevelDB then refuses unreadable data instead of skipping it; compactions verify as well.
                paranoid_checks=True,
            )
        # This is the hottest call of all. Checksums are verified only when a block is read from disk.
        self.get = functools.partial(self._db.get, verify_checksums=True)
        with _said_clearly(self.directory):
            found = self.get(encoding.FORMAT_KEY)
            batches = self.get(encoding.BATCHES_KEY)
            unreadable = _unreadable(self._db)
        if found is None or unreadable:
            self.close()
            raise errors.CorruptDatabase(
                str(self.directory),
                title='This is not a database of rq-leveldb, or only a part of one'
                if found is None
                else 'What the database says of itself cannot be read',
            )
        if encoding.read_format(found) > encoding.FORMAT_VERSION:
            self.close()
            raise errors.NewerFormat(str(self.directory))
        self._batches = encoding.read_u64(batches) if batches is not None else 0
        sync_directory(self.directory)
        self._files = DatabaseFiles(self.directory, lambda: self.property(b'leveldb.sstables') or b'', self._flush)

    def loss(self) -> str:
        """Check whether a restart would find what was written, and make up for a log that would be missing.

        Returns:
            What happened to a file that is needed; '' if all exist, or it cannot be determined.
        """
        return '' if not self.is_open else self._files.loss()

    def _flush(self) -> None:
        # Whatever the range, LevelDB first writes its memtable to a table.
        self._db.compact_range(start=b'\xff', stop=b'\xff')

    def _look_at_files(self) -> None:
        """Check that nothing is missing from the files that LevelDB will replay.

        Raises:
            errors.CorruptDatabase: something is missing or damaged.
        """
        path = self.directory / 'CURRENT'
        try:
            path = manifest.current(self.directory)
            version = manifest.read(path.read_bytes(), checksums=False)
            missing = version.missing(self.directory)
            if missing:
                path = missing[0]
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            due = version.due
            for path in version.logs(self.directory):
                with contents(path) as data:
                    due = check_batches(data, due, checksums=False)
        except Fault as fault:
            raise errors.CorruptDatabase(
                str(path), title=f'A file of the database is damaged ({fault.reason})'
            ) from fault
        except FileNotFoundError as error:
            raise errors.CorruptDatabase(str(path), title='A file of the database is missing') from error
        except OSError as error:
            raise errors.StoreError(
                str(path),
                title=f'A file of the database cannot be read ({error.strerror})',
                advice='Nothing was changed: mend that, and start again.',
            ) from error

    def close(self) -> None:
        """Close the database and the logs, once no compaction or sync uses them."""
        if self._db is not None:
            with self._compacting:
                self._db.close()
        with self._syncing:
            for descriptor in self._logs.values():
                os.close(descriptor)
            self._logs = {}
            self._logs_of = 0

    @property
    def is_open(self) -> bool:
        """Return whether the database is open."""
        return self._db is not None and not self._db.closed

    def reopen(self) -> None:
        """Close and reopen LevelDB, so that only what its log really holds is seen.

        LevelDB writes what it finds in its log to a table and syncs it, so that all of it is durable afterwards.

        Raises:
            errors.StoreError: it cannot be opened, or a batch that it accepted is missing.
        """
        written = self._batches
        self.close()
        try:
            self.open()
            found = self._batches
        finally:
            self._batches = written
        if found != written:
            self.close()
            raise errors.CorruptDatabase(
                str(self.directory), title='Writes that were acknowledged are missing after LevelDB was reopened'
            )

    def can_grow(self) -> bool:
        """Return whether the disk has room for what reopening the database would write."""
        probe = self.directory.with_name('probe')
        try:
            size = PROBE_BYTES + sum(path.stat().st_size for path in self.directory.glob('*.log'))
            try:
                with open(probe, 'wb', buffering=0) as file:
                    while size > 0:
                        size -= file.write(bytes(min(size, PROBE_BYTES)))
                    os.fsync(file.fileno())
            finally:
                probe.unlink()
        except OSError:
            return False
        return True

    def write(self, records: dict[bytes, bytes | None]) -> None:
        """Write all records or none.

        Args:
            records: keys with their new values, None to delete.

        Raises:
            WriteRefused: LevelDB or the disk refused.
            MemoryError: there is not enough memory; nothing was written.
        """
        size = sum(map(len, filter(None, records.values())))
        if size > LARGE_BATCH:
            _find_memory(BATCH_COPIES * size)
        batch = self._db.write_batch()
        put, delete = batch.put, batch.delete
        removed = 0
        for key, value in records.items():
            if value is None:
                delete(key)
                removed += 1
            else:
                put(key, value)
        number = self._batches + 1
        put(encoding.BATCHES_KEY, encoding.u64(number))
        try:
            batch.write()
        except (plyvel.Error, OSError) as error:
            raise WriteRefused(words(error)) from error
        self._batches = number
        self.removed += removed

    def compact(self, start: bytes) -> bytes | None:
        """Let LevelDB drop removed or overwritten records in a slice of the keys; may run in a thread beside writes.

        Args:
            start: where the previous slice ended, b'' for the first.

        Returns:
            Where this slice ended; None after the last key.
        """
        with self._compacting:
            if not self.is_open:
                return None
            stop = self._end_of_slice(start)
            # plyvel turns None into an empty key, and nothing before that can be compacted.
            self._db.compact_range(start=start, stop=BEHIND_ALL if stop is None else stop)
            return stop

    def _end_of_slice(self, start: bytes) -> bytes | None:
        if self.approximate_size(start, BEHIND_ALL) <= SLICE_BYTES:
            return None
        # A binary search over the key range works whatever the keys are.
        low = int.from_bytes(start[:_KEY_WIDTH].ljust(_KEY_WIDTH, b'\x00'), 'big')
        high = (1 << 8 * _KEY_WIDTH) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if self.approximate_size(start, middle.to_bytes(_KEY_WIDTH, 'big')) > SLICE_BYTES:
                high = middle
            else:
                low = middle
        return high.to_bytes(_KEY_WIDTH, 'big')

    def scan(self, start: bytes, stop: bytes, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        """Return the records with start <= key < stop as they are now, whatever is written meanwhile.

        Raises:
            ReadFailed: LevelDB cannot read one of them, now or during iteration.
        """
        if reverse:
            return self._backwards(start, stop)
        records = self._db.iterator(start=start, verify_checksums=True)
        # A record after the last one shows that all could be read. Only at the end of the database must that be asked.
        return takewhile((stop,).__gt__, chain(records, self._end(stop)))

    def _end(self, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield nothing, but check for read errors: plyvel 1.5.1 does not do so at the end of the database."""
        records = self._db.raw_iterator(verify_checksums=True)
        records.seek(stop)
        if not records.valid():
            records.seek_to_last()
        return
        yield

    def _backwards(self, start: bytes, stop: bytes) -> Iterator[tuple[bytes, bytes]]:
        # plyvel's own backward iterator skips what LevelDB cannot read, and a single record at `start`.
        records = self._db.raw_iterator(verify_checksums=True)
        records.seek(stop)
        if records.valid():
            records.prev()
        else:
            records.seek_to_last()
        return _down_to(start, records)

    def view(self) -> View:
        """Return the database as it is now; it must be closed after use."""
        points, ranges = (self._db.raw_iterator(verify_checksums=True) for _ in range(2))
        return View(points, ranges, self.approximate_size, self.size_on_disk)

    def sync(self) -> None:
        """Make every batch written so far survive a power cut; may run in a thread beside writes.

        Syncs every live log through its own descriptor, oldest first, so that what survives a power cut is always a
        prefix of what was written. The directory is synced first whenever its logs changed.
        """
        with self._syncing:
            changed = os.stat(self.directory).st_mtime_ns
            if changed != self._logs_of:
                self._list_logs()
                # A change within the same tick of the file system's clock would not show, so list again next time.
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
                continue  # its contents are in a table, which LevelDB synced before removing the log
        for descriptor in self._logs.values():
            os.close(descriptor)
        self._logs = logs

    def property(self, name: bytes) -> bytes | None:
        """Return one of LevelDB's properties, such as ``leveldb.stats``; None if it is unknown."""
        value: bytes | None = self._db.get_property(name)
        return value

    def approximate_size(self, start: bytes, stop: bytes) -> int:
        """Return the bytes on disk of the records with start <= key < stop, without those in LevelDB's log."""
        return int(self._db.approximate_size(start, stop))

    def size_on_disk(self) -> int:
        """Return the total size in bytes of the files that can be accessed."""
        total = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.directory):
                with contextlib.suppress(OSError):
                    total += entry.stat().st_size
        return total


def _find_memory(size: int) -> None:
    """Check that memory is available, since LevelDB aborts the process when it runs out.

    Raises:
        MemoryError: it is not.
    """
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError as error:
        raise MemoryError from error


def _down_to(start: bytes, records: Any) -> Iterator[tuple[bytes, bytes]]:
    valid, item, step = records.valid, records.item, records.prev
    while valid():
        record: tuple[bytes, bytes] = item()
        if record[0] < start:
            return
        yield record
        step()


def is_missing(directory: Path) -> bool:
    """Return whether there is no directory, or an empty one."""
    try:
        return not os.listdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def create(directory: Path) -> None:
    """Create an empty database, atomically: as a whole or not at all.

    Raises:
        errors.StoreError: it cannot be created.
    """
    # LevelDB does not sync the first file that CURRENT names.
    new = directory.with_name(directory.name + '.new')
    with _said_clearly(directory):
        if new.exists():
            shutil.rmtree(new)
        directory.parent.mkdir(parents=True, exist_ok=True)
        database = plyvel.DB(os.fsencode(new), create_if_missing=True, error_if_exists=True)
        try:
            database.put(encoding.FORMAT_KEY, b'%d' % encoding.FORMAT_VERSION, sync=True)
        finally:
            database.close()
        for path in new.iterdir():
            sync_file(path)
        sync_directory(new)
        new.rename(directory)
        sync_directory(directory.parent)


def _unreadable(database: Any) -> list[bytes]:
    """Return the keys of the store's own records that are invalid."""
    found = []
    with database.iterator(prefix=encoding.OWN_PREFIX, verify_checksums=True) as records:
        for key, value in records:
            if not encoding.is_own_record(key, value):
                found.append(key)
    return found


def settle(directory: Path, *, unordered: bool) -> bool:
    """Prepare a salvaged database to be opened.

    Args:
        directory: the one with LevelDB's files.
        unordered: whether it is unknown which of two tables with the same key is newer.

    Returns:
        Whether the store's own records are valid; if not, they were repaired as far as possible here.

    Raises:
        errors.StoreError: LevelDB cannot open it.
    """
    with _said_clearly(directory):
        database = plyvel.DB(os.fsencode(directory), create_if_missing=False, paranoid_checks=True)
        try:
            if unordered:
                # Merging follows sequence numbers, reading follows file numbers.
                database.compact_range()
            unreadable = _unreadable(database)
            for key in unreadable:
                database.delete(key)
            has_format = database.get(encoding.FORMAT_KEY) is not None
            if not has_format:
                database.put(encoding.FORMAT_KEY, b'%d' % encoding.FORMAT_VERSION)
            return has_format and not unreadable
        finally:
            database.close()


@contextlib.contextmanager
def _said_clearly(directory: Path) -> Iterator[None]:
    try:
        yield
    except (plyvel.IOError, OSError) as error:
        said = words(error)
        kind = errors.DiskFull if os.strerror(errno.ENOSPC) in said else errors.StoreError
        raise kind(str(directory), title=f'LevelDB cannot open its files ({said})') from error
    except plyvel.Error as error:
        raise errors.CorruptDatabase(str(directory), title=f'The database is damaged ({words(error)})') from error


@contextlib.contextmanager
def contents(path: Path) -> Iterator[Any]:
    """Map a file's contents, which takes no memory."""
    with open(path, 'rb') as file:
        if not os.fstat(file.fileno()).st_size:
            yield b''
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data


def words(error: Exception) -> str:
    """Return LevelDB's message, which plyvel passes on as bytes."""
    said = error.args[0] if error.args else ''
    return said.decode('utf-8', 'replace') if isinstance(said, bytes) else str(error)


def sync_file(path: Path) -> None:
    """Make a file's contents survive a power cut."""
    with open(path, 'rb') as file:
        os.fsync(file.fileno())

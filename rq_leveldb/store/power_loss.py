"""Repair of LevelDB's files after a power loss, before they are opened.

Unsynced data may be missing then, and a file system may have kept a later part of it without an earlier one. LevelDB
would replay what is left around such a hole. Here each log ends at its first fault, and later logs are put aside: what
remains is a prefix of what was written, with everything that was synced.

Without a power loss the same fault is damage of the medium, and nothing is cut: see `opening`.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.location import sync_directory, write_anew
from rq_leveldb.store import manifest
from rq_leveldb.store.engine import contents
from rq_leveldb.store.log_file import Fault, Torn, check_batches, readable_records, records

KEPT = 86_400.0
"""Seconds for which removed data is kept."""


def mend(database: Path, aside: Path) -> list[str]:
    """Cut torn files at their first fault.

    Args:
        database: LevelDB's directory.
        aside: where the removed data is kept for a day.

    Returns:
        What was done, in words.

    Raises:
        errors.CorruptDatabase: there is damage that a power loss does not explain.
        OSError: a file cannot be read or written.
    """
    done: list[str] = []
    stamp = time.strftime('%Y%m%dT%H%M%S')

    def keep(path: Path) -> None:
        aside.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(path, aside / f'{stamp}-{path.name}')

    def cut(path: Path, fault: Fault) -> None:
        keep(path)
        lost = path.stat().st_size - fault.end
        _shorten(path, fault.end)
        done.append(f'{path.name} ends at byte {fault.end}, {lost} bytes before it did: {fault.reason}')

    version = _version(database, cut, done)
    logs = version.logs(database)
    oldest = manifest.log_path(database, version.log)
    whole = True
    due = version.due
    for path in logs:
        if whole:
            try:
                with contents(path) as data:
                    due = check_batches(data, due, checksums=True)
                continue
            except Fault as fault:
                whole = False
                if fault.end:
                    cut(path, fault)
                    continue
                reason = fault.reason
        else:
            reason = 'what comes before it is missing'
        keep(path)
        if path == oldest:
            # LevelDB has recorded that the file exists.
            _shorten(path, 0)
        else:
            path.unlink()
        done.append(f'{path.name} is set aside: {reason}')
    sync_directory(database)
    return done


def _shorten(path: Path, size: int) -> None:
    with open(path, 'r+b') as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _version(database: Path, cut: Callable[[Path, Fault], None], done: list[str]) -> manifest.Version:
    """Return the live files according to a MANIFEST whose files all exist."""
    first: errors.CorruptDatabase | None = None
    named: Path | None = None
    try:
        named = manifest.current(database)
    except (Fault, FileNotFoundError) as error:
        first = errors.CorruptDatabase(str(database / 'CURRENT'), title=f'A file of the database is damaged ({error})')
    # CURRENT is changed last, and before the files that the old MANIFEST needed are removed. A file system that
    # reorders these steps is left with the older one.
    others = sorted(database.glob('MANIFEST-*'), reverse=True)
    for path in dict.fromkeys(([named] if named is not None else []) + others):
        try:
            version, end = _read(path, database)
        except Fault as fault:
            first = first or errors.CorruptDatabase(
                str(path), title=f'A file of the database is damaged ({fault.reason})'
            )
            continue
        except FileNotFoundError as error:
            first = first or errors.CorruptDatabase(str(error.filename), title='A file of the database is missing')
            continue
        if end is not None:
            cut(path, end)
        if path != named:
            write_anew(database / 'CURRENT', path.name.encode() + b'\n')
            done.append(f'CURRENT names {path.name} again')
        return version
    raise first or errors.CorruptDatabase(str(database), title='A MANIFEST of the database is missing')


def _read(path: Path, database: Path) -> tuple[manifest.Version, Fault | None]:
    """Read a MANIFEST up to the point where all files that it names exist.

    Each edit is synced, with the names of all files, before the next is written. So only the last one can be torn or
    name a missing file. The first ones, up to the one that names a log, are synced before CURRENT names the MANIFEST.

    Returns:
        The version, and why and where the MANIFEST has to be cut; None if it need not be.

    Raises:
        Fault: it is damaged.
        FileNotFoundError: it is missing, or a file that it names.
    """
    data = path.read_bytes()
    last = end = 0
    torn: Fault | None = None
    try:
        for record in records(data, checksums=True, least=0):
            last, end = end, record.end
    except Torn:
        pass
    except Fault as fault:
        if any(readable_records(data, fault.end)):
            raise
        torn = fault
    version = manifest.read(data[:end], checksums=False)
    missing = version.missing(database)
    if not version.log:
        raise Fault(end, 'it names no log')
    if not missing:
        return version, torn
    before = manifest.read(data[:last], checksums=False)
    if before.log and not before.missing(database):
        return before, Fault(last, f'{missing[0].name} is missing, which the last edit names')
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(missing[0]))


def forget(aside: Path) -> None:
    """Remove data that was put aside more than a day ago."""
    if not aside.is_dir():
        return
    for path in aside.iterdir():
        if path.stat().st_mtime < time.time() - KEPT:
            path.unlink()

"""What is done to LevelDB's files before they are opened after a loss of power.

What was not synced may be missing then, and a file system may have kept a later part of it without an earlier one.
LevelDB would replay what is left around such a hole. Here each log ends at its first fault, and logs behind that are
put aside: what remains is a beginning of what was written, with everything that was synced.

Without a loss of power the same fault is damage of the medium, and nothing is cut: see `opening`.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.store import manifest
from rq_leveldb.store.engine import contents, sync_directory, sync_file
from rq_leveldb.store.log_file import Fault, check_batches, readable_records

KEPT = 86_400.0
"""Seconds for which cut files are kept."""


def mend(database: Path, aside: Path) -> list[str]:
    """End what is torn.

    :param database: LevelDB's directory
    :param aside: where what is cut off is kept for a day
    :returns: what was done, for people
    :raises errors.CorruptDatabase: what a loss of power does not explain
    :raises OSError: a file cannot be read or written
    """
    done: list[str] = []
    stamp = time.strftime('%Y%m%dT%H%M%S')

    def keep(path: Path) -> None:
        aside.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(path, aside / f'{stamp}-{path.name}')

    def cut(path: Path, fault: Fault) -> None:
        keep(path)
        lost = path.stat().st_size - fault.end
        os.truncate(path, fault.end)
        sync_file(path)
        done.append(f'{path.name} ends at byte {fault.end}, {lost} bytes before it did: {fault.reason}')

    try:
        path = manifest.current(database)
        try:
            version = manifest.read(path.read_bytes(), checksums=True)
        except Fault as fault:
            if any(readable_records(path.read_bytes(), fault.end)):
                # Each edit is synced before the next is written: only the last one can be torn.
                raise
            cut(path, fault)
            version = manifest.read(path.read_bytes(), checksums=True)
    except Fault as fault:
        raise errors.CorruptDatabase(str(path), title=f'A file of the database is damaged ({fault.reason})') from fault
    logs = version.logs(database)
    oldest = manifest.log_path(database, version.log)
    whole = oldest in logs
    if not whole:
        oldest.touch()
        sync_file(oldest)
        done.append(f'{oldest.name} is missing; an empty one is made')
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
            # LevelDB has said that it is there.
            os.truncate(path, 0)
            sync_file(path)
        else:
            path.unlink()
        done.append(f'{path.name} is set aside: {reason}')
    sync_directory(database)
    return done


def forget(aside: Path) -> None:
    """Remove what was put aside more than a day ago."""
    if not aside.is_dir():
        return
    for path in aside.iterdir():
        if path.stat().st_mtime < time.time() - KEPT:
            path.unlink()

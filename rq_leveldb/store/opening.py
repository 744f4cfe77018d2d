"""Opening the database of a data directory, whatever happened before.

The data directory records in which boot of the machine the database was last opened, or that it was closed cleanly. If
it was open in another boot, power may have been lost, or the directory was copied while a store ran.
"""

from __future__ import annotations

import logging
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.location import DataDirectory, sync_directory, write_anew
from rq_leveldb.process import boot_id
from rq_leveldb.store import power_loss
from rq_leveldb.store.engine import Engine, create, is_missing

logger = logging.getLogger(__name__)

_CLOSED = 'closed'


def open_database(directory: DataDirectory) -> Engine:
    """Open the database, creating one if the data directory never had one.

    Raises:
        errors.StoreError: it cannot be opened.
    """
    database = directory.database
    try:
        finish_mending(directory)
        if is_missing(database):
            if was_opened(directory):
                raise errors.CorruptDatabase(
                    str(database),
                    title='The database is missing',
                    advice='Restore it from a copy; to begin with an empty one, remove the whole data directory.',
                )
            create(database)
        elif power_may_be_lost(directory):
            for line in power_loss.mend(database, directory.set_aside):
                logger.warning('after a loss of power: %s', line)
        power_loss.forget(directory.set_aside)
        write_anew(directory.boot_note, f'{boot_id()}\n'.encode())
    except OSError as error:
        raise errors.StoreError(
            str(error.filename or database), title=f'The database cannot be opened ({error.strerror})'
        ) from error
    return Engine(database)


def close_database(directory: DataDirectory, engine: Engine) -> None:
    """Close a synced database, and record that it was closed cleanly."""
    engine.close()
    try:
        note_good_order(directory)
    except OSError as error:
        # The next start will treat this store as killed, which costs nothing.
        logger.warning('cannot note that the database was closed in good order: %s', error)


def note_good_order(directory: DataDirectory) -> None:
    """Record that the database is complete and synced."""
    write_anew(directory.boot_note, f'{_CLOSED}\n'.encode())


def was_opened(directory: DataDirectory) -> bool:
    """Return whether the directory ever had a database."""
    return _read(directory.boot_note) is not None


def power_may_be_lost(directory: DataDirectory) -> bool:
    """Return whether the database was open when the machine last booted."""
    return _read(directory.boot_note) not in (boot_id(), _CLOSED)


def finish_mending(directory: DataDirectory) -> None:
    """Finish replacing the damaged database by the repaired one, if that was begun: see `check`."""
    if directory.mended.exists() and not directory.database.exists():
        directory.mended.rename(directory.database)
        sync_directory(directory.path)


def _read(path: Path) -> str | None:
    try:
        return path.read_text('ascii', 'replace').strip()
    except FileNotFoundError:
        return None

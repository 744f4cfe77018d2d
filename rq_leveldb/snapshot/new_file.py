"""A file that appears under its name whole or not at all, readable by its owner alone."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rq_leveldb.errors import DiskFull, StoreError
from rq_leveldb.location import sync_directory

__all__ = ['new_file']


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """Open a file that gets its name when the block ends without an error.

    Args:
        path: its name. Until then it is this one with ``.tmp`` behind it.
        replace: whether there may be a file of this name.

    Raises:
        StoreError: it cannot be made, written or named; nothing is left behind.
    """
    growing = path.with_name(f'{path.name}.tmp')
    _look(path, replace=replace)
    file = None
    try:
        descriptor = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        file = os.fdopen(descriptor, 'wb')
        _claim(descriptor, growing)
        try:
            yield file
            file.flush()
            os.fsync(descriptor)
            _look(path, replace=replace)
            growing.rename(path)
        except BaseException:
            growing.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise _failed(path, error) from error
    finally:
        if file is not None:
            # It tries once more to write what it could not.
            with contextlib.suppress(OSError):
                file.close()


def _look(path: Path, *, replace: bool) -> None:
    if not path.exists():
        return
    if not path.is_file():
        raise StoreError(
            str(path), title='This is no regular file', advice='Name a new file, or write - for standard output.'
        )
    if not replace:
        raise StoreError(
            str(path), title='There is a file of this name', advice='Name another one, or say --force to replace it.'
        )


def _claim(descriptor: int, growing: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another dump may have given it its name after it was opened here.
        is_ours = os.path.samestat(os.fstat(descriptor), os.stat(growing))
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        raise StoreError(str(growing), title='Another dump is written to this file', advice='Wait for its end.')
    # What a killed dump has left.
    os.fchmod(descriptor, 0o600)
    os.ftruncate(descriptor, 0)


def _failed(path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(str(path), advice='Free some space, or name a file on another disk.')
    return StoreError(
        str(path),
        title=f'The file cannot be written ({error.strerror or error})',
        advice='Mend that, or name another file.',
    )

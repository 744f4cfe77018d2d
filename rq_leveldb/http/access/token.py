"""The bearer token in its file, in the data directory or elsewhere: created once, readable only by its owner."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from rq_leveldb.errors import StoreError, UnwritableDirectory

__all__ = ['load_token']


def load_token(path: Path) -> str:
    """Return the token in a file; create both if there is none.

    Args:
        path: the file, in a directory that exists.

    Raises:
        StoreError: other users can read it, or it has no token.
        UnwritableDirectory: it cannot be created or read.
    """
    try:
        try:
            return _read(path)
        except FileNotFoundError:
            _make(path)
            return _read(path)
    except OSError as error:
        raise UnwritableDirectory(str(path), title=f'The token cannot be stored here ({error.strerror})') from error


def _read(path: Path) -> str:
    with path.open(encoding='ascii', errors='replace') as file:
        status = os.fstat(file.fileno())
        token = file.read(10_000).strip()
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise StoreError(
            str(path),
            title='The token can be read by others',
            advice='Remove the file; a new token is made at the next start.',
        )
    if len(token) < 16:
        raise StoreError(
            str(path), title='This file has no token', advice='Remove it; a new one is made at the next start.'
        )
    return token


def _make(path: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix='.http.token.', dir=path.parent)
    with os.fdopen(descriptor, 'w', encoding='ascii') as file:
        file.write(secrets.token_urlsafe(32) + '\n')
        file.flush()
        os.fsync(file.fileno())
    try:
        # A link, not a rename: whoever was first keeps their token.
        os.link(name, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(name)

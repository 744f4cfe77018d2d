"""Whether a path still leads to the file that it led to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

Identity = tuple[int, int]

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
"""What the system says of a path that leads nowhere. Anything else (no permission, a disk that does not answer) says
nothing of the file, and may pass."""


def identity_of(status: os.stat_result) -> Identity:
    """Return a file's device and number, which no other file has as long as this one exists."""
    return status.st_dev, status.st_ino


def loss_of(path: Path, known: Identity) -> str:
    """Return what became of it, for people; '' if it is there, or nobody can tell.

    Args:
        path: where the file was.
        known: its identity.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return f'{path} is no longer there' if error.errno in _GONE else ''
    return '' if identity_of(status) == known else f'another file is at {path}'

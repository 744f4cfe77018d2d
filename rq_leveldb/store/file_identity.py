"""File identity: whether a path still leads to the same file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

Identity = tuple[int, int]

_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
"""Errors that mean that a path leads nowhere. Any other (no permission, a disk that does not answer) says nothing about
the file and may be temporary."""


def identity_of(status: os.stat_result) -> Identity:
    """Return a file's device and number, which no other file has as long as this one exists."""
    return status.st_dev, status.st_ino


def loss_of(path: Path, known: Identity) -> str:
    """Return what happened to a file, in words; '' if it exists, or it cannot be determined.

    Args:
        path: where the file was.
        known: its identity.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return f'{path} is no longer there' if error.errno in _GONE else ''
    return '' if identity_of(status) == known else f'another file is at {path}'

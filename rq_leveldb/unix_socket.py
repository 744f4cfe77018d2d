"""Unix sockets at paths of any length."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ['LONGEST_PATH', 'bind_unix', 'connect_unix']

LONGEST_PATH = 107 if sys.platform == 'linux' else 103
"""Bytes: sizeof(sun_path), less one for the closing zero; unix(7), and <sys/un.h> on the BSDs."""


def bind_unix(sock: socket.socket, path: Path) -> None:
    """Bind a Unix socket to a path of any length.

    Args:
        sock: an AF_UNIX stream socket, not bound yet.
        path: absolute path; its directory must exist, and the path must not.

    Raises:
        OSError: as socket.bind.
    """
    _with_short_path(path, sock.bind)


def connect_unix(sock: socket.socket, path: Path, timeout: float | None = None) -> None:
    """Connect a unix socket to a path of any length; the socket is a blocking one afterwards.

    Args:
        sock: an AF_UNIX stream socket.
        path: absolute path of a listening socket.
        timeout: seconds to wait while the listener's backlog is full; None waits forever.

    Raises:
        OSError: as socket.connect; BlockingIOError when the time is up.
    """
    # A non-blocking connect fails at once when the backlog is full, a blocking one waits for SO_SNDTIMEO: unix(7).
    sock.setblocking(True)
    if timeout is None:
        _with_short_path(path, sock.connect)
        return
    seconds, fraction = divmod(max(timeout, 0.001), 1.0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('@ll', int(seconds), int(fraction * 1e6)))
    try:
        _with_short_path(path, sock.connect)
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('@ll', 0, 0))


def _with_short_path(path: Path, use: Callable[[str], object]) -> None:
    """Call `use` with a name of the same socket that fits into a socket address."""
    if len(os.fsencode(path)) <= LONGEST_PATH:
        use(str(path))
        return
    if sys.platform == 'linux':
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            use(f'/proc/self/fd/{directory}/{path.name}')
        finally:
            os.close(directory)
        return
    import tempfile

    with tempfile.TemporaryDirectory(prefix='rql') as short:
        link = Path(short) / 'd'
        link.symlink_to(path.parent)
        use(str(link / path.name))

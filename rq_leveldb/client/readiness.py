"""Whether there is something to read from a socket, with whatever means this process has."""

from __future__ import annotations

import select
from collections.abc import Callable
from socket import socket

__all__ = ['wait', 'watch']


def watch(sock: socket) -> Callable[[], bool]:
    """Return a function that says, without waiting, whether a socket can be read from or is at its end.

    Args:
        sock: a connected socket; it must be open whenever the function is called.
    """
    # eventlet removes select.poll, because it cannot make it cooperative. select.select refuses descriptors above 1023.
    if not hasattr(select, 'poll'):
        return lambda: bool(select.select([sock], [], [], 0)[0])
    poller = _poller(sock)
    return lambda: bool(poller.poll(0))


def wait(sock: socket) -> None:
    """Wait until a socket can be read from or is at its end.

    Args:
        sock: a connected socket.
    """
    if hasattr(select, 'poll'):
        _poller(sock).poll()
    else:
        select.select([sock], [], [])


def _poller(sock: socket) -> select.poll:
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return poller

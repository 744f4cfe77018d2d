"""Telling a supervisor that speaks systemd's protocol when a service is ready."""

from __future__ import annotations

import os
import socket

__all__ = ['notify']


def notify(state: str) -> bool:
    """Send a state to the supervisor: sd_notify(3).

    Args:
        state: lines of NAME=value, such as 'READY=1', 'STOPPING=1' or 'STATUS=text'.

    Returns:
        Whether there was a supervisor to tell.
    """
    address = os.environ.get('NOTIFY_SOCKET', '')
    if not address.startswith(('/', '@')):
        return False
    # The leading @ stands for the zero byte of Linux' abstract names.
    name = '\0' + address[1:] if address.startswith('@') else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(name)
            sock.sendall(state.encode())
        except OSError:
            return False
    return True

"""Run a command in a network of its own, where every port is free: ``python private_network.py COMMAND ARGUMENT...``.

RQ's test suite speaks to port 6379 of this machine. In a private network namespace that port belongs to the suite
alone, whatever runs outside. The command keeps the user that it is run by; none of this needs root where unprivileged
user namespaces are allowed. Exit status 125 means that this machine does not give a private network.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

UNAVAILABLE = 125
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


def enter() -> None:
    """Move this process into a new network namespace whose loopback interface is up.

    Raises:
        OSError: where the machine does not allow it.
    """
    if not sys.platform.startswith('linux'):
        raise OSError('network namespaces are a thing of Linux')
    user, group = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    # Since Linux 3.19 a group map may be written without privilege only after setgroups was given up.
    Path('/proc/self/setgroups').write_text('deny')
    Path('/proc/self/uid_map').write_text(f'{user} {user} 1')
    Path('/proc/self/gid_map').write_text(f'{group} {group} 1')
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = bytearray(struct.pack('16sh22x', b'lo', 0))
        fcntl.ioctl(control, _SIOCGIFFLAGS, request)
        flags = struct.unpack_from('h', request, 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack('16sh22x', b'lo', flags | _IFF_UP))


def main(command: list[str]) -> None:
    """Enter a private network and become ``command``."""
    try:
        enter()
    except OSError as error:
        print(f'no private network here: {error}', file=sys.stderr)
        raise SystemExit(UNAVAILABLE) from error
    os.execvp(command[0], command)


if __name__ == '__main__':
    main(sys.argv[1:])

"""Where the HTTP front listens: a host and port, or a unix socket."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from rq_leveldb.errors import StoreError
from rq_leveldb.unix_socket import bind_unix, connect_unix

__all__ = ['DEFAULT_ADDRESS', 'Address', 'AddressTaken', 'BadHttpAddress', 'listen']

DEFAULT_ADDRESS = '127.0.0.1:7753'

_BACKLOG = 1024
# Longest time that the service waits for a client to read an answer, seconds.
_PATIENCE = 10
# Buffer for answers that were not read yet, bytes (Linux doubles it for its own bookkeeping, up to net.core.wmem_max).
# Whatever is sent without a token fits in it at once.
_UNREAD = 256 * 1024


class BadHttpAddress(StoreError, ValueError):
    """An address on which nothing can listen."""

    default_title = 'The HTTP front cannot listen on this address'
    default_advice = 'Write 127.0.0.1:7753, :7753 or unix:/path/to/socket.'


class AddressTaken(StoreError):
    """Something else listens on the address."""

    default_title = 'Something else listens on this address'
    default_advice = 'Choose another one with --http HOST:PORT, or run without the HTTP front: --no-http.'


@dataclass(frozen=True)
class Address:
    """An address.

    Args:
        host: name or IP address; '' for a unix socket.
        port: port; 0 lets the system choose.
        path: path of a unix socket, absolute; None for TCP.
    """

    host: str
    port: int
    path: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Args:
            text: `host:port`, `[v6]:port`, `:port` or `port` (both 127.0.0.1), `unix:path`.

        Raises:
            BadHttpAddress: it is something else.
        """
        if text.startswith('unix:'):
            path = text[5:].removeprefix('//') if text.startswith('unix://') else text[5:]
            if not path or '\0' in path:
                raise BadHttpAddress(text)
            return cls('', 0, Path(os.path.abspath(os.path.expanduser(path))))
        match = re.fullmatch(r'(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]*):)?([0-9]{1,5})', text)
        if match is None or int(match[2]) > 65535:
            raise BadHttpAddress(text)
        return cls((match[1] or '127.0.0.1').strip('[]'), int(match[2]))

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        if self.path is not None or self.host == 'localhost':
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def url(self, sock: socket.socket) -> str:
        """Return the URL of the service.

        Args:
            sock: its socket, bound.
        """
        if self.path is not None:
            return f'unix:{self.path}'
        host = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(self.host, self.host)
        return f'http://{f"[{host}]" if ":" in host else host}:{sock.getsockname()[1]}'

    def remove(self) -> None:
        """Remove the file of a unix socket when the service ends."""
        if self.path is not None:
            try:
                self.path.unlink()
            except OSError:
                pass


def listen(address: Address) -> socket.socket:
    """Return a socket that listens.

    Args:
        address: where.

    Raises:
        AddressTaken: something else listens there.
        BadHttpAddress: nothing can listen there.
    """
    try:
        sock = _bind_path(address.path) if address.path is not None else _bind_port(address.host, address.port)
    except socket.gaierror as error:
        raise BadHttpAddress(
            f'{address.host}:{address.port}', title=f'The host cannot be found ({error.strerror})'
        ) from error
    except OSError as error:
        where = str(address.path or f'{address.host}:{address.port}')
        if error.errno == errno.EADDRINUSE:
            raise AddressTaken(where) from error
        raise BadHttpAddress(where, title=f'The HTTP front cannot listen here ({error.strerror})') from error
    # Inherited by every connection that is accepted: socket(7), and sk_clone_lock() in Linux.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD)
    if sys.platform == 'linux':
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack('@ll', _PATIENCE, 0))
    sock.listen(_BACKLOG)
    return sock


def _bind_port(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(name)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_path(path: Path) -> socket.socket:
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        pass
    else:
        if not is_socket or _answers(path):
            raise OSError(errno.EADDRINUSE, 'in use')
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        bind_unix(sock, path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            connect_unix(probe, path, 1.0)
        except OSError:
            return False
    return True

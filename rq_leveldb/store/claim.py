"""The store's claim on its data directory: the lock, the socket's name, and whether both still lead to this process.

A directory can be removed, moved, replaced or unmounted under a running store. The store would then write to files that
nobody finds, while clients start another one. The holder of the lock owns the directory only as long as its path leads
to the locked file.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket

from rq_leveldb import errors, location, process
from rq_leveldb.store.file_identity import Identity, identity_of, loss_of
from rq_leveldb.unix_socket import bind_unix
from rq_leveldb.version import __version__


class Claim:
    """The lock and the socket name of the one store on a data directory.

    Args:
        directory: the data directory to lock.

    Raises:
        errors.StoreInUse: another store holds it.
        OSError: the lock file cannot be created or written.
    """

    def __init__(self, directory: location.DataDirectory) -> None:
        self._lock_path = directory.lock
        self._socket_path = directory.socket
        self._socket: Identity | None = None
        while True:
            self._lock = open(self._lock_path, 'a+', encoding='utf-8')  # noqa: SIM115 - held until the process ends
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                raise errors.StoreInUse(str(directory.path)) from None
            self._locked = identity_of(os.fstat(self._lock.fileno()))
            if not self.loss():
                break
            # The file was removed in between: another process may lock the one that is there now.
            self._lock.close()
        self._lock.truncate(0)
        self._lock.write(json.dumps({**process.identify().to_dict(), 'version': __version__}))
        self._lock.flush()

    def loss(self) -> str:
        """Return why the path no longer leads to this store; '' while it does."""
        return loss_of(self._lock_path, self._locked)

    def listen(self) -> socket.socket:
        """Take the socket's name and return the socket; an existing file is a killed store's, or was put there since.

        Raises:
            errors.StoreError: the name cannot be taken.
        """
        path = self._socket_path
        sock = None
        try:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            path.unlink(missing_ok=True)
            mask = os.umask(0o177)
            try:
                bind_unix(sock, path)
            finally:
                os.umask(mask)
            sock.listen(1024)
            sock.setblocking(False)
            self._socket = identity_of(os.stat(path))
        except OSError as error:
            if sock is not None:
                sock.close()
            raise errors.StoreError(
                str(path),
                title=f'The store cannot listen at its socket ({error.strerror or error})',
                advice='Remove what is there, if it is not a socket.',
            ) from error
        return sock

    def is_reachable(self) -> bool:
        """Return whether the socket's name leads to the listening socket."""
        return self._socket is None or not loss_of(self._socket_path, self._socket)

    def give_name_back(self) -> None:
        """Remove the socket's name, unless it now belongs to another store."""
        if self._socket is not None and self.is_reachable():
            with contextlib.suppress(OSError):
                self._socket_path.unlink()
        self._socket = None

    def close(self) -> None:
        """Release the lock."""
        self._lock.close()

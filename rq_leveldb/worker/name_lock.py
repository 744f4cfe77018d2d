"""A lock on a worker's name, which the kernel gives up when the worker dies: who lives, without clocks and pids.

Each worker on a store holds a record lock on a file in the data directory, DIR/workers/HASH.lock. Record locks belong
to one process: its forked children have no part in them, and whoever can open the file can ask whether it is locked,
from any container. Whoever opened a file and closes it again loses all locks that it has on it: fcntl(2). So a process
never opens the file of a name that it holds itself a second time.

Byte 0 is locked by the worker that lives, byte 1 by whoever recovers the jobs of one that died.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from redis import Redis

from rq_leveldb.client.connection import SocketPath

__all__ = ['NameLocks']

_LIFE, _RECOVERY = 0, 1
# struct flock: <fcntl.h> of Linux, and of macOS and the BSDs.
_LINUX = sys.platform == 'linux'
_FLOCK = '@hhqqi4x' if _LINUX else '@qqihhi'

# What this process holds: path to process id and descriptor. A forked child inherits these tables but not the locks.
_held: dict[Path, tuple[int, int]] = {}
_recovering: dict[Path, tuple[int, int]] = {}


class NameLocks:
    """The locks on the names of the workers on one store.

    Args:
        directory: where the files are.
        db: number of the logical database; the same name may be used in each.
    """

    def __init__(self, directory: Path, db: int = 0) -> None:
        self._directory = directory
        self._db = db

    @classmethod
    def of(cls, connection: Redis) -> NameLocks | None:
        """Return the locks of the store of a connection; None for a Redis server."""
        options = connection.connection_pool.connection_kwargs
        path = options.get('path')
        if not isinstance(path, SocketPath):
            return None
        return cls(path.location.directory.workers, int(options.get('db') or 0))

    def _path(self, name: str) -> Path:
        digest = hashlib.sha256(f'{self._db}/{name}'.encode('utf-8', 'surrogatepass')).hexdigest()
        return self._directory / f'{digest[:32]}.lock'

    def hold(self, name: str) -> bool:
        """Take a name, until `release` or the end of this process.

        Returns:
            Whether it is this process's now; False while another holds it.

        Raises:
            OSError: there can be no such file.
        """
        path = self._path(name)
        if self.is_own(name):
            return True
        _held.pop(path, None)
        self._directory.mkdir(mode=0o700, exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _lock(descriptor, _LIFE):
                os.close(descriptor)
                return False
            if _is_still(descriptor, path):
                _held[path] = (os.getpid(), descriptor)
                return True
            # It was removed in between.
            os.close(descriptor)

    def release(self, name: str) -> None:
        """Give a name back, and remove the file."""
        if self.is_own(name):
            path = self._path(name)
            _, descriptor = _held.pop(path)
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(descriptor)

    def is_own(self, name: str) -> bool:
        """Say whether this process holds a name."""
        return _held.get(self._path(name), (0, 0))[0] == os.getpid()

    def is_held(self, name: str) -> bool | None:
        """Say whether a live process holds a name; None where nothing is known of the name."""
        path = self._path(name)
        if self.is_own(name):
            return True
        process, descriptor = _recovering.get(path, (0, -1))
        if process == os.getpid():
            return _is_locked(descriptor, _LIFE)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return _is_locked(descriptor, _LIFE)
        except OSError:
            return None
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def recovering(self, name: str) -> Iterator[bool]:
        """Recover what a dead worker left, as the only one; the file is removed afterwards.

        Returns:
            Whether it is this process's turn; False while another is at it, or if the worker lives after all.
        """
        path = self._path(name)
        own = self.is_own(name)
        try:
            if own:
                descriptor = _held[path][1]
            else:
                self._directory.mkdir(mode=0o700, exist_ok=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            # For example, the disk is full. Other workers can tell from the records.
            yield True
            return
        try:
            taken = _lock(descriptor, _RECOVERY) and _is_still(descriptor, path)
            if not taken or (not own and _is_locked(descriptor, _LIFE)):
                yield False
                return
            _recovering[path] = (os.getpid(), descriptor)
            yield True
            # The file stays if a new worker of this name has it by now.
            if not own and _lock(descriptor, _LIFE):
                path.unlink(missing_ok=True)
        finally:
            _recovering.pop(path, None)
            if own:
                fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, _RECOVERY)
            else:
                os.close(descriptor)

    def tidy(self, known: set[str]) -> None:
        """Remove files whose lock nobody holds.

        Args:
            known: names of which there are records still; their files stay.
        """
        keep = {self._path(name) for name in known} | set(_held) | set(_recovering)
        with contextlib.suppress(OSError):
            for path in list(self._directory.glob('*.lock')):
                if path in keep:
                    continue
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    if _lock(descriptor, _RECOVERY) and _lock(descriptor, _LIFE) and _is_still(descriptor, path):
                        path.unlink()
                finally:
                    os.close(descriptor)


def _lock(descriptor: int, byte: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _is_locked(descriptor: int, byte: int) -> bool:
    """Ask, without taking it: two that ask at once must not see each other."""
    if _LINUX:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
        return bool(struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))[0] != fcntl.F_UNLCK)
    wanted = struct.pack(_FLOCK, byte, 1, 0, fcntl.F_WRLCK, os.SEEK_SET, 0)
    return bool(struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, wanted))[3] != fcntl.F_UNLCK)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False

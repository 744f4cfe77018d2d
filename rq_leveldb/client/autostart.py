"""Start the store when a client finds none, exactly once whatever the race; replace one that is too old.

A client that finds nobody listening takes a file lock, looks again, and starts a store as a detached process, which
reports over a pipe how it went. The others wait for the lock and find it running. The store's own lock settles any
other race: a second store reports `busy` and exits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from rq_leveldb import interpreter, process, trust
from rq_leveldb.errors import DiskFull, StoreError, StoreNotStarting, UnwritableDirectory
from rq_leveldb.location import DEFAULT_FSYNC, DataDirectory, Location
from rq_leveldb.unix_socket import connect_unix
from rq_leveldb.version import __version__

__all__ = ['connect', 'is_older', 'must_be_replaced', 'replace', 'running_store', 'stop']

# A store that must first recover a large log takes longer to start; no client waits longer than this.
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.005
_ATTEMPTS = 3
_NOBODY_LISTENS = (FileNotFoundError, ConnectionRefusedError)
# What a store imports that is not of the standard library: plyvel has another name for newer Pythons.
_NEEDED = ('hiredis', 'lupa', 'plyvel', 'plyvel_next', 'sortedcontainers', 'uvloop')
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# A supervisor's sockets are meant for the client and not for a store that outlives it: sd_notify(3), sd_listen_fds(3).
_SUPERVISORS_VARIABLES = (
    # A store that a job started is not the job's.
    process.EXECUTION_VARIABLE,
    'NOTIFY_SOCKET',
    'WATCHDOG_PID',
    'WATCHDOG_USEC',
    'LISTEN_PID',
    'LISTEN_FDS',
    'LISTEN_FDNAMES',
)


def connect(location: Location, timeout: float | None = None) -> socket.socket:
    """Connect to the store of a place, starting it if none is running.

    Args:
        location: the place.
        timeout: seconds for connecting to a running store; starting one may take up to 30 s.

    Returns:
        A connected blocking socket.

    Raises:
        StoreError: there is no store and none can be started, with the reason.
        OSError: something is listening but cannot be connected to.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _dial(location.directory, timeout)
        except _NOBODY_LISTENS:
            _start(location)
        except (NotADirectoryError, PermissionError):
            # Something is wrong with the directory itself, and this says what.
            location.directory.create()
            raise
    try:
        return _dial(location.directory, timeout)
    except _NOBODY_LISTENS as error:
        raise StoreNotStarting(str(location.directory.path), title='The store exits right after it starts') from error


def running_store(directory: DataDirectory) -> tuple[process.Identity, str] | None:
    """Return the process that holds a data directory and its version; None if no such process is alive.

    Args:
        directory: the data directory.
    """
    try:
        fields = json.loads(directory.lock.read_text('utf-8'))
        identity = process.Identity(int(fields['pid']), str(fields['started']), str(fields['boot_id']))
        version = str(fields['version'])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (identity, version) if process.is_alive(identity) else None


def is_older(version: str) -> bool:
    """Return whether a store's version is older than this client's.

    Args:
        version: numbers with dots; anything after them is ignored.
    """
    return _numbers(version) < _numbers(__version__)


def must_be_replaced(directory: DataDirectory, version: str | bytes | None) -> bool:
    """Return whether a store that was connected to is older than this client.

    Args:
        directory: its data directory.
        version: what the store itself reported; None if it did not, as in RESP2: then its lock is read.
    """
    if version is None:
        running = running_store(directory)
        if running is None:
            return False
        version = running[1]
    return is_older(version.decode() if isinstance(version, bytes) else version)


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(map(int, match[0].split('.'))) if match else ()


def replace(location: Location) -> None:
    """Stop the store of a place if it is older than this client; commands that it received are answered first.

    Args:
        location: the place.

    Raises:
        StoreNotStarting: the old store did not stop in 10 s.
    """
    directory = location.directory
    with _locked(directory):
        running = running_store(directory)
        if running is not None and is_older(running[1]) and not _shut_down(directory, running[0]):
            raise StoreNotStarting(
                str(directory.path),
                title=f'The running store of version {running[1]} did not stop for this version',
                advice=f'Stop its process {running[0].pid}.',
            )


def stop(directory: DataDirectory) -> bool:
    """Stop the store of a data directory; commands that it received are answered first.

    Args:
        directory: the data directory.

    Returns:
        Whether none runs now; False if it did not stop in 10 s.

    Raises:
        StoreError: the directory is not this user's, or holds no store.
    """
    directory.check()
    running = running_store(directory)
    return running is None or _shut_down(directory, running[0])


def _shut_down(directory: DataDirectory, identity: process.Identity) -> bool:
    with contextlib.suppress(OSError), _dial(directory, _STOP_SECONDS) as sock:
        sock.sendall(b'*1\r\n$8\r\nSHUTDOWN\r\n')
        # Wait until it has read this: a store drops what a client sent if that client has gone.
        return _ends(identity, _STOP_SECONDS)
    return _ends(identity, _STOP_SECONDS)


def _dial(directory: DataDirectory, timeout: float | None) -> socket.socket:
    directory.check_socket()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connect_unix(sock, directory.socket, timeout)
        trust.check_listener(sock, str(directory.socket))
    except BaseException:
        sock.close()
        raise
    return sock


def _start(location: Location) -> None:
    """Make sure that a store is listening."""
    directory = location.directory
    directory.create()
    deadline = time.monotonic() + _START_SECONDS
    with _locked(directory):
        while True:
            with contextlib.suppress(*_NOBODY_LISTENS), _dial(directory, None):
                return
            if _spawn(location, deadline):
                return
            # Another store holds the lock but is not listening: it is starting or going away.
            holder = running_store(directory)
            if holder is not None:
                _ends(holder[0], 0.05)
            if time.monotonic() > deadline:
                raise StoreNotStarting(
                    str(directory.path),
                    title='A store is running but does not listen',
                    advice='See store.log there'
                    + (f', or stop its process {holder[0].pid}.' if holder is not None else '.'),
                )


@contextlib.contextmanager
def _locked(directory: DataDirectory) -> Iterator[None]:
    """Hold the lock under which stores are started.

    It keeps many clients from starting as many processes. That only one store runs is ensured by the store's own lock.
    So a client that has waited longer than a start takes continues without this lock.
    """
    descriptor = _open(directory, directory.start_lock, os.O_RDWR | os.O_CREAT)
    deadline = time.monotonic() + _START_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_SECONDS)
        yield
    finally:
        # Closing is not enough: another thread may have forked, and its child holds this descriptor too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _open(directory: DataDirectory, path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DiskFull(str(directory.path)) from error
        raise UnwritableDirectory(
            str(directory.path), title=f'{UnwritableDirectory.default_title} ({error.strerror})'
        ) from error


def _is_another(identity: process.Identity) -> bool:
    try:
        return process.identify(identity.pid) != identity
    except ProcessLookupError:
        return False


def _ends(identity: process.Identity, seconds: float) -> bool:
    """Wait until a process ends; return whether it did."""
    try:
        descriptor = process.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    if descriptor is None:
        deadline = time.monotonic() + seconds
        while process.is_alive(identity) and time.monotonic() < deadline:
            time.sleep(0.01)
    else:
        try:
            # A thread of one that has ended may still hold its sockets; the descriptor waits for the last.
            if not _is_another(identity):
                select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
    return not process.is_alive(identity)


def _spawn(location: Location, deadline: float) -> bool:
    """Start a store's process and wait for its report.

    Returns:
        True if it listens, False if another process holds the directory.

    Raises:
        StoreError: it reported an error, or exited without one.
    """
    directory = location.directory
    log = _open(directory, directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        told, tell = os.pipe()
    except OSError:
        os.close(log)
        raise
    try:
        try:
            size = os.fstat(log).st_size
            starter = subprocess.Popen(
                interpreter.command(
                    [
                        *('store', '--dir', str(directory.path), '--detached', '--ready-fd', str(tell)),
                        *('--fsync', location.fsync or DEFAULT_FSYNC, '--idle', f'{location.idle:g}'),
                    ],
                    _NEEDED,
                ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd='/',
                env=_environment(),
                pass_fds=(tell,),
                start_new_session=True,
            )
        except interpreter.NoInterpreter as error:
            raise StoreNotStarting(
                str(directory.path),
                title=f'A store cannot be started from here ({error})',
                advice='Start one first: rq-leveldb store.',
            ) from error
        except OSError as error:
            raise StoreNotStarting(
                str(directory.path),
                title=f'A process cannot be started ({error.strerror})',
                advice='Check ulimit -u and the free memory.',
            ) from error
        finally:
            os.close(tell)
            os.close(log)
        line = _read_line(told, deadline)
        if line is None:
            starter.send_signal(signal.SIGKILL)
        starter.wait()
    finally:
        os.close(told)
    word, _, detail = (line or '').partition(' ')
    if word in ('ready', 'busy'):
        return word == 'ready'
    if word == 'error':
        with contextlib.suppress(ValueError):
            raise StoreError.from_json(detail)
    raise StoreNotStarting(
        str(directory.path),
        title='The store did not answer in time' if line is None else StoreNotStarting.default_title,
        advice=_last_words(directory.log, size),
    )


def _read_line(descriptor: int, deadline: float) -> str | None:
    """Return what comes before the end of a line or of the pipe; None when the time is up."""
    data = b''
    while b'\n' not in data:
        readable, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return None
        piece = os.read(descriptor, 4096)
        if not piece:
            break
        data += piece
    return data.partition(b'\n')[0].decode('utf-8', 'replace')


def _last_words(log: Path, size: int) -> str:
    """Return advice with the last line that the store wrote to its log after `size` bytes."""
    text = ''
    with contextlib.suppress(OSError), log.open('rb') as file:
        file.seek(size)
        text = file.read(1 << 16).decode('utf-8', 'replace').strip()
    last = text.rpartition('\n')[2].strip()
    return f'See {log}: {last}' if last else f'See {log}.'


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _SUPERVISORS_VARIABLES}

"""The HTTP front beside the worker: one for each data directory, whichever worker has it.

Where the user named an address, it is kept alive. Else it is there on demand: the worker listens, starts it when
somebody connects, and lets it end when nobody has been connected for a while, since it takes more memory than the rest.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rq_leveldb import interpreter
from rq_leveldb.errors import StoreError
from rq_leveldb.http_address import DEFAULT_ADDRESS, Address, listen
from rq_leveldb.location import URL_VARIABLES, parse, prepare_front_directory
from rq_leveldb.version import __version__

from .backoff import Backoff

__all__ = ['Front']

# Seconds between two attempts to take over from another worker's front.
_TAKEOVER = 1.0
# Seconds until a front that ended is restarted: doubled each time, and reset once it has run for a while.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_LIVED = 60.0
_START_PATIENCE = 20.0
# Seconds without a client after which a front that was started on demand ends.
_IDLE = 300.0


class Front:
    """The HTTP front as one of the worker's services.

    Args:
        url: where the data is; None for the default directory.
        address: where it is to listen, if the user said so: then it must. None takes the default, and does without
            where something else listens there.
        options: further arguments of `rq-leveldb http`.
        log: the worker's log.
    """

    name = 'HTTP front'

    def __init__(
        self,
        url: str | None,
        address: str | None = None,
        options: Sequence[str] = (),
        log: logging.Logger | None = None,
    ) -> None:
        self._url = url
        self._address = address
        self._options = tuple(options)
        self._log = log or logging.getLogger('rq.worker')
        self.retry = _TAKEOVER
        self._process: subprocess.Popen[bytes] | None = None
        # Where it listens for the front, and the descriptor of the lock; only on demand.
        self._door: tuple[socket.socket, int] | None = None
        self._lock: tuple[Path, os.stat_result] | None = None
        self._ready = -1
        self._started = 0.0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._told = self._url_told = ''

    def require(self) -> None:
        """Start it now and wait until it serves; before the worker takes jobs, where the user asked for an address.

        Raises:
            StoreError: it cannot serve there.
        """
        if self.start() is None:
            # Another worker's front serves this directory.
            return
        select.select([self._ready], [], [], _START_PATIENCE)
        error = self._read_error()
        if error is not None:
            assert self._process is not None
            self._process.wait()
            self._process = None
            raise error

    def start(self) -> int | None:
        """Start it, unless another worker's front serves this data directory.

        Returns:
            Its process id, or None.
        """
        if self._process is not None and self._process.returncode is None:
            # `require` started it.
            return self._process.pid
        self.retry = _TAKEOVER
        if self.is_misplaced():
            self.leave()
        if self._door is not None:
            sock, lock = self._door
            is_wanted = select.select([sock], [], [], 0)[0]
            return self._launch(lock, sock) if is_wanted else None
        directory = prepare_front_directory(self._url)
        lock = os.open(directory.http_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        self._lock = (directory.http_lock, os.fstat(lock))
        try:
            if self._address is None:
                address = Address.parse(os.environ.get('RQ_LEVELDB_HTTP') or DEFAULT_ADDRESS)
                # The front itself removes the file of a unix socket.
                if address.path is None:
                    self._door = self._listen(address, lock), lock
                    return None
            return self._launch(lock)
        except StoreError as error:
            self.retry = self._backoff.next()
            self._warn(_in_words(error))
            return None
        finally:
            if self._door is None:
                # From here on the front holds the lock, until its last process ends.
                os.close(lock)

    def _listen(self, address: Address, lock: int) -> socket.socket:
        """Listen in the place of the front, and say so where and as it does."""
        sock = listen(address)
        url = address.url(sock)
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({'url': url, 'pid': os.getpid(), 'version': __version__}).encode(), 0)
        if url != self._url_told:
            print(f'{time.strftime("%H:%M:%S")} http: serving on {url}', file=sys.stderr, flush=True)
            self._url_told = url
        return sock

    def listener(self) -> int | None:
        """Return the descriptor that is readable when somebody connects; None if it does not wait for that."""
        return self._door[0].fileno() if self._door is not None else None

    def leave(self) -> None:
        """Listen no more, and let another worker have the lock."""
        if self._door is not None:
            sock, lock = self._door
            sock.close()
            os.close(lock)
            self._door = None

    def _launch(self, lock: int, sock: socket.socket | None = None) -> int:
        ready, theirs = os.pipe()
        os.set_blocking(ready, False)
        command = [interpreter.executable(), '-m', 'rq_leveldb', 'http', *self._options]
        if self._address is not None:
            command += ['--http', self._address]
        descriptors = [theirs, lock]
        if sock is not None:
            command += ['--listen-fd', str(sock.fileno()), '--idle', str(_IDLE)]
            descriptors.append(sock.fileno())
        command += ['--parent', str(os.getpid()), '--ready-fd', str(theirs), '--lock-fd', str(lock)]
        try:
            # A session of its own, so that Ctrl-C reaches only the worker, which stops the front last.
            # The URL is passed in the environment: anybody can read a command line, including a password in it.
            # It must find the application's modules where this process finds them.
            environment = {**os.environ, URL_VARIABLES[0]: self._url or parse(None).url}
            environment['PYTHONPATH'] = interpreter.search_path()
            self._process = subprocess.Popen(command, pass_fds=descriptors, start_new_session=True, env=environment)
        finally:
            os.close(theirs)
        self._ready = ready
        self._started = time.monotonic()
        return self._process.pid

    def on_exit(self, status: int) -> float | None:
        """Say in the log why it ended, if that is news.

        Args:
            status: what waitpid(2) returned.

        Returns:
            Seconds until it is to be started again.
        """
        assert self._process is not None
        # subprocess cannot know that the supervisor has reaped it.
        self._process.returncode = os.waitstatus_to_exitcode(status)
        error = self._read_error()
        if self._ready >= 0:
            os.close(self._ready)
            self._ready = -1
        if time.monotonic() - self._started > _LIVED:
            self._backoff.reset()
            self._told = ''
        if error is None and self._door is not None and self._process.returncode == 0:
            # Nobody has needed it for a while.
            return 0.0
        if error is not None:
            self._warn(_in_words(error))
            # Who waits is disconnected.
            self.leave()
        else:
            self._warn(f'The HTTP front exited with code {self._process.returncode}; restarting it.')
        return self._backoff.next()

    def _warn(self, text: str) -> None:
        if text != self._told:
            self._log.warning('%s', text)
            self._told = text

    def is_misplaced(self) -> bool:
        """Say whether the lock file, by which it is found, is no longer at its path."""
        if self._lock is None:
            return False
        path, status = self._lock
        try:
            return not os.path.samestat(os.stat(path), status)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def stop(self) -> None:
        """Ask it to end."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()

    def _read_error(self) -> StoreError | None:
        """Return what it said instead of serving, if it did."""
        try:
            text = os.read(self._ready, 65536).decode('utf-8', 'replace') if self._ready >= 0 else ''
        except BlockingIOError:
            return None
        if not text.startswith('error '):
            return None
        try:
            return StoreError.from_json(text.removeprefix('error '))
        except ValueError:
            return StoreError(self._address or '', title='The HTTP front did not start', advice=text[:500])


def _in_words(error: StoreError) -> str:
    return f'No HTTP front: {error.title}: {error.where}. {error.advice} Jobs still run.'

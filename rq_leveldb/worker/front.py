"""Keeps the HTTP front alive beside the worker: one for each data directory, whichever worker has it."""

from __future__ import annotations

import fcntl
import logging
import os
import select
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from rq_leveldb import interpreter
from rq_leveldb.errors import StoreError
from rq_leveldb.location import URL_VARIABLES, parse, prepare_front_directory

from .backoff import Backoff

__all__ = ['Front']

# Seconds between two attempts to take over from another worker's front.
_TAKEOVER = 1.0
# Seconds until a front that ended is restarted: doubled each time, and reset once it has run for a while.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 30.0
_LIVED = 60.0
_START_PATIENCE = 20.0


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
    retry = _TAKEOVER

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
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: tuple[Path, os.stat_result] | None = None
        self._ready = -1
        self._started = 0.0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._told = ''

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
        directory = prepare_front_directory(self._url)
        lock = os.open(directory.http_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        self._lock = (directory.http_lock, os.fstat(lock))
        ready, theirs = os.pipe()
        os.set_blocking(ready, False)
        command = [interpreter.executable(), '-m', 'rq_leveldb', 'http', *self._options]
        if self._address is not None:
            command += ['--http', self._address]
        command += ['--parent', str(os.getpid()), '--ready-fd', str(theirs), '--lock-fd', str(lock)]
        try:
            # A session of its own, so that Ctrl-C reaches only the worker, which stops the front last.
            # The URL is passed in the environment: anybody can read a command line, including a password in it.
            # It must find the application's modules where this process finds them.
            environment = {**os.environ, URL_VARIABLES[0]: self._url or parse(None).url}
            environment['PYTHONPATH'] = interpreter.search_path()
            self._process = subprocess.Popen(command, pass_fds=(theirs, lock), start_new_session=True, env=environment)
        finally:
            # From here on the front holds the lock, until its last process ends.
            os.close(lock)
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
        if error is not None:
            text = f'No HTTP front: {error.title}: {error.where}. {error.advice} Jobs still run.'
        else:
            text = f'The HTTP front exited with code {self._process.returncode}; restarting it.'
        if text != self._told:
            self._log.warning('%s', text)
            self._told = text
        return self._backoff.next()

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

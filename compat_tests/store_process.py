"""A store in a process of its own, that tests may kill and start again in the same directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType


class StoreProcess:
    """``python -m rq_leveldb store`` in the foreground on one data directory.

    Args:
        directory: the data directory; made by the store if it is missing.
        port: a TCP port on the loopback address, or 0 for the unix socket alone.
        fsync: ``everysec`` or ``always``.
    """

    def __init__(self, directory: Path, port: int = 0, fsync: str = 'everysec') -> None:
        self.directory = directory
        self.port = port
        self.fsync = fsync
        self.socket_path = str(directory / 'store.sock')
        self._process: subprocess.Popen[bytes] | None = None
        self._log_path = directory.with_name(directory.name + '.out')

    def start(self) -> StoreProcess:
        """Start the store; return once it answers.

        Raises:
            RuntimeError: if it ends or does not answer within 20 seconds; carries what it printed.
        """
        command = [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(self.directory), '--fsync', self.fsync]
        if self.port:
            command += ['--port', str(self.port)]
        with open(self._log_path, 'ab') as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f'the store did not start:\n{self.output()}')
            time.sleep(0.01)
        return self

    def output(self) -> str:
        """Return what the store printed, and its log file."""
        parts = [self._log_path, self.directory / 'store.log']
        return '\n'.join(part.read_text(errors='replace') for part in parts if part.exists())

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(self.socket_path)
                probe.sendall(b'*1\r\n$4\r\nPING\r\n')
                return probe.recv(64).startswith(b'+PONG')
            except OSError:
                return False

    @property
    def pid(self) -> int:
        """Process id of the running store."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Kill the store with SIGKILL and wait for its end; nothing if it does not run."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask the store to stop (SIGTERM) and return its exit status.

        Raises:
            subprocess.TimeoutExpired: if it does not stop within 30 seconds.
        """
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        if process.poll() is None:
            os.kill(process.pid, how)
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def __enter__(self) -> StoreProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

"""What is measured: each peer starts afresh in its own directory for every run, so no run pays for another's data."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from benchmarks.report import HUEY, OURS, TCP, UNIX
from compat_tests.real_redis import find_server, server_version

PATIENCE = 600.0


class Peer(ABC):
    """One place for jobs, in a directory of its own.

    Args:
        directory: an empty directory for its files; left behind at the end, its owner removes it.
        always: sync each write before it is acknowledged, instead of about once a second.
    """

    def __init__(self, directory: Path, always: bool = False) -> None:
        self.directory = directory
        self.always = always
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """What a client connects to."""

    def command(self) -> list[str] | None:
        """How to start the server; None for a peer that has none."""
        return None

    @property
    def socket_path(self) -> Path:
        return self.directory / 's'

    def start(self) -> float:
        """Start the server and return the seconds until its first answer to a command on the data."""
        command = self.command()
        if command is None:
            return 0.0
        started = time.perf_counter()
        with open(self.directory.with_suffix('.log'), 'ab') as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self._answers():
            if self._process.poll() is not None or time.perf_counter() - started > PATIENCE:
                said = self.directory.with_suffix('.log').read_text(errors='replace')
                raise RuntimeError(f'{command[0]} did not start:\n{said[-2000:]}')
            time.sleep(0.001)
        return time.perf_counter() - started

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PATIENCE)
            try:
                probe.connect(str(self.socket_path))
                # Not PING: Redis answers -LOADING while it reads its file, and a length only once the data is there.
                probe.sendall(b'*2\r\n$4\r\nLLEN\r\n$13\r\nrq:queue:deep\r\n')
                return probe.recv(64).startswith(b':')
            except OSError:
                return False

    @property
    def pid(self) -> int | None:
        """Process id of the server, where there is one."""
        return self._process.pid if self._process else None

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None

    def __enter__(self) -> Peer:
        self.directory.mkdir(mode=0o700)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGKILL)


class Store(Peer):
    """The store of rq-leveldb, through its own unix socket."""

    @property
    def url(self) -> str:
        return f'leveldb://{self.directory}?fsync={"always" if self.always else "everysec"}'

    @property
    def socket_path(self) -> Path:
        return self.directory / 'store.sock'

    def command(self) -> list[str]:
        fsync = 'always' if self.always else 'everysec'
        return [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(self.directory), '--fsync', fsync]


class RedisServer(Peer):
    """A real Redis server with an append-only file; clients come through TCP, as RQ's users have it."""

    def __init__(self, directory: Path, always: bool = False) -> None:
        super().__init__(directory, always)
        with socket.create_server(('127.0.0.1', 0)) as probe:
            self.port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f'redis://127.0.0.1:{self.port}/0'

    def command(self) -> list[str]:
        options = ['--port', str(self.port), '--bind', '127.0.0.1', '--unixsocket', str(self.socket_path)]
        options += ['--dir', str(self.directory), '--save', '', '--loglevel', 'warning']
        return [
            str(find_server()),
            *options,
            '--appendonly',
            'yes',
            '--appendfsync',
            'always' if self.always else 'everysec',
        ]


class RedisByUnixSocket(RedisServer):
    """The same server; clients come through its unix socket, as ours do."""

    @property
    def url(self) -> str:
        return f'unix://{self.socket_path}'


class HueyOnSQLite(Peer):
    """Huey, which keeps its queue in SQLite without a server; `always` is its `fsync=True`."""

    @property
    def url(self) -> str:
        return f'huey://{self.directory / "huey.db"}?fsync={int(self.always)}'


PEERS: dict[str, Callable[[Path, bool], Peer]] = {
    OURS: Store,
    TCP: RedisServer,
    UNIX: RedisByUnixSocket,
    HUEY: HueyOnSQLite,
}


def versions(directory: Path) -> dict[str, str]:
    """What a reader needs to judge the numbers: programs, libraries, machine and file system."""
    found = {name: importlib.metadata.version(name) for name in ('rq-leveldb', 'rq', 'redis', 'hiredis', 'plyvel')}
    try:
        found['huey'] = importlib.metadata.version('huey')
    except importlib.metadata.PackageNotFoundError:
        found['huey'] = 'missing'
    server = '.'.join(str(part) for part in server_version(find_server()))
    machine = f'{platform.machine()} with {os.cpu_count()} cores'
    return {
        'Redis server': server,
        'Python': platform.python_version(),
        **found,
        'kernel': platform.release(),
        'machine': machine,
        'file system': file_system(directory),
    }


def file_system(directory: Path) -> str:
    """The type of the file system below a directory, `unknown` where it cannot be told."""
    try:
        mounts = [line.split() for line in Path('/proc/mounts').read_text().splitlines()]
    except OSError:
        return 'unknown'
    path = directory.resolve()
    fitting = [mount for mount in mounts if path == Path(mount[1]) or Path(mount[1]) in path.parents]
    return max(fitting, key=lambda mount: len(mount[1]))[2] if fitting else 'unknown'

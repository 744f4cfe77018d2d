"""Redis with an append only file (AOF) as a server for `tests/power`; all its other settings are as they come."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from compat_tests.real_redis import find_server, server_version
from rq_leveldb.process import die_with_parent
from tests.power.load import DATA
from tests.power.server import SOCKET, Server

_PATIENCE = 20.0
_MANIFEST = Path('appendonlydir', 'appendonly.aof.manifest')
_WORDS = 300


class RefusedToStart(Exception):
    """Redis ended instead of starting; carries the last warnings of its log."""


class RedisServer(Server):
    """A real redis-server, found as for all comparisons.

    With ``everysec`` Redis says that a second may be lost. It holds writes back while a sync runs, though it answers
    them, for two seconds at most: so two are granted, also to a process that is killed. A server that starts does not
    sync what those before it left, and is not blamed for it.
    """

    everysec = 2.0
    kept_at_kill = False
    settled_at_start = False
    streams = True
    compaction = 'BGREWRITEAOF'
    raw = 'BUG REPORT'

    def __init__(self) -> None:
        path = find_server()
        super().__init__((str(path),))
        self.version = '.'.join(map(str, server_version(path)))

    def command(self, data: Path, fsync: str) -> list[str]:
        options = ['--port', '0', '--unixsocket', str(data / SOCKET), '--dir', str(data), '--save', '']
        return [*self.program, *options, '--appendonly', 'yes', '--appendfsync', fsync]

    def prepare(self, data: Path, fresh: bool) -> None:
        # Redis does not make the directory that --dir names.
        data.mkdir(mode=0o700)
        if not fresh:
            self.open(data).close()

    def open(self, data: Path) -> Answering:
        return Answering(self.command(data, 'everysec'), data)

    def mend(self, data: Path) -> bool:
        """Return whether ``redis-check-aof --fix`` says that the file is good now."""
        if not (data / _MANIFEST).exists():
            return False
        with tempfile.TemporaryDirectory() as place:
            # The program is what its name says.
            tool = Path(place, 'redis-check-aof')
            tool.symlink_to(Path(self.program[0]).resolve())
            done = subprocess.run([tool, '--fix', data / _MANIFEST], input=b'y\n' * 9, capture_output=True)
            return done.returncode == 0


class Answering:
    """A redis-server on what is left, in a process of its own that ends with this one.

    Raises:
        RefusedToStart: it ended, or did not answer in time.
    """

    def __init__(self, command: list[str], data: Path) -> None:
        log = data.with_name('redis.log')
        with open(log, 'wb') as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        # redis-py declares a host that a connection by path has not.
        self._connection = redis.UnixDomainSocketConnection(  # type: ignore[abstract]
            str(data / SOCKET), protocol=2, retry=Retry(NoBackoff(), 0)
        )
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._kill()
                raise RefusedToStart(_warnings(log))
            time.sleep(0.005)

    def _answers(self) -> bool:
        if not os.path.exists(self._connection.path):
            return False
        try:
            self._connection.connect()
            return bool(self.call('PING') == b'PONG')
        except redis.ConnectionError:  # it is loading, among others
            self._connection.disconnect()
            return False

    def select(self, db: int) -> None:
        self.call('SELECT', db)

    def keys(self) -> list[tuple[bytes, str]]:
        # SCAN removes what is due, which DBSIZE would count.
        found: set[bytes] = set()
        cursor: bytes | int = 0
        while cursor != b'0':
            cursor, some = self.call('SCAN', cursor, 'COUNT', 10_000)
            found.update(some)
        return [(key, self.call('TYPE', key).decode()) for key in sorted(found)]

    def call(self, *argv: str | bytes | int) -> Any:
        self._connection.send_command(*argv)
        try:
            return self._connection.read_response()
        except redis.ResponseError as error:
            return error

    def close(self) -> None:
        if self._process.poll() is None:
            self._connection.send_command('SHUTDOWN')
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._kill()
        self._connection.disconnect()

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()


def _warnings(log: Path) -> str:
    lines = [line.partition(' # ')[2] for line in log.read_text(errors='replace').splitlines() if ' # ' in line]
    return ' '.join(line for line in lines if 'overcommit' not in line)[-_WORDS:] or 'it ends without a word'


class Restarted:
    """Starts the next redis-server as soon as it has killed one, as a service manager does.

    Args:
        place: a directory whose path is short enough for a socket.
        fsync: everysec or always.
    """

    def __init__(self, place: Path, fsync: str) -> None:
        self.server: Server = RedisServer()
        self.data = place / DATA
        self.server.prepare(self.data, fresh=True)
        self._command = self.server.command(self.data, fsync)
        self._log = place / 'out'
        self.connect: Callable[[], redis.Redis] = partial(
            redis.Redis, unix_socket_path=str(self.data / SOCKET), retry=Retry(NoBackoff(), 0)
        )
        self._start()

    def _start(self) -> None:
        with open(self._log, 'ab') as out:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def kill(self) -> None:
        self._end(signal.SIGKILL)
        self._start()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        self._process.wait(_PATIENCE)

"""A load on a recorded store: clients that write while it is killed, stopped and started, on disks quick and slow."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.power.recorder import Recorder
from tests.power.server import SOCKET, Server
from tests.power.units import SCRIPT, SHOW, Unit, unit

CLIENTS = 8
PATIENCE = 60.0
DATA = 'jobs'
"""The data directory's name on the disk."""

STARTED, STOPPED, IDLE = 'started', 'stopped', 'idle'
"""Marks in the record: a store is about to start, has stopped by itself, has had nothing to do for a while."""

HOLDS = 'holds '
"""Another: how many units a store has that has just started; the number follows."""

_PHASES = ('kill', 'stop', 'kill', 'kill while starting', 'stop')
_PHASE_NOTES = 1500
_PHASE_SECONDS = 2.5
_SYNC_TIMES = (0.0, 0.0, 0.001, 0.005, 0.03)
_SLOW_SYNC_TIMES = (0.005, 0.03)
_SLOW_TABLE_TIME = 0.3
"""Until a table is synced, LevelDB syncs no directory: long enough for clients to be told what is in the new log."""
_LOG_SWITCHES = 60 << 20
"""Bytes of a record after which LevelDB has turned to another log some three times."""
_IDLE = 2.0
"""Seconds without writes at the end, after which everysec must have synced everything."""


@dataclass(frozen=True)
class Recording:
    """What a load leaves.

    Args:
        server: what was recorded.
        root: where the disk was; notes name it.
        base: what was on the disk at first.
        inodes: those that its files had, as notes name them.
        kept: how many units that were.
        record: the notes.
        history: the names of all units that the store did, in order.
    """

    seed: int
    fsync: str
    server: Server
    root: Path
    base: Path
    inodes: dict[str, int]
    kept: int
    record: Path
    history: tuple[str, ...]


class Client(threading.Thread):
    """Sends its units, one after the other, to whatever store is up.

    Args:
        pause: seconds between two units.
    """

    def __init__(self, load: Load, number: int, pause: float) -> None:
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.pause = pause
        self.fault = ''

    def run(self) -> None:
        while not self.load.ending.is_set():
            if not self.load.up.wait(0.05):
                continue
            try:
                with self.load.client() as client:
                    self._work(client)
            except redis.ConnectionError:
                time.sleep(0.005)
            except redis.RedisError as error:
                self.fault = f'client {self.number}: {error}'
                return

    def _work(self, client: redis.Redis) -> None:
        number = int(client.get(f'count:{self.number}') or 0)
        while not self.load.ending.is_set():
            number += 1
            send(client, unit(self.load.seed, self.number, number))
            if not self.load.hurry:
                time.sleep(self.pause)


class Onlooker(Client):
    """Asks how far others have come: what it is shown must be as durable as what they were told."""

    def _work(self, client: redis.Redis) -> None:
        chance = Random(self.load.seed)
        while not self.load.ending.is_set():
            client.eval(SHOW, 1, str(chance.randrange(CLIENTS)))
            time.sleep(self.pause)


def send(client: redis.Redis, one: Unit) -> None:
    """Have a unit done.

    Raises:
        redis.RedisError: it was not done; or, if the connection broke, it may have been.
    """
    if one.as_script:
        arguments = [part for command in one.commands for part in (len(command), *command)]
        client.eval(SCRIPT, 1, one.tag, *arguments)
        return
    with client.pipeline() as pipe:
        for command in one.commands:
            pipe.execute_command(*command)
        pipe.execute_command('ECHO', one.tag)
        pipe.execute()


class Load:
    """Clients, and a store that is recorded while they use it.

    Args:
        place: a new directory for everything; its path is short enough for a socket.
        seed: decides what is sent, and in part when the store is struck.
        fsync: everysec or always.
        server: what runs.
        base: a disk to begin with; None for one that the server prepares.
        kept: how many units are on it.
        fresh: whether the store is the first in its data directory; else the directory has been in use for long.
        struck: whether the store is killed and stopped meanwhile; if not, more is written.
        library: the recorder, if it was compiled before.
    """

    def __init__(
        self,
        place: Path,
        seed: int,
        fsync: str,
        server: Server,
        base: Path | None = None,
        kept: int = 0,
        fresh: bool = True,
        struck: bool = True,
        library: Path | None = None,
    ) -> None:
        place.mkdir(mode=0o700)
        self.seed = seed
        self.fsync = fsync
        self.up = threading.Event()
        self.ending = threading.Event()
        self.hurry = False
        self._kept = kept
        self._place = place
        self._root = place / 'disk'
        self._server = server
        self._compaction = Random(f'{seed}:compaction').randrange(_PHASES.count('kill') + _PHASES.count('stop') + 1)
        self._phases = list(_PHASES) if struck else []
        self._chance = Random(seed)
        self._chance.shuffle(self._phases)
        self._process: subprocess.Popen[bytes] | None = None
        if base is None:
            base = place / 'base'
            base.mkdir(mode=0o700)
            server.prepare(base / DATA, fresh)
        self.base = base
        shutil.copytree(base, self._root)
        found = (path for path in self._root.rglob('*') if path.is_file())
        self._inodes = {str(path.relative_to(self._root)): path.stat().st_ino for path in found}
        self._recorder = Recorder(place, self._root, library, server.streams)

    def client(self) -> redis.Redis:
        """Return a client that sends nothing twice."""
        return redis.Redis(unix_socket_path=str(self._root / DATA / SOCKET), retry=Retry(NoBackoff(), 0))

    def run(self) -> Recording:
        clients = [Client(self, number, 0.1 if number % CLIENTS == 6 else 0.002) for number in range(CLIENTS)]
        clients.append(Onlooker(self, CLIENTS, 0.005))
        for client in clients:
            client.start()
        try:
            for phase in self._phases:
                self._play(phase, clients)
            self._launch()
            self._answer()
            if self._phases:
                self._write(clients)
            else:
                self._write_much(clients)
            self.ending.set()
            self._recorder.sync_takes(0.0)
            for client in clients:
                client.join(PATIENCE)
            if self.fsync == 'everysec':
                time.sleep(_IDLE)
            self._recorder.mark(IDLE)
            with self.client() as client:
                history = tuple(name.decode() for name in client.lrange('history', 0, -1))
            self._stop()
        finally:
            self.ending.set()
            if self._process is not None and self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        return Recording(
            seed=self.seed,
            fsync=self.fsync,
            server=self._server,
            root=self._root,
            base=self.base,
            inodes=self._inodes,
            kept=self._kept,
            record=self._recorder.path,
            history=history,
        )

    def _play(self, phase: str, clients: Sequence[Client]) -> None:
        if phase == 'kill while starting':
            self._recorder.kill_after(self._chance.randrange(1, 60))
            self._launch()
            # It may be up before; then its clients bring the note about.
            self.up.set()
            self._ended()
            self.up.clear()
            return
        self._launch()
        self._answer()
        self._write(clients)
        if phase == 'kill':
            self._recorder.kill_after(self._chance.randrange(1, 300))
            self._ended()
        else:
            self._stop()
        self.up.clear()

    def _launch(self) -> None:
        self._recorder.mark(STARTED)
        command = self._server.command(self._root / DATA, self.fsync)
        with open(self._place / 'out', 'ab') as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._recorder.environment()
            )

    def _answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(redis.ConnectionError), self.client() as client:
                self._recorder.mark(f'{HOLDS}{client.llen("history")}')
                break
            assert self._process.poll() is None, self._said()
            assert time.monotonic() < deadline, 'the store does not answer'
            time.sleep(0.01)
        self.up.set()

    def _write(self, clients: Sequence[Client]) -> None:
        """Let clients write for a while, the one with much data now and then without a pause."""
        if self._compaction == 0 and self._server.compaction:
            with self.client() as client:
                client.execute_command(self._server.compaction)
        self._compaction -= 1
        self.hurry = self._chance.random() < 0.4
        goal = self._recorder.count() + _PHASE_NOTES
        deadline = time.monotonic() + _PHASE_SECONDS
        while self._recorder.count() < goal and time.monotonic() < deadline:
            self._wait(clients, _SYNC_TIMES)
        self.hurry = False

    def _write_much(self, clients: Sequence[Client]) -> None:
        """Let clients write on a slow disk until LevelDB has turned to other logs."""
        self.hurry = True
        self._recorder.tables_take(_SLOW_TABLE_TIME)
        deadline = time.monotonic() + PATIENCE
        while self._recorder.path.stat().st_size < _LOG_SWITCHES:
            assert time.monotonic() < deadline, 'too little is written'
            self._wait(clients, _SLOW_SYNC_TIMES)
        self.hurry = False
        self._recorder.tables_take(0.0)

    def _wait(self, clients: Sequence[Client], sync_times: Sequence[float]) -> None:
        assert self._process is not None
        self._recorder.sync_takes(self._chance.choice(sync_times))
        time.sleep(0.1)
        assert self._process.poll() is None, self._said()
        faults = [client.fault for client in clients if client.fault]
        assert not faults, faults

    def _stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._ended()
        self._recorder.mark(STOPPED)

    def _ended(self) -> None:
        assert self._process is not None
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'the store does not end: {self._said()}') from None
        assert self._process.returncode in (0, -signal.SIGKILL), self._said()

    def _said(self) -> str:
        return (self._place / 'out').read_text(errors='replace')[-4000:]

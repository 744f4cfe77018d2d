"""Errors of the system while a store works: what was acknowledged stays, clients are told in words, and it goes on.

A store runs under clients. Again and again some of its calls on the data directory fail, from one
of them on: the n-th write, sync, creation, rename or removal. Then everything works again, and the store has to, too.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.power.judge import judge
from tests.power.load import CLIENTS, DATA, send
from tests.power.recorder import Recorder
from tests.power.server import SOCKET, Server
from tests.power.units import History, unit

ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
_NUMBERS = (1, 1, 3, 20, 200)
_SOON = 20.0
"""Seconds within which a store serves again when nothing fails any more; it is asked again and again."""


@dataclass
class Report:
    """What became of the rounds.

    Attributes:
        counts: how each round went: writes were refused for a while or not, the store ended or did not start.
        faults: what should not be.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ('rounds', 'not refused', 'refused', 'ended', 'not started')
        heads = ('lost', 'dead', 'raw')
        faults = Counter(fault.split(':')[0] for fault in self.faults)
        return '\n'.join(
            (
                ''.join(f'{head:>13}' for head in (*kinds, *heads)),
                ''.join(f'{self.counts[kind]:>13}' for kind in kinds)
                + ''.join(f'{faults[head]:>13}' for head in heads),
            )
        )


class _Client(threading.Thread):
    """Sends its units, again where they were refused.

    Attributes:
        last: its last acknowledged unit.
        lost: acknowledged units that the store did not have any more when it was there again.
        refusals: how many were refused.
        fault: an error that is no refusal in words.
    """

    def __init__(self, connect: Callable[[], redis.Redis], seed: int, number: int, ending: threading.Event) -> None:
        super().__init__(daemon=True)
        self.last = 0
        self.lost = 0
        self.refusals = 0
        self.fault = ''
        self._connect = connect
        self._seed = seed
        self._number = number
        self._ending = ending

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                with self._connect() as client:
                    self._work(client)
            except redis.ConnectionError:
                self._ending.wait(0.02)
            except redis.ResponseError as error:
                self._refused(error)

    def _work(self, client: redis.Redis) -> None:
        done = int(client.get(f'count:{self._number}') or 0)
        self.lost += max(self.last - done, 0)
        self.last = min(self.last, done)
        while not self._ending.is_set():
            try:
                send(client, unit(self._seed, self._number, done + 1))
            except redis.ResponseError as error:
                # Nothing of it was done, it says.
                self._refused(error)
                continue
            done += 1
            self.last = done
            self._ending.wait(0.1 if self._number == CLIENTS - 2 else 0.002)

    def _refused(self, error: redis.ResponseError) -> None:
        self.refusals += 1
        if 'MISCONF' not in str(error):  # redis-py may name the command first
            self.fault = f'a client was told: {error}'
        self._ending.wait(0.02)


class Batch:
    """A store that gets some rounds, from its first start to its end.

    Args:
        place: a new directory whose path is short enough for a socket.
        report: where it is told what became of them.
        server: what runs.
        fsync: always or everysec.
    """

    def __init__(
        self, place: Path, seed: int, library: Path, report: Report, server: Server, fsync: str = 'always'
    ) -> None:
        place.mkdir(mode=0o700)
        self._place = place
        self._root = place / 'disk'
        self._root.mkdir(mode=0o700)
        server.prepare(self._root / DATA, fresh=True)
        self._server = server
        self._fsync = fsync
        self._seed = seed
        self._chance = Random(seed)
        self._recorder = Recorder(place, self._root, library, server.streams)
        self._report = report
        self._ending = threading.Event()
        self._clients = [_Client(self._connect, seed, number, self._ending) for number in range(CLIENTS)]
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, rounds: int) -> None:
        try:
            self._start()
            for client in self._clients:
                client.start()
            for number in range(rounds):
                self._report.counts['rounds'] += 1
                if not self._round(at_start=number % 4 == 3):
                    return
            self._ending.set()
            for client in self._clients:
                client.join(_SOON)
            self._judge()
        finally:
            self._ending.set()
            self._end(signal.SIGKILL)
            for client in self._clients:
                if client.fault:
                    self._fault('raw', client.fault)

    def _connect(self) -> redis.Redis:
        path = str(self._root / DATA / SOCKET)
        return redis.Redis(unix_socket_path=path, retry=Retry(NoBackoff(), 0), socket_timeout=_SOON)

    def _fault(self, kind: str, text: str) -> None:
        self._report.faults.append(f'{kind}: seed {self._seed}: {text}')

    def _round(self, at_start: bool) -> bool:
        """Return whether the store serves again."""
        before = [client.refusals for client in self._clients]
        self._recorder.fail_after(
            self._chance.randrange(40 if at_start else 300),
            self._chance.choice(_NUMBERS),
            self._chance.choice(ERRORS),
        )
        if at_start:
            self._end(self._chance.choice((signal.SIGKILL, signal.SIGTERM)))
            self._launch()
        deadline = time.monotonic() + self._chance.uniform(0.5, 1.5)
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            time.sleep(0.02)
        self._recorder.fail_no_more()
        serves = self._serves()
        if self._process.poll() is not None:
            # Perhaps it took its time to end after an error.
            self._report.counts['not started' if at_start else 'ended'] += 1
            self._start()
            serves = self._serves()
        elif [client.refusals for client in self._clients] != before:
            self._report.counts['refused'] += 1
        else:
            self._report.counts['not refused'] += 1
        if not serves:
            self._fault('dead', f'the store does not serve again, though nothing fails any more: {self._said()[-600:]}')
            return False
        if self._server.raw in self._said():
            self._fault('raw', f'the store says: {self._said()[-600:]}')
            return False
        return True

    def _serves(self) -> bool:
        """Wait until every client goes on, or the store has ended."""
        goals = [client.last + 1 for client in self._clients]
        deadline = time.monotonic() + _SOON
        assert self._process is not None
        while any(client.last < goal for client, goal in zip(self._clients, goals, strict=True)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def _launch(self) -> None:
        command = self._server.command(self._root / DATA, self._fsync)
        with open(self._place / 'out', 'ab') as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._recorder.environment()
            )

    def _start(self) -> None:
        self._launch()
        assert self._process is not None
        deadline = time.monotonic() + _SOON
        while self._process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(redis.RedisError), self._connect() as client:
                client.ping()
                return
            time.sleep(0.02)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(_SOON)
            except subprocess.TimeoutExpired:
                self._fault('dead', 'the store does not end')
                self._process.kill()
                self._process.wait()

    def _said(self) -> str:
        return (self._place / 'out').read_text(errors='replace')

    def _judge(self) -> None:
        with self._connect() as client:
            names = [name.decode() for name in client.lrange('history', 0, -1)]
        self._end(signal.SIGKILL)
        for client, number in zip(self._clients, range(CLIENTS), strict=True):
            there = sum(name.startswith(f'{number}:') for name in names)
            if there < client.last:
                self._fault('lost', f'client {number} was told of {client.last} units, {there} are there')
            elif client.lost:
                self._fault('lost', f'client {number} found {client.lost} units missing that it was told of')
        judgement = judge(self._root / DATA, History(self._seed, names), len(names), self._server)
        for kind, text in judgement.faults.items():
            self._fault('lost', f'{kind}: {text}')


def run(
    place: Path, library: Path, rounds: int, seed: int, server: Server, fsync: str = 'always', batch: int = 10
) -> Report:
    """Inject errors into stores while clients use them.

    Args:
        place: an existing directory whose path is short enough for a socket.
        library: the compiled recorder.
        rounds: how often errors are injected.
        seed: decides what is sent, and where errors are injected.
        server: what runs.
        fsync: always or everysec.
        batch: how many rounds one store gets.

    Returns:
        What became of the rounds.
    """
    report = Report()
    for start in range(0, rounds, batch):
        Batch(place / str(start), seed + start, library, report, server, fsync).run(min(batch, rounds - start))
        shutil.rmtree(place / str(start))
    return report

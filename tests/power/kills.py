"""Kill -9 again and again, for real, under clients that find a store there again.

What `Killed` in models.py tells of a rebuilt disk is seen here with the processes that a user has, and how long they
are interrupted.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random
from typing import Protocol

import psutil
import redis

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.power.judge import judge
from tests.power.load import CLIENTS, DATA, PATIENCE, send
from tests.power.server import Server
from tests.power.units import History, unit

_MOST = 100
"""Units at most between the store's return and the next kill."""
_PAUSE = 0.002


class Keeper(Protocol):
    """Who sees to it that there is a store again.

    Attributes:
        server: what is killed.
        data: its data directory.
        connect: gives a client; can be pickled.
    """

    server: Server
    data: Path
    connect: Callable[[], redis.Redis]

    def kill(self) -> None:
        """Kill the store; there will be another one."""

    def stop(self) -> None:
        """Let there be no store any more."""


class Autostarted:
    """Nobody: each client starts a store when there is none.

    Args:
        place: a directory whose path is short enough for a socket.
        fsync: everysec or always.
    """

    def __init__(self, place: Path, fsync: str) -> None:
        self.server = Server()
        self.data = place / DATA
        self.connect: Callable[[], redis.Redis] = partial(Redis.from_url, f'leveldb://{self.data}?fsync={fsync}')

    def kill(self) -> None:
        running = autostart.running_store(DataDirectory(self.data))
        if running is not None:
            process = psutil.Process(running[0].pid)
            os.kill(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)

    def stop(self) -> None:
        autostart.stop(DataDirectory(self.data))


@dataclass
class Told:
    """What one client has seen.

    Attributes:
        client: its number.
        last: its last acknowledged unit.
        lost: acknowledged units that a store did not have when it was there again.
        interruptions: seconds from the last reply before a lost connection to the first one after it.
    """

    client: int
    last: int = 0
    lost: int = 0
    interruptions: list[float] = field(default_factory=list)
    fault: str = ''


@dataclass
class Summary:
    """What became of it.

    Attributes:
        units: how many were acknowledged.
        lost: how many of them a store did not have when it was there again.
        faults: as `judge` tells them, and clients.
    """

    kills: int
    units: int = 0
    lost: int = 0
    interruptions: list[float] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        half, late, longest = self.quantiles()
        faults = '; '.join(f'{kind}: {text}' for kind, text in self.faults.items()) or 'nothing lost, no faults'
        return (
            f'{self.kills} kills, {self.units} units acknowledged: {faults}; {len(self.interruptions)} '
            f'interruptions, p50 {half:.2f} s, p99 {late:.2f} s, longest {longest:.2f} s'
        )

    def add(self, other: Summary) -> None:
        """Count what became of another store as well."""
        self.kills += other.kills
        self.units += other.units
        self.lost += other.lost
        self.interruptions += other.interruptions
        self.faults |= other.faults

    def quantiles(self) -> tuple[float, float, float]:
        """Return the seconds of an interruption: the median, the 99th percentile, the longest."""
        times = sorted(self.interruptions) or [0.0]
        return statistics.median(times), times[min(len(times) - 1, int(len(times) * 0.99))], times[-1]


def _work(connect: Callable[[], redis.Redis], seed: int, number: int, stop: Event, report: SimpleQueue[Told]) -> None:
    told = Told(number)
    try:
        with connect() as client:
            last_reply = time.monotonic()
            broken = False
            done = 0
            while not stop.is_set():
                try:
                    if broken or not done:
                        # Whether the unit that got no answer was done is not known yet.
                        done = int(client.get(f'count:{number}') or 0)
                        told.lost += max(told.last - done, 0)
                        told.last = done
                    send(client, unit(seed, number, done + 1))
                except redis.ConnectionError:
                    broken = True
                    time.sleep(_PAUSE)
                    continue
                done += 1
                told.last = done
                now = time.monotonic()
                if broken:
                    told.interruptions.append(now - last_reply)
                last_reply, broken = now, False
    except Exception as error:
        told.fault = f'{type(error).__name__}: {error}'
    report.put(told)


def run(keeper: Keeper, kills: int, seed: int) -> Summary:
    """Kill a store again and again while clients use it.

    Args:
        keeper: starts the next one.
        kills: how often the store is killed.
        seed: decides what is sent and when the store is killed.

    Returns:
        What became of it.
    """
    chance = Random(seed)
    context = multiprocessing.get_context('spawn')
    stop = context.Event()
    report: SimpleQueue[Told] = context.SimpleQueue()
    clients = [
        context.Process(target=_work, args=(keeper.connect, seed, number, stop, report)) for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    summary = Summary(kills)
    with keeper.connect() as own:
        for _ in range(kills):
            _await_units(own, chance.randrange(1, _MOST))
            keeper.kill()
        _await_units(own, 1)
        stop.set()
        tolds = [report.get() for _ in clients]
        for client in clients:
            client.join(PATIENCE)
        names = [name.decode() for name in own.lrange('history', 0, -1)]
    keeper.stop()
    history = History(seed, names)
    summary.units = sum(told.last for told in tolds)
    summary.lost = sum(told.lost for told in tolds)
    summary.interruptions = [one for told in tolds for one in told.interruptions]
    summary.faults = judge(keeper.data, history, len(names), keeper.server).faults
    for told in tolds:
        there = sum(name.startswith(f'{told.client}:') for name in names)
        if told.fault:
            summary.faults[f'client {told.client}'] = told.fault
        if there < told.last or told.lost:
            summary.faults['lost'] = (
                f'client {told.client} was told of {told.last} units, {there} are there; {told.lost} were done anew'
            )
    return summary


def _await_units(client: redis.Redis, count: int) -> None:
    """Wait until so many units more were done."""
    deadline = time.monotonic() + PATIENCE
    goal = 0
    while time.monotonic() < deadline:
        try:
            now = int(client.get('order') or 0)
        except redis.ConnectionError:
            continue
        goal = goal or now + count
        if now >= goal:
            return
    raise AssertionError('the clients do not go on')

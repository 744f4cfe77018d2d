"""Kill -9 again and again, for real, under clients that start the store anew by themselves.

What `Killed` in models.py tells of a rebuilt disk is seen here with the processes that a user has, and how long they
are interrupted.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import statistics
import time
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path
from random import Random

import psutil
import redis

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from tests.power.judge import judge
from tests.power.load import CLIENTS, DATA, PATIENCE, send
from tests.power.units import History, unit

_MOST = 100
"""Units at most between the store's return and the next kill."""


@dataclass
class Told:
    """What one client has seen.

    :ivar client: its number
    :ivar last: its last acknowledged unit
    :ivar interruptions: seconds from the last reply before a lost connection to the first one after it
    """

    client: int
    last: int = 0
    interruptions: list[float] = field(default_factory=list)
    fault: str = ''


@dataclass
class Summary:
    """What became of it.

    :ivar units: how many were acknowledged
    :ivar faults: as `judge` tells them, and clients
    """

    kills: int
    units: int = 0
    interruptions: list[float] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        times = sorted(self.interruptions) or [0.0]
        late = times[min(len(times) - 1, int(len(times) * 0.99))]
        faults = '; '.join(f'{kind}: {text}' for kind, text in self.faults.items()) or 'nothing lost, no faults'
        return (
            f'{self.kills} kills, {self.units} units acknowledged: {faults}; {len(times)} interruptions, '
            f'p50 {statistics.median(times):.2f} s, p99 {late:.2f} s, longest {times[-1]:.2f} s'
        )


def _work(url: str, seed: int, number: int, stop: Event, report: SimpleQueue[Told]) -> None:
    told = Told(number)
    try:
        with Redis.from_url(url) as client:
            last_reply = time.monotonic()
            broken = False
            done = 0
            while not stop.is_set():
                try:
                    if broken or not done:
                        # Whether the unit that got no answer was done is not known yet.
                        done = int(client.get(f'count:{number}') or 0)
                    send(client, unit(seed, number, done + 1))
                except redis.ConnectionError:
                    broken = True
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


def run(place: Path, kills: int, fsync: str, seed: int) -> Summary:
    """
    :param place: a directory whose path is short enough for a socket
    :param kills: how often the store is killed
    :returns: what became of it
    """
    directory = DataDirectory(place / DATA)
    url = f'leveldb://{directory.path}?fsync={fsync}'
    chance = Random(seed)
    context = multiprocessing.get_context('spawn')
    stop = context.Event()
    report: SimpleQueue[Told] = context.SimpleQueue()
    clients = [context.Process(target=_work, args=(url, seed, number, stop, report)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    summary = Summary(kills)
    with Redis.from_url(url) as own:
        for _ in range(kills):
            _await_units(own, chance.randrange(1, _MOST))
            _kill(directory)
        _await_units(own, 1)
        stop.set()
        tolds = [report.get() for _ in clients]
        for client in clients:
            client.join(PATIENCE)
        names = [name.decode() for name in own.lrange('history', 0, -1)]
    autostart.stop(directory)
    history = History(seed, names)
    summary.units = sum(told.last for told in tolds)
    summary.interruptions = [one for told in tolds for one in told.interruptions]
    summary.faults = judge(directory.path, history, len(names))
    for told in tolds:
        there = sum(name.startswith(f'{told.client}:') for name in names)
        if told.fault:
            summary.faults[f'client {told.client}'] = told.fault
        if there < told.last:
            summary.faults['lost'] = f'client {told.client} was told of {told.last} units, {there} are there'
    return summary


def _await_units(client: Redis, count: int) -> None:
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


def _kill(directory: DataDirectory) -> None:
    running = autostart.running_store(directory)
    if running is not None:
        process = psutil.Process(running[0].pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)

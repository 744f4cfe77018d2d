"""The first job of a process: what a command-line program or a web server's new process waits for."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from benchmarks.bench import Bench, Scenario
from benchmarks.peers import Peer
from benchmarks.report import OURS, TCP, UNIX, Goal, Row

COLUMNS = [OURS, TCP, UNIX]
_RQ = 'import sys; from redis import Redis; from rq import Queue; '
_OURS = 'import sys; from rq_leveldb import Queue, Redis; '
_ENQUEUE = 'Queue("first", connection=Redis.from_url(sys.argv[1])).enqueue("builtins.print")'


@dataclass(frozen=True)
class First:
    """Each process is new; the server runs already, and knows the queue."""

    name: str = 'first'
    about: str = "from a process's start to the end of its first enqueue"

    def run(self, bench: Bench) -> list[Row]:
        times = bench.size(20, 2)

        def measure(column: str) -> tuple[float, float]:
            with bench.peer(column) as peer:
                # The files of the libraries are in memory from the second one on.
                _process(peer)
                found = [_process(peer) for _ in range(times)]
            return statistics.median(wall for wall, _ in found), statistics.median(cpu for _, cpu in found)

        values = bench.alternate(self.about, COLUMNS, measure)
        wall = {column: [seconds for seconds, _ in found] for column, found in values.items()}
        cpu = {column: [seconds for _, seconds in found] for column, found in values.items()}
        goals = (Goal(at_most=1.1, against=TCP),)
        return [
            Row(self.about, 'ms', wall, False, goals, not bench.quick),
            Row('  processor time of the process', 'ms', cpu, more_is_better=False),
        ]


def _process(peer: Peer) -> tuple[float, float]:
    """Return how long a process that enqueues one job takes, and what processor time, milliseconds."""
    program = (_OURS if peer.url.startswith('leveldb:') else _RQ) + _ENQUEUE
    before, began = _processor_time(), time.perf_counter()
    # What pip installs has its bytecode, and a checkout gets it here.
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
    subprocess.run([sys.executable, '-c', program, peer.url], check=True, env=environment)
    return 1e3 * (time.perf_counter() - began), 1e3 * (_processor_time() - before)


def _processor_time() -> float:
    """Return what the ended children of this process took so far, seconds. `os.times` counts hundredths."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


SCENARIOS: list[Scenario] = [First()]

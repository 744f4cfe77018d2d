"""Working: RQ's own SimpleWorker, which runs jobs in its own process, so that the queue's cost shows."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bench import Bench, Rate, Scenario, rate_rows
from benchmarks.report import HUEY, OURS, TCP, UNIX, Goal, Row


@dataclass(frozen=True)
class Burst:
    name: str = 'burst'
    about: str = 'SimpleWorker in burst mode'

    def run(self, bench: Bench) -> list[Row]:
        count = bench.size(2_000, 300)

        def measure(column: str) -> Rate:
            with bench.peer(column) as peer:
                return bench.rate(peer, 'work', count=count)

        values = bench.alternate(self.about, [OURS, TCP, UNIX, HUEY], measure)
        note = "Huey: dequeue and execute in one process; it keeps no registries, states or results of a job's life"
        return rate_rows(self.about, values, (Goal(at_least=1.0, against=TCP),), note)


SCENARIOS: list[Scenario] = [Burst()]

"""Dequeueing jobs one by one while many others wait behind them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bench import Bench, Rate, Scenario, rate_rows
from benchmarks.report import OURS, TCP, UNIX, Goal, Row


@dataclass(frozen=True)
class Deep:
    """A client that calls `Queue.dequeue_any()` in a loop; the queue is filled anew for each run."""

    name: str = 'dequeue'
    about: str = 'dequeue one by one, 100,000 jobs wait'

    def run(self, bench: Bench) -> list[Row]:
        depth, count = bench.size(100_000, 5_000), bench.size(5_000, 500)

        def measure(column: str) -> Rate:
            with bench.peer(column) as peer:
                bench.clients(peer, 'enqueue_many', count=depth, batch=1_000, name='deep')
                bench.settle(peer)
                return bench.rate(peer, 'dequeue', count=count, name='deep')

        values = bench.alternate(self.about, [OURS, TCP, UNIX], measure)
        return rate_rows(self.about, values, (Goal(at_least=1.0, against=UNIX),), 'Huey keeps no such queue')


SCENARIOS: list[Scenario] = [Deep()]

"""Enqueueing: one by one, in batches, by several processes at once."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.bench import Bench, Rate, Scenario, rate_rows
from benchmarks.report import HUEY, OURS, TCP, UNIX, Goal, Row

_AS_FAST = (Goal(at_least=1.0, against=UNIX),)


@dataclass(frozen=True)
class OneByOne:
    """Clients that call `queue.enqueue()` in a loop.

    Args:
        with_our_queue: whether our place's clients use this package's Queue; all others use RQ's.
    """

    name: str
    about: str
    always: bool
    clients: int
    full: int
    goals: tuple[Goal, ...]
    with_our_queue: bool = False

    def run(self, bench: Bench) -> list[Row]:
        count = bench.size(self.full, self.full // 10)

        def measure(column: str) -> Rate:
            with bench.peer(column, self.always) as peer:
                task = 'enqueue_ours' if self.with_our_queue and column == OURS else 'enqueue'
                return bench.rate(peer, task, self.clients, count=count)

        values = bench.alternate(self.about, [OURS, TCP, UNIX, HUEY], measure)
        return rate_rows(self.about, values, self.goals)


@dataclass(frozen=True)
class Batches:
    """`queue.enqueue_many()` with a thousand jobs at a time."""

    name: str = 'many'
    about: str = 'enqueue_many, batches of 1000'

    def run(self, bench: Bench) -> list[Row]:
        count = bench.size(20_000, 2_000)

        def measure(column: str) -> Rate:
            with bench.peer(column) as peer:
                return bench.rate(peer, 'enqueue_many', count=count, batch=1000)

        values = bench.alternate(self.about, [OURS, TCP, UNIX], measure)
        note = 'Huey has no such call'
        return rate_rows(self.about, values, _AS_FAST, note)


SCENARIOS: list[Scenario] = [
    OneByOne('one', 'enqueue one by one, everysec', False, 1, 5_000, (Goal(at_least=1.2, against=TCP),)),
    OneByOne('one-queue', 'enqueue one by one, our Queue', False, 1, 5_000, (Goal(at_least=1.2, against=UNIX),), True),
    OneByOne('one-always', 'enqueue one by one, fsync always', True, 1, 2_000, ()),
    OneByOne('eight-always', 'enqueue, 8 clients, fsync always', True, 8, 1_000, _AS_FAST),
    OneByOne('eight-always-queue', 'enqueue, 8 clients, fsync always, our Queue', True, 8, 1_000, _AS_FAST, True),
    OneByOne('eight', 'enqueue, 8 clients, everysec', False, 8, 1_000, _AS_FAST),
    OneByOne('eight-queue', 'enqueue, 8 clients, everysec, our Queue', False, 8, 1_000, _AS_FAST, True),
    Batches(),
]

"""A million jobs: what the server's memory, speed, cancel and start are like when the queue is deep."""

from __future__ import annotations

import signal
import statistics
from dataclasses import dataclass

from benchmarks.bench import Bench, Scenario
from benchmarks.memory import memory
from benchmarks.report import OURS, TCP, Goal, Row

COLUMNS = [OURS, TCP]


@dataclass(frozen=True)
class Million:
    """One deep queue per peer, filled once, since that takes minutes; everything else is measured on it."""

    name: str = 'million'
    about: str = 'a million queued jobs: memory, speed at depth, cancel, reopening'

    def run(self, bench: Bench) -> list[Row]:
        jobs = bench.size(1_000_000, 20_000)
        values: dict[str, dict[str, list[float]]] = {}

        def note(what: str, column: str, found: list[float]) -> None:
            values.setdefault(what, {})[column] = found

        for column in filter(bench.wants, COLUMNS):
            with bench.peer(column) as deep, bench.peer(column) as shallow:
                assert deep.pid is not None
                bench.clients(shallow, 'enqueue_many', count=1_000, batch=1_000, name='deep')
                bench.clients(deep, 'enqueue_many', count=1_000, batch=1_000, name='deep')
                before = memory(deep.pid)
                share = jobs // 2
                words = f'{jobs:,} jobs: {column}'
                rate = bench.rate(deep, 'enqueue_many', 2, progress=words, count=share, batch=1_000, name='deep')
                note('fill', column, [rate.jobs])
                after = memory(deep.pid)
                note('memory', column, [after.own - before.own])
                note('mapped', column, [after.mapped - before.mapped])
                bench.settle(deep)
                size = sum(file.stat().st_size for file in deep.directory.rglob('*') if file.is_file())
                note('disk', column, [size / 1e6])
                with_depth = bench.clients(
                    deep, 'depth', shallow=shallow.url, count=bench.size(500, 50), rounds=2 * bench.runs
                )[0]
                note('enqueue', column, with_depth['enqueue'])
                note('dequeue', column, with_depth['dequeue'])
                canceled = bench.clients(deep, 'cancel', count=bench.size(50, 10))[0]
                for what in ('call', 'transaction', 'server'):
                    if what in canceled:
                        note(what, column, canceled[what])
                note('memory, all', column, [memory(deep.pid).own - before.own])
                seconds: dict[signal.Signals, list[float]] = {signal.SIGTERM: [], signal.SIGKILL: []}
                for _ in range(bench.runs):
                    for how, found in seconds.items():
                        deep.stop(how)
                        found.append(deep.start())
                note('reopen', column, seconds[signal.SIGTERM])
                note('reopen, killed', column, seconds[signal.SIGKILL])

        judged = not bench.quick
        depth = (Goal(at_least=90),)
        name = f'{jobs:,} jobs'
        rows = [
            Row(f'filling with {name}, 2 clients', 'jobs/s', values['fill']),
            Row(f'memory grown by {name}', 'MB', values['memory'], False, (Goal(at_most=64),), judged),
            Row('  files that the kernel keeps mapped for it, in addition', 'MB', values['mapped'], False),
            Row('the same after dequeues and cancels', 'MB', values['memory, all'], False, (Goal(at_most=64),), judged),
            Row(f'disk used by {name}', 'MB', values['disk'], False),
            Row(f'enqueue at {name}, of the speed at 1,000', '%', values['enqueue'], True, depth, judged),
            Row(f'dequeue at {name}, of the speed at 1,000', '%', values['dequeue'], True, depth, judged),
            Row('cancel in the middle, whole job.cancel()', 'ms', values['call'], False),
            Row(
                'cancel in the middle, its transaction seen by the client',
                'ms',
                values['transaction'],
                False,
                () if 'server' in values and OURS in values['server'] else (Goal(at_most=1),),
                judged,
            ),
            Row(
                'cancel in the middle, in the server', 'ms', values.get('server', {}), False, (Goal(at_most=1),), judged
            ),
            Row(f'reopening {name}', 's', values['reopen'], False, (Goal(at_most=1),), judged),
            Row(f'reopening {name} after kill -9', 's', values['reopen, killed'], False, (Goal(at_most=1),), judged),
        ]
        return [row for row in rows if any(row.values.values())]


@dataclass(frozen=True)
class Start:
    name: str = 'start'
    about: str = 'from nothing to the first answer'

    def run(self, bench: Bench) -> list[Row]:
        def measure(column: str) -> float:
            with bench.peer(column) as peer:
                peer.stop(signal.SIGTERM)
                return min(statistics.fmean([peer.start()]), 60.0)

        values = bench.alternate(self.about, COLUMNS, measure)
        return [Row(self.about, 's', values, False, (Goal(at_most=0.4),))]


SCENARIOS: list[Scenario] = [Start(), Million()]

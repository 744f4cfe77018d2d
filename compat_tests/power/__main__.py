"""python -m compat_tests.power: the store and Redis tried in the same ways in one run, and what was found as tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

from compat_tests.power.redis_server import RedisServer, Restarted
from compat_tests.real_redis import NoRedisError
from rq_leveldb.location import FSYNC_POLICIES
from rq_leveldb.version import __version__
from tests.power import campaign, injected, kills
from tests.power.judge import FAULTS
from tests.power.load import Load, Recording
from tests.power.models import MODELS
from tests.power.recorder import compiled, missing
from tests.power.server import Server

_CUTS_A_LOAD = 25
_FRESH_EVERY, _FRESH = 4, 2
_MOST_SPOILT = 20
_TIMES = ('interrupted: p50', 'p99', 'longest')
Row = tuple[object, ...]


class _Series:
    """Loads of one server with one setting, whose power is cut: every second one goes on where the last was cut.

    Args:
        place: a path at which there is nothing.
        name: what the server is called.
        say: told each fault in a line.

    Attributes:
        loads: how many there were.
        spoilt: how many were given up, or ended with a fault although their power was never cut: a cut would show it
            again at each point, so other loads were cut in their stead.
    """

    def __init__(
        self, place: Path, name: str, server: Server, fsync: str, seed: int, library: Path, say: Callable[[str], None]
    ) -> None:
        place.mkdir()
        self.name = name
        self.table = campaign.Table()
        self._place = place
        self._server = server
        self._fsync = fsync
        self._seed = seed
        self._library = library
        self._say = say
        self._chance = Random(f'{seed}:{fsync}')
        self._recording: Recording | None = None
        self._number = 0
        self.loads = self.spoilt = 0

    def cut(self, cuts: int) -> None:
        """Cut the power of one more load so often for each model."""
        while (recording := self._load()) is None:
            pass
        before = len(self.table.examples)
        campaign.run(recording, cuts, table=self.table)
        for example in self.table.examples[before:]:
            self._say(f'{self.name}, load {self._number}: {example}')
        self._recording = recording

    def _load(self) -> Recording | None:
        base, kept, last = None, 0, self._recording
        if last is not None and self._number % 2:
            base = self._place / f'base {self._number}'
            kept = campaign.leave(last, self._chance.choice(list(MODELS)), self._chance, base)
        load = Load(
            self._place / str(self._number),
            last.seed if kept and last is not None else self._seed + self._number,
            self._fsync,
            self._server,
            base if kept else None,
            kept,
            fresh=self._number % _FRESH_EVERY == _FRESH,
            library=self._library,
        )
        self._number += 1
        self.loads += 1
        try:
            recording = load.run()
            faults = campaign.ended(recording).faults
        except AssertionError as error:
            faults = {'given up': str(error)}
        if not faults:
            return recording
        for kind, text in faults.items():
            self._say(f'{self.name} {self._fsync}: load {self._number} ended so: {kind}: {text}')
        self.spoilt += 1
        if self.spoilt == _MOST_SPOILT:
            raise RuntimeError(f'{self.spoilt} loads of {self.name} ended with faults')
        return None


class Comparison:
    """Both servers, and what became of each.

    Args:
        place: an existing directory whose path is short enough for a socket.
        seed: decides about loads and cuts; both get the same.
        say: told each fault in a line, and how far it is.
    """

    def __init__(self, place: Path, seed: int, say: Callable[[str], None]) -> None:
        redis = RedisServer()
        self.servers: dict[str, Server] = {'rq-leveldb': Server(), 'redis': redis}
        self.versions = f'rq-leveldb {__version__}, Redis {redis.version}'
        self._place = place
        self._seed = seed
        self._say = say
        self._library = compiled(place)

    def cut(self, cuts: int, minutes: float) -> list[Row]:
        """Cut the power; return a row for each server, setting and model.

        Args:
            cuts: for each server and setting, over all models.
            minutes: no load begins later than this; each server and setting has had as many loads as the others.
        """
        end = time.monotonic() + 60 * minutes
        series = [
            _Series(self._place / f'{name} {fsync}', name, server, fsync, self._seed, self._library, self._say)
            for name, server in self.servers.items()
            for fsync in FSYNC_POLICIES
        ]
        left = max(cuts // len(MODELS), 1)
        while left > 0 and time.monotonic() < end:
            for one in series:
                one.cut(min(left, _CUTS_A_LOAD))
            left -= _CUTS_A_LOAD
            self._say(aligned(_cut_rows(series)))
        return _cut_rows(series)

    def kill(self, times: int) -> list[Row]:
        """Kill -9; return a row for each server and setting."""
        rows: list[Row] = [('server', 'fsync', 'kills', 'acknowledged', 'lost', 'faults', *_TIMES)]
        for name in self.servers:
            for fsync in FSYNC_POLICIES:
                with tempfile.TemporaryDirectory(prefix='k-', dir=self._place) as place:
                    keeper = (kills.Autostarted if name == 'rq-leveldb' else Restarted)(Path(place), fsync)
                    summary = kills.run(keeper, times, self._seed)
                for kind, text in summary.faults.items():
                    self._say(f'{name} {fsync}: {kind}: {text}')
                times_away = [f'{seconds:.2f} s' for seconds in summary.quantiles()]
                faults = len(summary.faults.keys() - {'lost'})
                rows.append((name, fsync, times, summary.units, summary.lost, faults, *times_away))
        return rows

    def fail(self, rounds: int) -> list[Row]:
        """Let calls of the system fail; return a row for each server and setting."""
        kinds = ('rounds', 'not refused', 'refused', 'ended', 'not started')
        heads = ('lost', 'dead', 'raw')
        rows: list[Row] = [('server', 'fsync', *kinds, *heads)]
        for name, server in self.servers.items():
            for fsync in FSYNC_POLICIES:
                with tempfile.TemporaryDirectory(prefix='e-', dir=self._place) as place:
                    report = injected.run(Path(place), self._library, rounds, self._seed, server, fsync)
                for fault in report.faults:
                    self._say(f'{name} {fsync}: {fault}')
                faults = Counter(fault.split(':')[0] for fault in report.faults)
                rows.append((name, fsync, *(report.counts[kind] for kind in kinds), *(faults[head] for head in heads)))
        return rows


def _cut_rows(series: Iterable[_Series]) -> list[Row]:
    rows: list[Row] = [('server', 'fsync', 'model', 'loads', 'spoilt', 'cuts', *FAULTS, 'mended', 'oldest')]
    for one in series:
        for (fsync, model), row in sorted(one.table.rows.items()):
            counts = [row[kind] for kind in ('cuts', *FAULTS, 'mended')]
            age = f'{one.table.ages[fsync, model]:.2f} s'
            rows.append((one.name, fsync, model, one.loads, one.spoilt, *counts, age))
    return rows


def aligned(rows: Iterable[Row]) -> str:
    """Return rows as lines whose columns stand below each other."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    return '\n'.join(
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in texts
    )


def main() -> int:
    """Run what the arguments say; return the exit status."""
    options = _parser().parse_args()
    if missing():
        print(f'python -m compat_tests.power: {missing()}', file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else int(time.time())
    tables = []
    with tempfile.TemporaryDirectory(prefix='beside-') as place:
        try:
            comparison = Comparison(Path(place), seed, lambda text: print(text, flush=True))
        except NoRedisError as error:
            print(f'python -m compat_tests.power: {error}', file=sys.stderr)
            return 2
        if options.kills:
            tables.append(comparison.kill(options.kills))
        if options.errors:
            tables.append(comparison.fail(options.errors))
        if options.cuts:
            tables.append(comparison.cut(options.cuts, options.minutes))
    print(f'{comparison.versions}, seed {seed}')
    for table in tables:
        print(f'\n{aligned(table)}')
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m compat_tests.power',
        description='Tries the store and a real Redis with an append only file in the same ways: loads whose power is '
        'cut, kill -9, and calls of the system that fail. The last lines are tables of what was found.',
        epilog='Exit codes: 0 it was run, 2 it cannot run here.',
    )
    parser.add_argument('--cuts', type=int, default=0, help='for each server and setting of fsync, over all models')
    parser.add_argument('--kills', type=int, default=0, help='for each server and setting')
    parser.add_argument('--errors', type=int, default=0, help='rounds for each server and setting')
    parser.add_argument('--minutes', type=float, default=24 * 60, help='begin no more loads to cut after so long')
    parser.add_argument('--seed', type=int, help='decides about loads and cuts; a new one each time')
    return parser


if __name__ == '__main__':
    sys.exit(main())

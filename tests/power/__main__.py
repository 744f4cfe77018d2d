"""python -m tests.power: any number of cuts, with any number of loads, and a table of what was found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from rq_leveldb.location import FSYNC_POLICIES
from tests.power import campaign, damage, injected, kills
from tests.power.faulty import BUGS
from tests.power.load import Load, Recording
from tests.power.models import MODELS
from tests.power.recorder import compiled, missing
from tests.power.server import Server

_CUTS_A_LOAD = 250
_SHOWN = 20
_KILLS_OF_ONE_STORE = 25


def main() -> int:
    options = _parser().parse_args()
    if missing():
        print(f'python -m tests.power: {missing()}', file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else int(time.time())
    settings = options.fsync or FSYNC_POLICIES
    if options.kills:
        return _kill(options.kills, settings, seed)
    if options.damages:
        return _damage(options.damages, seed)
    if options.errors:
        return _inject(options.errors, seed)
    models = options.model or list(MODELS)
    print(f'seed {seed}, {options.cuts} cuts for each setting of fsync: {", ".join(models)}', flush=True)
    table = campaign.Table()
    with tempfile.TemporaryDirectory(prefix='power-') as place:
        for fsync in settings:
            _cut(Path(place) / fsync, fsync, options.cuts, models, seed, options.bug, table)
    _show(table.examples)
    print(table)
    return 1 if table.found() else 0


def _show(examples: Sequence[str]) -> None:
    for example in examples[:_SHOWN]:
        print(example)
    if len(examples) > _SHOWN:
        print(f'and {len(examples) - _SHOWN} more')


def _damage(rounds: int, seed: int) -> int:
    print(f'seed {seed}, {rounds} damages', flush=True)
    report = damage.run(rounds, seed)
    _show(report.examples)
    print(report)
    return 1 if report.found() else 0


def _inject(rounds: int, seed: int) -> int:
    print(f'seed {seed}, {rounds} rounds of errors', flush=True)
    with tempfile.TemporaryDirectory(prefix='errors-') as place:
        report = injected.run(Path(place), compiled(Path(place)), rounds, seed, Server())
    _show(report.faults)
    print(report)
    return 1 if report.faults else 0


def _kill(times: int, settings: Sequence[str], seed: int) -> int:
    faults = 0
    for fsync in settings:
        summary = kills.Summary(0)
        while summary.kills < times:
            # All that was sent is judged in memory, so no store is killed more often.
            once = min(times - summary.kills, _KILLS_OF_ONE_STORE)
            with tempfile.TemporaryDirectory(prefix='kills-') as place:
                summary.add(kills.run(kills.Autostarted(Path(place), fsync), once, seed + summary.kills))
            print(f'{fsync}: {times - summary.kills} kills to go, {len(summary.faults) or "no"} faults', flush=True)
        print(f'{fsync}, seed {seed}: {summary}', flush=True)
        faults += len(summary.faults)
    return 1 if faults else 0


def _cut(
    place: Path, fsync: str, cuts: int, models: list[str], seed: int, bug: str | None, table: campaign.Table
) -> None:
    place.mkdir()
    library = compiled(place)
    server = Server((sys.executable, '-m', 'tests.power.faulty', bug)) if bug else Server()
    chance = Random(f'{seed}:{fsync}')
    left = max(cuts // len(models), 1)
    recording: Recording | None = None
    number = 0
    while left:
        # Every second load goes on where the one before it lost its power.
        base, kept = None, 0
        if recording is not None and number % 2:
            base = place / f'base {number}'
            kept = campaign.leave(recording, chance.choice(models), chance, base)
        recording = Load(
            place / str(number),
            recording.seed if kept and recording is not None else seed + number,
            fsync,
            server,
            base if kept else None,
            kept,
            fresh=number % 4 == 2,
            struck=not bug,
            library=library,
        ).run()
        share = min(left, _CUTS_A_LOAD)
        campaign.run(recording, share, models, table)
        left -= share
        number += 1
        faults = f'{table.found()} faults so far' if table.found() else 'no faults'
        print(f'{fsync}: {len(models) * left} cuts to go, {faults}', flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m tests.power',
        description='Lets stores work under load, notes what they write and what they tell their clients, cuts the '
        'power at many points, and judges what is left. The last lines are a table of what was found.',
        epilog='Exit codes: 0 nothing was found, 1 something was, 2 it cannot run here.',
    )
    parser.add_argument('--cuts', type=int, default=10_000, help='for each setting of fsync, over all models (10000)')
    parser.add_argument(
        '--kills', type=int, metavar='N', help='instead: kill -9 a store so often under 8 clients, and nothing else'
    )
    parser.add_argument('--damages', type=int, metavar='N', help='instead: damage a closed store in so many ways')
    parser.add_argument('--errors', type=int, metavar='N', help='instead: let calls of a store fail in so many rounds')
    parser.add_argument('--fsync', action='append', choices=FSYNC_POLICIES, help='only this setting')
    parser.add_argument('--model', action='append', choices=MODELS, help='only this model of a disk; may be repeated')
    parser.add_argument('--seed', type=int, help='decides about loads and cuts; a new one each time')
    parser.add_argument('--bug', choices=BUGS, help='with a store that has this bug')
    return parser


if __name__ == '__main__':
    sys.exit(main())

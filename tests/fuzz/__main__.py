"""python -m tests.fuzz: a million inputs, and a table of what became of them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import commands, parser, payloads, records
from tests.fuzz.target import HEAD, Report

# A record costs a hundred times what a command does: it is read by every command that may read it.
SHARES = {'resp': 0.45, 'commands': 0.45, 'payloads': 0.09, 'records': 0.01}
_SHOWN = 20


def main() -> int:
    options = _parser().parse_args()
    seed = options.seed if options.seed is not None else int(time.time())
    targets = options.target or list(SHARES)
    total = sum(SHARES[name] for name in targets)
    print(f'seed {seed}, {options.inputs:,} inputs: {", ".join(targets)}', flush=True)
    reports = []
    with tempfile.TemporaryDirectory(prefix='fuzz-') as place:
        for name in targets:
            inputs = max(1, round(options.inputs * SHARES[name] / total))
            reports.append(run(name, inputs, seed, Path(place), _bar(name, inputs)))
    for report in reports:
        for finding in report.findings[:_SHOWN]:
            print(f'{report.name}, {finding}')
    print(HEAD)
    for report in reports:
        print(report.row())
    return 1 if any(report.findings for report in reports) else 0


def run(name: str, inputs: int, seed: int, place: Path, progress: Callable[[int], None]) -> Report:
    """Fuzz one target.

    Args:
        name: one of `SHARES`.
        inputs: how many.
        seed: decides about them.
        place: a directory for a store, with a short path.
        progress: gets how many were tried.
    """
    if name == 'resp':
        return parser.run(inputs, seed, progress)
    if name == 'commands':
        return commands.run(place / name, inputs, seed, progress)
    if name == 'payloads':
        return payloads.run(place / name, inputs, seed, progress)
    return records.run(place / name, inputs, seed, progress)


def _bar(name: str, inputs: int) -> Callable[[int], None]:
    if not sys.stdout.isatty():
        return lambda done: None

    def show(done: int) -> None:
        filled = 40 * done // inputs
        print(f'\r{name:<10} [{"#" * filled:<40}] {done:,} of {inputs:,}', end='', flush=True)
        if done >= inputs:
            print()

    return show


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m tests.fuzz',
        description='Feeds nonsense to the parser of the protocol, to every command, to RESTORE, and to what reads '
        'records. Wanted is a value or an error in words, in bounded time. The last lines are a table.',
        epilog='Exit codes: 0 nothing was found, 1 something was, 2 wrong arguments. The same seed and number '
        'of inputs make the same inputs.',
    )
    parser.add_argument('--inputs', type=int, default=1_000_000, help='over all targets (1000000)')
    parser.add_argument('--target', action='append', choices=SHARES, help='only this one; may be repeated')
    parser.add_argument('--seed', type=int, help='decides about the inputs; a new one each time')
    return parser


if __name__ == '__main__':
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
    sys.exit(2)

"""python -m tests.soak: an hour of work and kills, what was seen each second, and a table of what came of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.soak.samples import Sample
from tests.soak.soak import Soak

_SHOWN = 20


def main() -> int:
    options = _parser().parse_args()
    if sys.platform != 'linux':
        print('python -m tests.soak: it reads /proc, so it needs Linux', file=sys.stderr)
        return 2
    seed = options.seed if options.seed is not None else int(time.time())
    print(f'seed {seed}, {options.minutes:g} minutes, samples go to {options.out}', flush=True)
    terminal = sys.stdout.isatty()

    def say(line: str) -> None:
        print(f'\r{line:<79}' if terminal else line, end='' if terminal else '\n', flush=True)

    try:
        with open(options.out, 'w') as out, tempfile.TemporaryDirectory(prefix='soak-') as place:

            def keep(sample: Sample) -> None:
                out.write(sample.line() + '\n')
                out.flush()

            soak = Soak(
                Path(place),
                options.minutes * 60,
                seed,
                ttl=options.ttl,
                clients=options.clients,
                children=options.max_children,
                jobs_per_child=options.jobs_per_child,
                say=say,
                keep=keep,
            )
            summary = soak.run()
    except OSError as error:
        print(f'python -m tests.soak: {error.strerror}: {error.filename}', file=sys.stderr)
        return 2
    if terminal:
        print()
    for fault in summary.faults[:_SHOWN]:
        print(fault)
    print(summary)
    return 1 if summary.faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m tests.soak',
        description='Lets a worker run jobs that finish, fail, are retried, scheduled and killed, kills its processes '
        'in the first third, and looks each second at memory, descriptors, disk and latency. When all jobs '
        'have expired it judges: none is lost, nothing has grown, the space on the disk is back. The last '
        'lines are a table.',
        epilog='Exit codes: 0 nothing was found, 1 something was, 2 it cannot run here. '
        'python -m tests.soak.plot draws the samples.',
    )
    parser.add_argument('--minutes', type=float, default=60.0, help='for how long jobs are enqueued (60)')
    parser.add_argument('--out', type=Path, default=Path('soak.jsonl'), help='where samples go (soak.jsonl)')
    parser.add_argument('--seed', type=int, help='decides about kills; a new one each time')
    parser.add_argument('--ttl', type=int, default=30, help='seconds for which ended jobs are kept (30)')
    parser.add_argument('--clients', type=int, default=2, help='processes that enqueue (2)')
    parser.add_argument('--max-children', type=int, help='jobs at once (as the worker decides)')
    parser.add_argument('--jobs-per-child', type=int, default=1, help='jobs that a process may run (1)')
    return parser


if __name__ == '__main__':
    sys.exit(main())

"""Enqueues jobs, runs them with a worker and prints their results. No server has to be installed or started.

python examples/quickstart.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import tasks
from rq import Queue

from rq_leveldb import Redis


def main() -> int:
    """Run the example and return its exit code: 0 if every job finished."""
    started = time.perf_counter()
    queue = Queue('quickstart', connection=Redis())
    jobs = [
        queue.enqueue(tasks.primes_below, 1_000_000),
        queue.enqueue(tasks.greet, 'world', greeting='Good morning'),
    ]
    milliseconds = 1000 * (time.perf_counter() - started)
    print(f'Process {os.getpid()} enqueued two jobs in {milliseconds:.0f} ms, the start of the store included:')
    for job in jobs:
        print(f'    {job.description}')

    print('\nA worker runs them:\n    rq-leveldb worker --burst quickstart')
    command = [sys.executable, '-m', 'rq_leveldb', 'worker', '--burst', '--quiet', 'quickstart']
    subprocess.run(command, cwd=Path(__file__).parent, check=True)

    print('\nTheir results:')
    for job in jobs:
        print(f'    {job.description} -> {job.return_value()!r}')

    print('\nWhere they are kept:\n    rq-leveldb status')
    return 0 if all(job.is_finished for job in jobs) else 1


if __name__ == '__main__':
    sys.exit(main())

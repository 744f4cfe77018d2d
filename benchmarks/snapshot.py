"""How fast jobs are dumped and restored, and in how much memory: `python -m benchmarks.snapshot`.

Half of the jobs are queued and half are finished with a result. The table has no peer: nothing else does this.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.memory import cpu_seconds
from benchmarks.migrate import BATCH, command
from compat_tests.real_redis import RealRedis
from rq_leveldb import Redis


@click.command(help=__doc__)
@click.argument('jobs', type=click.IntRange(BATCH), default=1_000_000)
def main(jobs: int) -> None:
    table = Table(title=f'{jobs:,} jobs, half queued, half finished; goals: 10,000 jobs/s, 128 MB')
    for heading in ('', 'jobs/s', 's', 'CPU s', 'CPU s of the server', 'peak RSS, MB', 'file, MB'):
        table.add_column(heading, justify='right' if heading else 'left')
    with tempfile.TemporaryDirectory(prefix='d-') as directory, RealRedis() as server:
        first, second = (f'leveldb://{directory}/{name}' for name in ('a', 'b'))
        redis = f'unix://{server.socket_path}'
        # In a process of its own: the command's largest memory is counted from before its exec, when it is ours.
        filling = 'import sys; from benchmarks.migrate import fill; fill(sys.argv[1], int(sys.argv[2]))'
        subprocess.run([sys.executable, '-c', filling, first, str(jobs)], check=True)
        for name, what, url, file in (
            ('dump of a store', 'dump', first, Path(directory, '1')),
            ('restore to Redis', 'restore', redis, Path(directory, '1')),
            ('dump of Redis', 'dump', redis, Path(directory, '2')),
            ('restore to a store', 'restore', second, Path(directory, '2')),
        ):
            with Redis.from_url(url) as client:
                pid = client.info()['process_id']
                before = cpu_seconds(pid)
                seconds, own, memory = command(what, str(file), '--url', url)
                used = cpu_seconds(pid) - before
            numbers = (jobs / seconds, seconds, own, used, memory, file.stat().st_size / 1e6)
            table.add_row(name, *(f'{number:,.1f}' if number < 1000 else f'{number:,.0f}' for number in numbers))
        for url in (first, second):
            with Redis.from_url(url) as client:
                client.shutdown()
    Console(width=120).print(table)


if __name__ == '__main__':
    main()

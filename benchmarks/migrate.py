"""How fast jobs are carried over, both ways, and in how much memory: `python -m benchmarks.migrate`.

Half of the jobs are queued and half are finished with a result. The table has no peer: nothing else does this.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from benchmarks.memory import cpu_seconds
from compat_tests.real_redis import RealRedis
from rq_leveldb import Queue, Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory

BATCH = 1_000
_RESULT = {'type': 1, 'return_value': 'gASVCgAAAAAAAABLKi4=', 'created_at': '2026-01-01T00:00:00.000000Z'}


def fill(url: str, jobs: int) -> None:
    """Put jobs into a place: half queued by RQ, half of the same turned into finished ones."""
    with Redis.from_url(url) as redis:
        queue = Queue('default', connection=redis)
        expires = int(time.time()) + 86_400
        for _ in range(0, jobs, BATCH):
            made = queue.enqueue_many([Queue.prepare_data('operator.add', (number, 2)) for number in range(BATCH)])
            with redis.pipeline(transaction=False) as pipe:
                for job in made[::2]:
                    pipe.hset(job.key, mapping={'status': 'finished', 'ended_at': '2026-01-01T00:00:00.000000Z'})
                    pipe.expireat(job.key, expires)
                    pipe.xadd(f'rq:results:{job.id}', _RESULT, maxlen=10)
                    pipe.expireat(f'rq:results:{job.id}', expires)
                    pipe.zadd('rq:finished:default', {job.id: expires})
                pipe.execute()
        finished = {member.decode() for member in redis.zrange('rq:finished:default', 0, -1)}
        left = [job_id for job_id in queue.job_ids if job_id not in finished]
        redis.delete(queue.key)
        for start in range(0, len(left), BATCH):
            redis.rpush(queue.key, *left[start : start + BATCH])


def command(*arguments: str) -> tuple[float, float, float]:
    """Run a command; return seconds, seconds of its processor time, and its largest memory in MB."""
    process = subprocess.Popen([sys.executable, '-m', 'rq_leveldb', *arguments], stdout=subprocess.PIPE, text=True)
    started = time.perf_counter()
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    # The kernel counts in kB, and macOS in bytes.
    memory = usage.ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 1e6
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, memory


@click.command(help=__doc__)
@click.argument('jobs', type=click.IntRange(BATCH), default=1_000_000)
def main(jobs: int) -> None:
    table = Table(title=f'{jobs:,} jobs, half queued, half finished; goals: 10,000 jobs/s, 128 MB')
    for heading in ('', 'jobs/s', 's', 'CPU s', 'CPU s of the store', 'CPU s of Redis', 'peak RSS, MB'):
        table.add_column(heading, justify='right' if heading else 'left')
    with tempfile.TemporaryDirectory(prefix='m-') as directory, RealRedis() as server:
        first, second = (DataDirectory(Path(directory, name)) for name in ('a', 'b'))
        middle = f'unix://{server.socket_path}'
        # In a process of its own: the command's largest memory is counted from before its exec, when it is ours.
        filling = 'import sys; from benchmarks.migrate import fill; fill(sys.argv[1], int(sys.argv[2]))'
        subprocess.run([sys.executable, '-c', filling, f'leveldb://{first.path}', str(jobs)], check=True)
        for name, source, target, store in (
            ('to Redis', f'leveldb://{first.path}', middle, first),
            ('from Redis', middle, f'leveldb://{second.path}', second),
        ):
            with Redis.from_url(f'leveldb://{store.path}') as client:
                pid = client.info()['process_id']
                before = [cpu_seconds(pid), cpu_seconds(server.pid)]
                seconds, own, memory = command('migrate', source, target)
                used = [cpu_seconds(pid) - before[0], cpu_seconds(server.pid) - before[1]]
            numbers = (jobs / seconds, seconds, own, *used, memory)
            table.add_row(name, *(f'{number:,.1f}' if number < 1000 else f'{number:,.0f}' for number in numbers))
            autostart.stop(store)
    Console(width=120).print(table)


if __name__ == '__main__':
    main()

"""rq-leveldb dump and restore between a store and a real Redis, both ways."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rq import Queue, SimpleWorker

from compat_tests.real_redis import RealRedis
from compat_tests.test_migrate import Places, contents, fill, places, server
from rq_leveldb import Redis
from tests.until import until

__all__ = ['places', 'server']


def run(*arguments: str | Path) -> tuple[int, str]:
    process = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert 'Traceback' not in process.stdout, process.stdout
    return process.returncode, process.stdout


def carry(places: Places, file: Path, *options: str) -> None:
    """Dump the one place, and restore into the other."""
    code, said = run('dump', file, '--url', places.source, *options)
    assert code == 0, said
    code, said = run('restore', file, '--url', places.target)
    assert code == 0, said


def test_all_types_arrive_as_they_were(places: Places, tmp_path: Path) -> None:
    fill(places.old)
    carry(places, tmp_path / 'dump', '--all')
    assert contents(places.new) == contents(places.old)


def test_rq_goes_on_where_the_dump_was_made(places: Places, tmp_path: Path) -> None:
    jobs = Queue('default', connection=places.old).enqueue_many(
        [Queue.prepare_data('operator.add', (number, 2)) for number in range(10)]
    )
    SimpleWorker(['default'], connection=places.old).work(burst=True, max_jobs=4)
    carry(places, tmp_path / 'dump')
    # A worker that has ended is no obstacle, and what has run does not run again.
    queue = Queue('default', connection=places.new)
    assert queue.job_ids == [job.id for job in jobs[4:]]
    assert queue.finished_job_registry.count == 4
    SimpleWorker(['default'], connection=places.new).work(burst=True)
    for number, job in enumerate(jobs):
        found = queue.fetch_job(job.id)
        assert found is not None
        assert found.return_value() == number + 2


def test_a_long_queue_that_changes_all_the_time_is_dumped_whole(server: RealRedis, tmp_path: Path) -> None:
    """Elements go round and round in a list of Redis; in the dump they are all there, each once."""
    url = f'unix://{server.socket_path}'
    names = [f'{number:040}' for number in range(20_000)]
    stopped = threading.Event()

    def turn() -> None:
        with Redis.from_url(url) as own:
            while not stopped.is_set():
                own.lmove('rq:queue:default', 'rq:queue:default', 'LEFT', 'RIGHT')

    with Redis.from_url(url) as redis:
        redis.flushall()
        redis.rpush('rq:queue:default', *names)
        turning = threading.Thread(target=turn)
        turning.start()
        try:
            until(lambda: redis.lindex('rq:queue:default', 0) != names[0].encode())
            code, said = run('dump', tmp_path / 'dump', '--url', url)
            assert code == 0, said
        finally:
            stopped.set()
            turning.join()
        assert redis.dbsize() == 1
        code, said = run('restore', tmp_path / 'dump', '--url', url, '--replace')
        assert code == 0, said
        found = redis.lrange('rq:queue:default', 0, -1)
        assert sorted(found) == [name.encode() for name in names]


def test_what_redis_lets_nobody_copy_is_named(server: RealRedis, tmp_path: Path) -> None:
    url = f'unix://{server.socket_path}'
    stopped = threading.Event()

    def change() -> None:
        with Redis.from_url(url) as own:
            while not stopped.is_set():
                own.append('rq:text', 'x')

    with Redis.from_url(url) as redis:
        redis.flushall()
        redis.set('rq:text', bytes(3_000_000))
        redis.set('rq:other', 'x')
        redis.execute_command('ACL', 'SETUSER', 'reader', 'on', '>secret', '~*', '&*', '+@all', '-copy')
        changing = threading.Thread(target=change)
        changing.start()
        try:
            until(lambda: redis.strlen('rq:text') > 3_000_000)
            code, said = run('dump', tmp_path / 'dump', '--url', f'unix://reader:secret@{server.socket_path}')
        finally:
            stopped.set()
            changing.join()
            redis.execute_command('ACL', 'DELUSER', 'reader')
        assert code == 4, said
        assert 'rq:text: it is changed all the time while it is read' in said
        code, said = run('restore', tmp_path / 'dump', '--url', url, '--replace')
        assert code == 0, said
        assert redis.keys() in ([b'rq:other', b'rq-leveldb:migration'], [b'rq-leveldb:migration', b'rq:other'])


@pytest.mark.parametrize('command', ['dump', 'restore'])
def test_a_server_that_is_not_there_is_told(tmp_path: Path, command: str) -> None:
    if command == 'restore':
        with Redis.from_url(f'leveldb://{tmp_path}/store') as redis:
            redis.set('rq:a', 'b')
        run('dump', tmp_path / 'dump', '--url', f'leveldb://{tmp_path}/store')
        run('stop', '--url', f'leveldb://{tmp_path}/store')
    code, said = run(command, tmp_path / 'dump', '--url', f'unix://{tmp_path}/none')
    assert (code, 'Nobody answers' in said) == (1, True)

"""Commands that show jobs run nothing that the jobs hold."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest
from rq import Queue

from rq_leveldb import Redis
from rq_leveldb.cli.main import main
from rq_leveldb.lookup import see_jobs
from rq_leveldb.reading import Reader


class Spy:
    """Makes a directory when it is unpickled as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    'arguments',
    [
        ['job', 'spied'],
        ['job', 'spied', '--json'],
        ['job', 'spied', '--log'],
        ['logs', 'spied'],
        ['jobs'],
        ['jobs', 'queued', '--search', 'mkdir', '--json'],
        ['jobs', '--group'],
        ['status', '--check'],
        ['doctor'],
        ['top'],
        ['delete', 'spied'],
        ['status'],
        ['info'],
        ['info', '--by-queue'],
        ['children'],
    ],
    ids=' '.join,
)
def test_nothing_is_unpickled(
    redis: Redis, store_dir: Path, tmp_path: Path, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    job = Queue(connection=redis).enqueue('cli_jobs.add', job_id='spied')
    spy = pickle.dumps(Spy(tmp_path / 'made'))
    redis.hset(
        job.key,
        mapping={
            'data': zlib.compress(pickle.dumps(('cli_jobs.add', None, (Spy(tmp_path / 'made'), 2), {'x': 'y'}))),
            'meta': spy,
            'status': 'finished',
        },
    )
    redis.xadd(f'rq:results:{job.id}', {'type': 1, 'return_value': base64.b64encode(spy), 'created_at': '1.0'})
    code = main([*arguments, '--url', f'leveldb://{store_dir}'])
    assert code == 2 if '--check' in arguments else code in (0, 1)
    assert not (tmp_path / 'made').exists()
    if arguments == ['job', 'spied', '--json']:
        shown = json.loads(capfd.readouterr().out)
        assert shown['call'] == f"cli_jobs.add(posix.mkdir('{tmp_path}/made'), 2, x='y')"
        assert shown['unreadable'] == []


@pytest.mark.parametrize('command', ['requeue', 'retry', 'cancel'])
def test_nothing_is_unpickled_of_a_job_that_is_moved(
    redis: Redis, store_dir: Path, tmp_path: Path, command: str
) -> None:
    queue = Queue(connection=redis)
    job = queue.enqueue('cli_jobs.add', job_id='spied')
    held: dict[Any, Any] = {
        b'data': zlib.compress(pickle.dumps(('cli_jobs.add', None, (Spy(tmp_path / 'made'), 2), {}))),
        b'meta': pickle.dumps(Spy(tmp_path / 'made')),
    }
    redis.hset(job.key, mapping={**held, 'status': 'queued' if command == 'cancel' else 'failed'})
    if command != 'cancel':
        redis.delete(queue.key)
        redis.zadd('rq:failed:default', {'spied': 9e9})
    assert main([command, 'spied', '--url', f'leveldb://{store_dir}']) == 0
    assert not (tmp_path / 'made').exists()
    assert redis.hmget(job.key, list(held)) == list(held.values())
    assert queue.job_ids == ([] if command == 'cancel' else ['spied'])


def packed(megabytes: int) -> bytes:
    """Return a kilobyte for each megabyte of nothing."""
    packer = zlib.compressobj()
    pieces = [packer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b''.join([*pieces, packer.flush()])


def test_what_is_small_until_it_is_unpacked(redis: Redis, store_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bomb = packed(300)
    job = Queue(connection=redis).enqueue('cli_jobs.add', job_id='bomb')
    redis.hset(job.key, mapping={'data': bomb, 'exc_info': bomb})
    redis.xadd('rq:results:bomb', {'type': 2, 'exc_string': base64.b64encode(bomb)})
    assert main(['job', 'bomb', '--json', '--url', f'leveldb://{store_dir}']) == 0
    shown = json.loads(capfd.readouterr().out)
    assert [fault['field'] for fault in shown['unreadable']] == ['data', 'exc_info', 'results']
    assert all('too large when it is unpacked' in fault['error'] for fault in shown['unreadable'])
    # What is merely large is shown.
    redis.hset(job.key, mapping={'data': packed(200), 'exc_info': packed(1)})
    (seen,) = see_jobs(redis, ['bomb'], Reader())
    assert seen is not None
    assert seen.faults == ()

"""rq-leveldb compact, as a shell sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from rq_leveldb import Redis
from tests.until import until


def compact(*arguments: str) -> tuple[int, str]:
    process = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', 'compact', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert 'Traceback' not in process.stdout
    return process.returncode, process.stdout


def test_the_space_comes_back_while_there_is_work(redis: Redis, store_dir: Path) -> None:
    for number in range(40):
        redis.set(f'key{number}', os.urandom(500_000))
    redis.delete(*(f'key{number}' for number in range(39)))
    code, said = compact('--url', f'leveldb://{store_dir}', '--json')
    assert code == 0, said
    report = json.loads(said)
    assert report['before'] > 10_000_000 > 2_000_000 > report['after']
    assert redis.strlen('key39') == 500_000
    code, said = compact('--url', f'leveldb://{store_dir}')
    assert (code, ' before, ' in said) == (0, True)


def test_a_second_one_is_refused_as_by_redis(redis: Redis) -> None:
    for number in range(60):
        redis.set(f'key{number}', os.urandom(500_000))
    with redis.pipeline(transaction=False) as pipe:
        pipe.execute_command('BGREWRITEAOF')
        pipe.execute_command('BGREWRITEAOF')
        with pytest.raises(ResponseError, match='already in progress'):
            pipe.execute()
    until(lambda: redis.info('persistence')['aof_rewrite_in_progress'] == 0)
    assert redis.bgrewriteaof()


def test_it_has_no_meaning_on_redis_or_where_there_is_no_store(tmp_path: Path) -> None:
    code, said = compact('--url', 'redis://localhost:1')
    assert (code, 'nothing to compact' in said) == (2, True)
    code, said = compact('--url', f'leveldb://{tmp_path}/none')
    assert (code, 'There is no store' in said) == (1, True)

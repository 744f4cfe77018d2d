"""rq-leveldb check, as a shell sees it."""

from __future__ import annotations

import json
import os
import pty
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.client.retry import StoreUnavailable
from rq_leveldb.location import DataDirectory
from rq_leveldb.store import encoding, table_file
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.opening import close_database

COUNT = 3000
EXPIRING = 300
TOTAL = COUNT + EXPIRING + 1


def start(directory: DataDirectory, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        env={**os.environ, 'RQ_LEVELDB_URL': f'leveldb://{directory.path}'},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def run(directory: DataDirectory, *arguments: str) -> tuple[int, str, str]:
    """Run `rq-leveldb`; return exit code, output and errors."""
    process = start(directory, *arguments)
    out, err = process.communicate(timeout=60)
    assert 'Traceback' not in err + out
    return process.returncode, out, err


def value(number: int) -> str:
    return random.Random(number).randbytes(60).hex()


@pytest.fixture
def directory(store_dir: Path) -> DataDirectory:
    """Return a data directory with tables of some thousand keys and a list; its store is stopped."""
    directory = DataDirectory(store_dir)
    with Redis.from_url(f'leveldb://{store_dir}') as redis:
        redis.mset({f'key:{number}': value(number) for number in range(COUNT)})
        redis.rpush('rq:queue:default', *range(COUNT))
        for number in range(EXPIRING):
            redis.set(f'expires:{number}', 'x' * 50, px=10**9 + number)
    assert autostart.stop(directory)
    # What was in the log is in a table then.
    close_database(directory, Engine(directory.database))
    return directory


def table_of(directory: DataDirectory) -> Path:
    return max(directory.database.glob('*.ldb'), key=lambda path: path.stat().st_size)


def damage(path: Path, start: int, size: int = 40) -> None:
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes(size)
    path.write_bytes(data)


def damage_a_key(directory: DataDirectory) -> None:
    """Damage the block that holds key:1234, and others beside it."""
    path = table_of(directory)
    wanted = encoding.meta_prefix(encoding.u32(0)) + b'key:1234'
    block = next(block for block in table_file.blocks(path.read_bytes()) if block.last >= wanted)
    damage(path, block.start + 10)


def names(directory: DataDirectory) -> set[str]:
    return {path.name for path in directory.path.iterdir()}


def test_a_sound_database(directory: DataDirectory) -> None:
    before = names(directory)
    assert run(directory, 'check') == (
        0,
        f'Sound: {TOTAL} keys, {json.loads(run(directory, "check", "--json")[1])["records"]} records in '
        f'{directory.path}\n',
        '',
    )
    assert names(directory) == before


def test_a_running_store_is_not_checked(directory: DataDirectory) -> None:
    with Redis.from_url(f'leveldb://{directory.path}') as redis:
        redis.ping()
        code, _, errors = run(directory, 'check', '--fix')
        assert (code, redis.get('key:1')) == (3, value(1).encode())
    assert 'rq-leveldb stop' in errors


def test_no_database_and_no_server(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / 'nothing')
    assert run(directory, 'check')[0] == 0
    assert not directory.path.exists()
    code, _, errors = run(directory, 'check', '--url', f'unix://{tmp_path}/nobody')
    assert code == 1
    assert 'Is the server running' in errors


def test_a_missing_database_is_told(directory: DataDirectory, tmp_path: Path) -> None:
    directory.database.rename(tmp_path / 'elsewhere')
    code, _, errors = run(directory, 'check', '--fix')
    assert code == 1
    assert 'missing' in errors


def test_what_is_damaged_is_told_and_mended(directory: DataDirectory) -> None:
    damage_a_key(directory)
    damaged = table_of(directory)
    as_it_was = damaged.read_bytes()
    path = f'leveldb://{directory.path}'
    with Redis.from_url(path) as redis:
        # The store runs, and says which way is out; other keys go on.
        with pytest.raises(ResponseError, match='rq-leveldb check'):
            redis.get('key:1234')
        assert redis.get('key:2999') == value(2999).encode()
    assert autostart.stop(directory)

    code, out, _ = run(directory, 'check')
    assert code == 1
    assert f'{table_of(directory).name}, byte ' in out
    assert "from 'key:12" in out
    assert 'Nothing was changed' in out
    assert not list(directory.path.glob('damaged-*'))

    report = json.loads(run(directory, 'check', '--json')[1])
    assert (report['sound'], report['mended']) == (False, False)
    lost = TOTAL - report['keys']
    assert 0 < lost < 300

    code, out, _ = run(directory, 'check', '--fix')
    assert code == 0
    (kept,) = directory.path.glob('damaged-*')
    assert str(kept) in out
    assert (kept / damaged.name).read_bytes() == as_it_was
    assert run(directory, 'check')[0] == 0
    with Redis.from_url(path) as redis:
        assert redis.get('key:1234') is None
        assert redis.dbsize() == TOTAL - lost
        there = [redis.get(f'key:{number}') for number in range(COUNT)]
        assert sum(found is None for found in there) == lost
        assert all(found in (None, value(number).encode()) for number, found in enumerate(there))
        assert redis.lrange('rq:queue:default', 0, -1) == [b'%d' % number for number in range(COUNT)]


def test_a_database_that_no_store_opens(directory: DataDirectory) -> None:
    for name in ('CURRENT', *(path.name for path in directory.database.glob('MANIFEST-*'))):
        (directory.database / name).unlink()
    code, _, errors = run(directory, 'store')
    assert code == 1
    assert 'rq-leveldb check' in errors
    assert run(directory, 'check')[0] == 1
    assert run(directory, 'check', '--fix')[0] == 0
    with Redis.from_url(f'leveldb://{directory.path}') as redis:
        assert redis.mget([f'key:{number}' for number in range(COUNT)]) == [
            value(number).encode() for number in range(COUNT)
        ]
        assert redis.llen('rq:queue:default') == COUNT


def test_a_store_whose_first_reads_fail_says_so(directory: DataDirectory) -> None:
    path = table_of(directory)
    for block in table_file.blocks(path.read_bytes()):
        if block.last >= encoding.EXPIRY_PREFIX:
            damage(path, block.start + 10)
    code, _, errors = run(directory, 'store')
    assert code == 1
    assert 'rq-leveldb check' in errors
    with (
        pytest.raises(StoreUnavailable, match='rq-leveldb check'),
        Redis.from_url(f'leveldb://{directory.path}') as redis,
    ):
        redis.ping()
    assert run(directory, 'check', '--fix')[0] == 0
    with Redis.from_url(f'leveldb://{directory.path}') as redis:
        assert redis.dbsize() > TOTAL - 100
        assert redis.pttl('expires:7') > 0


def test_mending_that_is_killed_is_begun_again(directory: DataDirectory) -> None:
    damage_a_key(directory)
    chance = random.Random(1)
    report = json.loads(run(directory, 'check', '--json')[1])
    began = time.monotonic()
    run(directory, 'check')
    takes = time.monotonic() - began
    killed = 0
    for _ in range(8):
        process = start(directory, 'check', '--fix')
        # Any moment will do.
        time.sleep(chance.uniform(0.3, 1) * takes)
        process.kill()
        process.communicate()
        killed += process.returncode < 0
        assert len(list(directory.path.glob('damaged-*'))) <= 1
    assert killed
    assert run(directory, 'check', '--fix')[0] == 0
    assert json.loads(run(directory, 'check', '--json')[1])['keys'] == report['keys']
    assert not names(directory) & {directory.mending.name, directory.mended.name}
    with Redis.from_url(f'leveldb://{directory.path}') as redis:
        assert redis.dbsize() == report['keys']


@pytest.mark.parametrize('by', ['store', 'check'])
def test_killed_between_the_renames(directory: DataDirectory, by: str) -> None:
    directory.database.rename(directory.mended)
    if by == 'check':
        assert run(directory, 'check')[0] == 0
    with Redis.from_url(f'leveldb://{directory.path}') as redis:
        assert redis.dbsize() == TOTAL


def test_a_terminal_gets_a_table(directory: DataDirectory) -> None:
    damage_a_key(directory)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'check', '--url', f'leveldb://{directory.path}'],
        env={**os.environ, 'COLUMNS': '100', 'TERM': 'xterm'},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b''
    try:
        while piece := os.read(ours, 65536):
            shown += piece
    except OSError:
        pass  # how a terminal ends
    finally:
        os.close(ours)
    assert process.wait(30) == 1
    assert b'With --fix' in shown
    assert b'\x1b[31m' in shown

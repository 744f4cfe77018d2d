"""Redis is recorded, cut and judged as the store is: its record is its disk, and a promise that it breaks is found.

RQ_LEVELDB_TEST_SEED decides about loads and cuts. ``python -m compat_tests.power`` makes the tables of
docs/reliability.rst.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from compat_tests.power.redis_server import RedisServer, Restarted
from compat_tests.real_redis import NoRedisError
from tests.power import campaign, kills
from tests.power.campaign import Where
from tests.power.disk import Disk
from tests.power.load import DATA, Load
from tests.power.models import MODELS, rebuild
from tests.power.recorder import compiled, missing, read

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(300)]


class Careless(RedisServer):
    """Promises what ``always`` promises, and never syncs."""

    def command(self, data: Path, fsync: str) -> list[str]:
        return super().command(data, 'no')


@pytest.fixture
def redis_server() -> RedisServer:
    try:
        return RedisServer()
    except NoRedisError as error:
        pytest.skip(str(error))


def test_what_is_noted_of_redis_is_its_disk(redis_server: RedisServer, tmp_path: Path) -> None:
    """With a rewrite by a child, kills and stops; and cut anywhere it holds what was synced before a reply."""
    recording = Load(tmp_path / 'load', SEED, 'always', redis_server, fresh=False, library=compiled(tmp_path)).run()
    disk = Disk(str(recording.root))
    disk.adopt(recording.base, recording.inodes)
    for note in read(recording.record):
        disk.follow(note)
    rebuilt = tmp_path / 'rebuilt'
    rebuilt.mkdir()
    rebuild(MODELS['killed'](disk, Random(0)), rebuilt)
    found = {path.name: path.read_bytes() for path in (rebuilt / DATA / 'appendonlydir').iterdir()}
    assert found == {path.name: path.read_bytes() for path in (recording.root / DATA / 'appendonlydir').iterdir()}
    assert any('.2.base' in name for name in found), 'nothing was rewritten'
    table = campaign.run(recording, 5, ['killed', 'strict'], where=Where.BEHIND_REPLIES)
    assert table.found() == 0, '\n'.join(table.examples)


def test_a_broken_promise_of_redis_is_found(redis_server: RedisServer, tmp_path: Path) -> None:
    recording = Load(tmp_path / 'load', SEED, 'always', Careless(), fresh=False, library=compiled(tmp_path)).run()
    table = campaign.run(recording, 5, ['strict'], where=Where.BEHIND_REPLIES)
    assert table.rows['always', 'strict']['lost'] > 0


def test_kills(redis_server: RedisServer, tmp_path: Path) -> None:
    summary = kills.run(Restarted(tmp_path, 'always'), 3, SEED)
    assert not summary.faults, str(summary)
    assert summary.interruptions


def test_the_command_ends_with_its_tables(redis_server: RedisServer) -> None:
    command = [sys.executable, '-m', 'compat_tests.power', '--errors', '1', '--seed', str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-4:]]
    assert [row[:3] for row in rows] == [
        [server, fsync, '1'] for server in ('rq-leveldb', 'redis') for fsync in ('everysec', 'always')
    ]

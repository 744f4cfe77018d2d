"""What was removed gives its space on the disk back when there is little else to do."""

from __future__ import annotations

import random
from pathlib import Path

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from rq_leveldb.store.engine import SLICE_BYTES, Engine
from tests.soak.samples import size_of


def test_the_space_of_what_has_expired_comes_back(redis: Redis, store_dir: Path) -> None:
    database = DataDirectory(store_dir).database
    for start in range(0, 20_000, 500):
        with redis.pipeline(transaction=False) as pipeline:
            for number in range(start, start + 500):
                pipeline.set(f'key{number}', random.randbytes(1500))
            pipeline.execute()
    redis.set('kept', 'x')
    assert size_of(database) > 20
    with redis.pipeline(transaction=False) as pipeline:
        for number in range(20_000):
            pipeline.pexpire(f'key{number}', 1)
        pipeline.execute()
    while size_of(database) > 2:
        redis.dbsize()
    assert redis.get('kept') == b'x'


def test_a_store_stops_during_a_compaction(redis: Redis, store_dir: Path) -> None:
    database = DataDirectory(store_dir).database
    with redis.pipeline(transaction=False) as pipeline:
        for number in range(6_000):
            pipeline.set(f'key{number}', random.randbytes(3000))
        pipeline.delete(*(f'key{number}' for number in range(6_000)))
        pipeline.set('kept', 'x')
        pipeline.execute()
    tables = set(database.glob('*.ldb'))
    while tables <= set(database.glob('*.ldb')):
        redis.ping()
    assert autostart.stop(DataDirectory(store_dir))
    assert redis.get('kept') == b'x'


def test_slices_go_from_the_first_key_to_the_last(tmp_path: Path) -> None:
    engine = Engine(tmp_path / 'leveldb')
    for start in range(0, 30_000, 100):
        engine.write({b'key%d' % number: random.randbytes(1000) for number in range(start, start + 100)})
    ends: list[bytes] = []
    position: bytes | None = b''
    while position is not None:
        position = engine.compact(position)
        ends.append(position or b'\xff')
    engine.close()
    assert ends == sorted(set(ends))
    assert 30_000 * 1000 // SLICE_BYTES <= len(ends) <= 2 * 30_000 * 1000 // SLICE_BYTES
    assert engine.compact(b'') is None

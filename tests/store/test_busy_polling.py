"""Looking for the next request instead of sleeping ends when none comes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from rq_leveldb import Redis

LOOKED_FOR = 0.5  # seconds


def processor_time(pid: int) -> float:
    """Return the CPU seconds that the process has used on all cores."""
    ran = 0
    for thread in Path(f'/proc/{pid}/task').iterdir():
        ran += int((thread / 'schedstat').read_text().split()[0])
    return ran / 1e9


@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_a_store_that_was_busy_sleeps_as_soon_as_it_is_not(redis: Redis) -> None:
    pid = redis.info('server')['process_id']
    for _ in range(500):
        redis.ping()
    before = processor_time(pid)
    time.sleep(LOOKED_FOR)
    assert processor_time(pid) - before < LOOKED_FOR / 5

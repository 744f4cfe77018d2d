"""Everything at once: no acknowledged job is lost, stuck or doubled, and no worker ends that was not struck.

How long it blows: RQ_LEVELDB_TEST_STORM seconds (12; the numbers in docs/worker.rst are from 1,200). What happens is
drawn from RQ_LEVELDB_TEST_SEED.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from rq import Queue

from tests.worker.jumping_clock import JumpingClock
from tests.worker.storm import Storm
from tests.worker.support import Workers

SECONDS = float(os.environ.get('RQ_LEVELDB_TEST_STORM', '12'))
SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))


@pytest.mark.skipif(sys.platform != 'linux', reason='processes die with their parents on Linux only')
@pytest.mark.needs_store('it kills the server, which nobody starts again')
@pytest.mark.timeout(240 + 2 * SECONDS)
def test_a_storm(workers: Workers, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('STORM_TRACE', '')

    set_clock = JumpingClock(tmp_path, monkeypatch).set if shutil.which('cc') else None

    storm = Storm(workers, queue, tmp_path, SEED, long=SECONDS >= 600, set_clock=set_clock)
    summary = storm.run(SECONDS)

    print(f'\n{summary}')
    faults = summary.faults()
    assert not faults, '\n'.join(faults)
    assert summary.jobs > SECONDS

"""Nothing is lost, grows or stays behind while jobs come and go; `python -m tests.soak` does it for an hour.

RQ_LEVELDB_TEST_SOAK sets the minutes (a third of one; ten or more also judge growth).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.soak.plot import draw
from tests.soak.samples import Sample
from tests.soak.soak import Soak

MINUTES = float(os.environ.get('RQ_LEVELDB_TEST_SOAK', '0.3'))
SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))


@pytest.mark.skipif(sys.platform != 'linux', reason='it reads /proc')
@pytest.mark.timeout(600 + 120 * MINUTES)
@pytest.mark.parametrize('jobs_per_child', [1, 100])
def test_a_soak(tmp_path: Path, jobs_per_child: int) -> None:
    samples: list[Sample] = []
    ttl = 2 if MINUTES < 1 else 30
    soak = Soak(tmp_path, MINUTES * 60, SEED, ttl=ttl, jobs_per_child=jobs_per_child, keep=samples.append)

    summary = soak.run()

    print(f'\nseed {SEED}\n{summary}')
    assert not summary.faults, '\n'.join(summary.faults)
    assert set(summary.blows) == {'store', 'supervisor', 'forker', 'child'}
    # The picture is well-formed, and has what was seen.
    picture = ElementTree.fromstring(draw(samples))
    assert len(picture.findall('{*}polyline')) == 12

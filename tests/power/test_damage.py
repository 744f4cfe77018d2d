"""No damage to a file is served as truth or hides keys; `python -m tests.power --damages 5000` does more."""

from __future__ import annotations

import os

from tests.power import damage

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))


def test_damages() -> None:
    report = damage.run(100, SEED)
    print(f'\nseed {SEED}\n{report}')
    assert report.found() == 0, '\n'.join(report.examples)

"""No damage to a file is served as truth or hides keys; `python -m tests.power --damages 5000` does more."""

from __future__ import annotations

import os

import pytest

from tests.power import damage

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))


def test_damages() -> None:
    if os.environ.get('RQ_LEVELDB_TEST_POWER') != 'all':
        pytest.skip('the engine does not stand this yet; RQ_LEVELDB_TEST_POWER=all runs it')
    report = damage.run(100, SEED)
    print(f'\nseed {SEED}\n{report}')
    assert report.found() == 0, '\n'.join(report.examples)

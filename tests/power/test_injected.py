"""No error of the system costs what was acknowledged; `python -m tests.power --errors 1000` makes more of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.power import injected
from tests.power.recorder import compiled, missing
from tests.power.server import Server

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))


@pytest.mark.skipif(bool(missing()), reason=missing())
def test_errors_pass(tmp_path: Path) -> None:
    report = injected.run(tmp_path, compiled(tmp_path), 8, SEED, Server())
    print(f'\nseed {SEED}\n{report}')
    assert not report.faults, '\n'.join(report.faults)

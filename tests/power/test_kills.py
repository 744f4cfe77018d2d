"""Clients that start the store by themselves lose nothing to kill -9; `python -m tests.power --kills 500` does more."""

from __future__ import annotations

from pathlib import Path

import pytest

from rq_leveldb.location import FSYNC_POLICIES
from tests.power import kills


@pytest.mark.parametrize('fsync', FSYNC_POLICIES)
def test_kills(tmp_path: Path, fsync: str) -> None:
    summary = kills.run(kills.Autostarted(tmp_path, fsync), 3, 1)
    print(f'\n{summary}')
    assert not summary.faults, str(summary)
    assert summary.interruptions

"""Nonsense is answered with a value or an error in words, in bounded time; `python -m tests.fuzz` makes more of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.__main__ import SHARES, run
from tests.fuzz.target import HEAD

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))
INPUTS = {'resp': 15_000, 'commands': 30_000, 'payloads': 4_000, 'records': 250}


@pytest.mark.parametrize('target', SHARES)
def test_fuzz(target: str, tmp_path: Path) -> None:
    report = run(target, INPUTS[target], SEED, tmp_path, lambda done: None)
    print(f'\nseed {SEED}\n{HEAD}\n{report.row()}')
    assert not report.findings, '\n'.join(report.findings[:20])
    assert min(report.outcomes.values()) > 0
    assert len(report.outcomes) > 1

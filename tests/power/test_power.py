"""Nothing that was promised is lost when the power goes, and a store that breaks its promise is found out.

RQ_LEVELDB_TEST_SEED decides about loads and cuts. `python -m tests.power` makes many more of them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rq_leveldb.location import FSYNC_POLICIES
from tests.power import campaign
from tests.power.campaign import Where
from tests.power.faulty import BUGS
from tests.power.load import STORE, Load, Recording
from tests.power.models import MODELS
from tests.power.recorder import missing

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))
CUTS = 50

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(300)]


@pytest.fixture(scope='module', params=FSYNC_POLICIES)
def recording(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Return the record of a load, during which the store was killed and stopped, for each setting in turn."""
    return Load(tmp_path_factory.mktemp('power') / 'load', SEED, request.param).run()


@pytest.mark.parametrize('model', MODELS)
def test_cuts(recording: Recording, model: str) -> None:
    if MODELS[model].loses_power and os.environ.get('RQ_LEVELDB_TEST_POWER') != 'all':
        pytest.skip('the engine does not stand this yet; RQ_LEVELDB_TEST_POWER=all runs it')
    table = campaign.run(recording, CUTS, [model])
    print(f'\nseed {SEED}\n{table}')
    assert table.found() == 0, '\n'.join(table.examples)


def on_a_slow_disk(place: Path, bug: str | None) -> Recording:
    store = (sys.executable, '-m', 'tests.power.faulty', bug) if bug else STORE
    # An odd seed: the data directory is older than the store.
    return Load(place / 'load', SEED | 1, 'always', store, struck=False).run()


def test_nothing_is_found_without_a_bug(tmp_path: Path) -> None:
    recording = on_a_slow_disk(tmp_path, None)
    for where in (Where.BEHIND_REPLIES, Where.AFTER_LOG_SWITCHES):
        table = campaign.run(recording, CUTS // 2, ['killed', 'strict'], where=where)
        assert table.found() == 0, '\n'.join(table.examples)


# Cuts and where they are; a unit in two batches is seen without a loss of power.
SEARCHES = {
    'no-sync': (10, Where.BEHIND_REPLIES, 'strict'),
    'no-directory-sync': (60, Where.AFTER_LOG_SWITCHES, 'strict'),
    'newest-log-only': (80, Where.AFTER_LOG_SWITCHES, 'strict'),
    'two-batches': (40, Where.ANYWHERE, 'killed'),
    'early-replies': (10, Where.BEHIND_REPLIES, 'strict'),
}


@pytest.mark.parametrize('bug', BUGS)
def test_each_bug_is_found(tmp_path: Path, bug: str) -> None:
    recording = on_a_slow_disk(tmp_path, bug)
    cuts, where, model = SEARCHES[bug]
    table = campaign.run(recording, cuts, [model], where=where)
    print(f'\n{table}')
    assert table.found() > 0

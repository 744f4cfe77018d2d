"""Nothing that was promised is lost when the power goes, and a store that breaks its promise is found out.

RQ_LEVELDB_TEST_SEED decides about loads and cuts. `python -m tests.power` makes many more of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from rq_leveldb.location import FSYNC_POLICIES
from tests.power import campaign
from tests.power.campaign import Where
from tests.power.faulty import BUGS
from tests.power.load import Load, Recording
from tests.power.models import MODELS
from tests.power.recorder import compiled, missing
from tests.power.server import Server

SEED = int(os.environ.get('RQ_LEVELDB_TEST_SEED', '20261129'))
CUTS = 50

# Cuts and where they are; a unit in two batches is seen without a loss of power.
SEARCHES = {
    'no-sync': (10, Where.BEHIND_REPLIES, 'strict'),
    'no-directory-sync': (120, Where.AFTER_LOG_SWITCHES, 'strict'),
    'newest-log-only': (80, Where.AFTER_LOG_SWITCHES, 'strict'),
    'two-batches': (40, Where.ANYWHERE, 'killed'),
    'early-replies': (10, Where.BEHIND_REPLIES, 'strict'),
}

pytestmark = [pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(300)]

Recorded = Callable[[str], Recording]


@pytest.fixture(scope='module')
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    """Return a function that gives the record of a load by its name: a setting of fsync, a bug, or 'sound'.

    The loads run beside each other, since they wait most of the time. Those named after a setting were killed and
    stopped; the others wrote with `always` to a slow disk.
    """
    place = tmp_path_factory.mktemp('power')
    library = compiled(place)
    # Which of them are wanted is not known here, but each is short.
    loads = {fsync: Load(place / fsync, SEED, fsync, Server(), library=library) for fsync in FSYNC_POLICIES}
    for name in ('sound', *BUGS):
        server = Server() if name == 'sound' else Server((sys.executable, '-m', 'tests.power.faulty', name))
        loads[name] = Load(place / name, SEED, 'always', server, fresh=False, struck=False, library=library)
    pool = ThreadPoolExecutor(3)
    running: dict[str, Future[Recording]] = {name: pool.submit(load.run) for name, load in loads.items()}
    yield lambda name: running[name].result()
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize('model', MODELS)
@pytest.mark.parametrize('fsync', FSYNC_POLICIES)
def test_cuts(recorded: Recorded, fsync: str, model: str) -> None:
    table = campaign.run(recorded(fsync), CUTS, [model])
    print(f'\nseed {SEED}\n{table}')
    assert table.found() == 0, '\n'.join(table.examples)


@pytest.mark.parametrize('where', [Where.BEHIND_REPLIES, Where.AFTER_LOG_SWITCHES])
def test_nothing_is_found_without_a_bug(recorded: Recorded, where: Where) -> None:
    table = campaign.run(recorded('sound'), CUTS // 2, ['killed', 'strict'], where=where)
    assert table.found() == 0, '\n'.join(table.examples)


@pytest.mark.parametrize('bug', BUGS)
def test_each_bug_is_found(recorded: Recorded, bug: str) -> None:
    cuts, where, model = SEARCHES[bug]
    table = campaign.run(recorded(bug), cuts, [model], where=where)
    print(f'\n{table}')
    assert table.found() > 0

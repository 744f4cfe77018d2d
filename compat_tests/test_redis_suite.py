"""Redis's own test suite passes on the store, but for what ``redis_suite_failures.txt`` names with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from compat_tests import redis_suite

KNOWN = redis_suite.known_failures()
Tell = Callable[[str, tuple[str, ...]], None]


@pytest.fixture(scope='module')
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the suite is laid out."""
    place = tmp_path_factory.mktemp('redis-suite')
    try:
        redis_suite.lay_out(place)
    except redis_suite.SuiteUnavailableError as error:
        pytest.skip(str(error))
    return place


@pytest.mark.timeout(2 * redis_suite.TIME_LIMIT)
@pytest.mark.parametrize('file', redis_suite.FILES)
def test_what_is_not_listed_passes(file: str, suite: Path, tell: Tell) -> None:
    outcome = redis_suite.run(suite, file, 'store', skipped=KNOWN.get(file, ()))
    tell("Redis's own suite on the store", (f'{file}: {len(outcome.passed)} passed',))
    assert not outcome.failed, '\n'.join(outcome.failed.values())
    assert outcome.is_complete, outcome.output[-5000:]
    assert outcome.passed


@pytest.mark.timeout(2 * redis_suite.TIME_LIMIT)
@pytest.mark.parametrize('file', sorted(KNOWN))
def test_what_is_listed_fails(file: str, suite: Path) -> None:
    outcome = redis_suite.run(suite, file, 'store', only=KNOWN[file])
    better = outcome.passed & KNOWN[file].keys()
    assert not better, f'take these off redis_suite_failures.txt: {sorted(better)}'


def test_the_list_names_files_that_run() -> None:
    assert KNOWN.keys() <= set(redis_suite.FILES)
    assert all(reason for tests in KNOWN.values() for reason in tests.values())

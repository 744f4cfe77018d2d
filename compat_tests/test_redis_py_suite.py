"""redis-py's own test suite passes on the store, but for what ``redis_py_suite_failures.txt`` names with its reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from compat_tests import redis_py_suite


@pytest.mark.timeout(redis_py_suite.TIME_LIMIT + 60)
def test_what_is_not_listed_passes_and_what_is_listed_fails(tell: Callable[[str, tuple[str, ...]], None]) -> None:
    known = redis_py_suite.known_failures()
    try:
        outcome = redis_py_suite.run('store', [])
    except redis_py_suite.SuiteUnavailableError as error:
        pytest.skip(str(error))
    tell("redis-py's own suite on the store", (f'{len(outcome.passed)} passed, {len(outcome.failed)} known to fail',))

    assert outcome.failed <= known.keys(), outcome.output[-20_000:]
    better = outcome.passed & known.keys()
    assert not better, f'take these off redis_py_suite_failures.txt: {sorted(better)}'
    assert outcome.passed

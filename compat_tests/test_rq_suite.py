"""RQ's own test suite passes on the store: every test that passes on a real Redis, and none is left out."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version

import pytest

from compat_tests import rq_suite

# Measured on real Redis 7.0.15 and 8.2.3, with the same two numbers and the same names: per rq release the number of
# tests that pass, and of those that RQ skips by itself (its slow tests and those of TLS).
BASELINE = {'3.0.0': (784, 19)}


def begin_ahead() -> rq_suite.Outcome:
    """Run all of it."""
    return rq_suite.run('store', [])


@pytest.mark.timeout(2 * rq_suite.TIME_LIMIT)
def test_rqs_own_suite_passes_on_the_store(
    ahead: Future[rq_suite.Outcome], tell: Callable[[str, tuple[str, ...]], None]
) -> None:
    release = version('rq')
    first = ahead.result()
    settled = rq_suite.settle(first, lambda arguments: rq_suite.run('store', arguments))
    tell(f"RQ {release}'s own suite on the store", settled.notes)

    assert not settled.failed, first.output[-20_000:]
    assert first.status == 0 or first.failed, first.output[-20_000:]
    if release in BASELINE:
        assert (len(settled.passed), len(first.skipped)) == BASELINE[release]
        return
    # A release that was not measured yet is measured now.
    redis = rq_suite.run('redis', [])
    assert redis.passed <= settled.passed, f'passed on Redis alone: {sorted(redis.passed - settled.passed)}'
    assert redis.skipped == first.skipped

"""RQ's own tests of queues, jobs and registries pass with our Queue in the place of RQ's, on the store and on Redis."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version

import pytest

from compat_tests import download, rq_suite

# Measured with RQ's own Queue on real Redis, per rq release: tests that pass, and those that RQ skips by itself.
BASELINE = {'3.0.0': (448, 2)}

_ABOUT = (
    *('callbacks', 'decorator', 'dependencies', 'group', 'intermediate_queue', 'job', 'job_dependency', 'key_prefix'),
    *('queue', 'queue_unique', 'rate_limit', 'registry', 'repeat', 'results', 'retry', 'scheduler'),
)


def _run(against: str, arguments: list[str]) -> rq_suite.Outcome:
    return rq_suite.run(against, ['-p', 'compat_tests.our_queue', *arguments], {'PYTHONPATH': str(download.CHECKOUT)})


def begin_ahead() -> dict[str, rq_suite.Outcome]:
    """Run them on the store, then on Redis."""
    return {against: _run(against, [f'tests/test_{name}.py' for name in _ABOUT]) for against in ('store', 'redis')}


@pytest.mark.parametrize('against', ['store', 'redis'])
@pytest.mark.timeout(2 * rq_suite.TIME_LIMIT)
def test_rqs_tests_pass_with_our_queue(
    ahead: Future[dict[str, rq_suite.Outcome]], against: str, tell: Callable[[str, tuple[str, ...]], None]
) -> None:
    first = ahead.result()[against]
    settled = rq_suite.settle(first, lambda arguments: _run(against, arguments))
    tell(f"RQ's own tests of queues with our Queue in the place of RQ's: {against}", settled.notes)

    assert not settled.failed, first.output[-20_000:]
    assert first.status == 0 or first.failed, first.output[-20_000:]
    if version('rq') in BASELINE:
        assert (len(settled.passed), len(first.skipped)) == BASELINE[version('rq')]

"""RQ's own tests pass with the forking worker in the place of RQ's, four jobs at once.

Left out are tests that assert that only one job runs at a time; with one child they pass as well.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version

import pytest

from compat_tests import download, rq_suite

# Measured with real Redis, per rq release: tests that pass, those that RQ skips by itself, those below.
BASELINE = {'3.0.0': (781, 19)}

ONE_AT_A_TIME = {
    'tests.test_job_dependency.TestJobDependency::test_execution_order_with_sole_dependency': (
        'Two workers, and the order of four jobs says that each ran one at a time: a worker that runs four takes the '
        'dependent while the slow job is still running.'
    ),
    'tests.test_job_dependency.TestJobDependency::test_execution_order_with_dual_dependency': (
        'The same with a job that has two dependencies.'
    ),
    'tests.test_worker.TestWorker::test_dequeue_round_robin': (
        'The order in which 15 jobs began, by the clock of each process: they are taken in that order, but of four '
        'processes that get their job within milliseconds the second may be the first to run.'
    ),
}


def _run(arguments: list[str], children: int) -> rq_suite.Outcome:
    environment = {'PYTHONPATH': str(download.CHECKOUT), 'OUR_WORKER_CHILDREN': str(children)}
    return rq_suite.run('redis', ['-p', 'compat_tests.our_worker', *arguments], environment)


def begin_ahead() -> rq_suite.Outcome:
    """Run all of it but what is left out, four jobs at once."""
    return _run(['tests', *(f'--deselect={rq_suite.path_of(name)}' for name in ONE_AT_A_TIME)], 4)


@pytest.mark.timeout(2 * rq_suite.TIME_LIMIT)
def test_rqs_tests_pass_with_our_worker(
    ahead: Future[rq_suite.Outcome], tell: Callable[[str, tuple[str, ...]], None]
) -> None:
    first = ahead.result()
    settled = rq_suite.settle(first, lambda arguments: _run(arguments, 4))
    tell("RQ's own suite with our worker in the place of RQ's", settled.notes)

    assert not settled.failed, first.output[-20_000:]
    assert first.status == 0 or first.failed, first.output[-20_000:]
    if version('rq') in BASELINE:
        assert (len(settled.passed), len(first.skipped)) == BASELINE[version('rq')]


@pytest.mark.timeout(2 * rq_suite.TIME_LIMIT)
def test_what_was_left_out_passes_with_one_child() -> None:
    first = _run([rq_suite.path_of(name) for name in ONE_AT_A_TIME], 1)
    settled = rq_suite.settle(first, lambda arguments: _run(arguments, 1))

    assert settled.passed == set(ONE_AT_A_TIME), first.output[-20_000:]

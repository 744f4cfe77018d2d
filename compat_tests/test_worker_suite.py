"""RQ's own tests pass with the forking worker in the place of RQ's, four jobs at once.

Left out are tests that assert that only one job runs at a time; with one child they pass as well.
"""

from __future__ import annotations

from importlib.metadata import version

import pytest

from compat_tests import rq_suite

# Measured with real Redis, per rq release: tests that pass, those that RQ skips by itself, those below.
BASELINE = {'3.0.0': (782, 19)}

ONE_AT_A_TIME = {
    'tests.test_job_dependency.TestJobDependency::test_execution_order_with_sole_dependency': (
        'Two workers, and the order of four jobs says that each ran one at a time: a worker that runs four takes the '
        'dependent while the slow job is still running.'
    ),
    'tests.test_job_dependency.TestJobDependency::test_execution_order_with_dual_dependency': (
        'The same with a job that has two dependencies.'
    ),
}

# They sleep for a quarter of a second, and expect another process to have started a job meanwhile: on a busy machine
# they fail now and then with RQ's own worker, too. What failed gets two more chances, alone.
_CHANCES = 2


def _run(arguments: list[str], children: int, monkeypatch: pytest.MonkeyPatch) -> rq_suite.Outcome:
    monkeypatch.setenv('PYTHONPATH', str(rq_suite.CHECKOUT))
    monkeypatch.setenv('OUR_WORKER_CHILDREN', str(children))
    return rq_suite.run('redis', ['-p', 'compat_tests.our_worker', *arguments])


def _path(name: str) -> str:
    module, group, test = (*name.rpartition('::')[0].rpartition('.')[::2], name.rpartition('::')[2])
    return f'{module.replace(".", "/")}.py::{group}::{test}'


@pytest.mark.timeout(2 * rq_suite.TIME_LIMIT)
def test_rqs_tests_pass_with_our_worker(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    left_out = [f'--deselect={_path(name)}' for name in ONE_AT_A_TIME]
    first = _run(['tests', *left_out], 4, monkeypatch)
    passed, failed = first.passed, first.failed
    notes = [first.closing_line]
    for _ in range(_CHANCES):
        if failed:
            again = _run([_path(name) for name in sorted(failed)], 4, monkeypatch)
            notes.append(f'{len(failed)} again: {again.closing_line}')
            passed, failed = passed | again.passed, failed - again.passed
    report = request.config.pluginmanager.get_plugin('terminalreporter')
    if report is not None:
        report.section("RQ's own suite with our worker in the place of RQ's")
        for note in notes:
            report.write_line(note)

    assert not failed, first.output[-20_000:]
    if version('rq') in BASELINE:
        assert (len(passed), len(first.skipped)) == BASELINE[version('rq')]


@pytest.mark.timeout(rq_suite.TIME_LIMIT)
def test_what_was_left_out_passes_with_one_child(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = _run([_path(name) for name in ONE_AT_A_TIME], 1, monkeypatch)

    assert outcome.passed == set(ONE_AT_A_TIME), outcome.output[-20_000:]

"""Flask-RQ2, whose last release is of 2018: what works beside RQ 3, and what fails here as on a real server."""

from __future__ import annotations

import pytest

from compat_tests.tools.place import Place, need

APPLICATION = 'compat_tests.tools.flask_rq2_application'
WORK = f"""
from {APPLICATION} import add, app, rq
job = add.queue(20, 22)
with app.app_context():
    rq.get_worker().work(burst=True)
print(job.return_value())
"""


@pytest.fixture(autouse=True)
def _installed() -> None:
    need('flask_rq2')


def test_jobs_and_the_worker_that_it_makes(either: Place) -> None:
    assert either.run('python', '-c', WORK).stdout.endswith('\n42\n')
    told = either.run('flask', '--app', APPLICATION, 'rq', 'info', '--raw').stdout
    assert 'queue default 0, 0 executing, 1 finished, 0 failed' in told


def test_its_worker_command_is_too_old_for_rq_3(either: Place) -> None:
    refused = either.run('flask', '--app', APPLICATION, 'rq', 'worker', '--burst', code=1)
    assert "module 'rq.cli.cli' has no attribute 'worker'" in refused.stdout

"""Jobs in the style of Resque and DelayedJob, enqueued on a real Redis and run by RQ's own worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hooked_jobs import Phone, Report, noted, total
from plain_jobs import Counted, Device, Mail, add, fail

from compat_tests.real_redis import RealRedis
from rq_leveldb import Queue, resque
from rq_leveldb.delayed import delay
from tests.places import APPLICATIONS, ROOT

WITHOUT_US = "import sys; sys.modules['rq_leveldb'] = None; "
RQ = 'from rq.cli import main; main()'


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a new Redis, which is the default place."""
    with RealRedis() as server:
        monkeypatch.setenv('RQ_LEVELDB_URL', f'unix://{server.socket_path}')
        yield f'unix://{server.socket_path}'


def run_rq(program: str, url: str, *queues: str) -> None:
    """Run RQ's worker until the queues are empty."""
    subprocess.run(
        [sys.executable, '-c', program, 'worker', '--burst', '--quiet', '--url', url, *queues],
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(APPLICATIONS), str(ROOT)])},
        check=True,
        timeout=100,
    )


def test_plain_jobs_need_no_package_of_ours(url: str) -> None:
    jobs: list[Any] = [
        resque.enqueue(Mail, 'Ada', subject='Engines'),
        resque.enqueue(Counted, 3),
        delay(add)(2, 3),
        delay(Device).kinds(1),
        delay(Device('radio')).activate('Ada'),
    ]
    failing = delay(fail)()

    run_rq(WITHOUT_US + RQ, url, 'mail', 'default')

    assert [job.return_value() for job in jobs] == ['Engines to Ada', 5, 5, ['Device'], 'radio of Ada']
    assert failing.get_status() == 'scheduled'
    assert Queue().scheduled_job_registry.get_job_ids() == [failing.id]


def test_hooks_and_decorated_functions_run_where_our_package_is(url: str, tmp_path: Path) -> None:
    notes = tmp_path / 'notes'
    jobs: list[Any] = [resque.enqueue(Report, str(notes)), Phone('555').ring(1), total(1, 2)]
    failing: Any = resque.enqueue(Report, str(notes), 'fail')

    run_rq(RQ, url, 'reports', 'default', 'sums')

    assert [job.return_value() for job in jobs] == ['done', '555: ring', 3]
    assert failing.is_failed
    assert noted(notes)[-3:] == ['perform', 'a ends', 'on_failure ValueError: as expected']

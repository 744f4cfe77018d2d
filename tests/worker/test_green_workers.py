"""Jobs whose application is patched by gevent or eventlet; both are skipped where they are not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from rq import Queue
from rq.job import JobStatus

from tests.until import until
from tests.worker.support import Workers

_MODULES = {
    'gevent': """
from gevent import monkey; monkey.patch_all()
import gevent, time
def work():
    greenlets = [gevent.spawn(lambda: time.sleep(0.01)) for _ in range(5)]
    gevent.joinall(greenlets)
    return len(greenlets)
""",
    'eventlet': """
import eventlet; eventlet.monkey_patch()
import time
def work():
    return len(list(eventlet.GreenPool().imap(lambda number: time.sleep(0.01), range(5))))
""",
}


@pytest.mark.parametrize('kind', _MODULES)
@pytest.mark.parametrize('options', [[], ['--import', 'green_tasks']])
def test_jobs_of_a_patched_application(
    kind: str, options: list[str], workers: Workers, queue: Queue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec(kind) is None:
        pytest.skip(f'{kind} is not installed')
    (tmp_path / 'green_tasks.py').write_text(_MODULES[kind])
    worker = workers.start('--path', str(tmp_path), '--max-children', '2', *options)

    jobs = [queue.enqueue('green_tasks.work') for _ in range(4)]

    until(lambda: all(job.get_status() == JobStatus.FINISHED for job in jobs))
    assert [job.return_value() for job in jobs] == [5] * 4
    workers.stop(worker)
    assert worker.returncode == 0

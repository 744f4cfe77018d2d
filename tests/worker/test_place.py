"""The data directory goes while a worker works: it follows to what is at the path, and what it ran ends in peace."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import worker_jobs
from rq import Queue
from rq.job import JobStatus

from tests.until import until
from tests.worker.support import Workers, is_running


def move(path: Path) -> None:
    path.rename(path.with_name('moved'))


def restore_backup(path: Path) -> None:
    backup = path.with_name('backup')
    shutil.copytree(path, backup, ignore=shutil.ignore_patterns('*.sock', '*.lock'))
    backup.chmod(0o700)
    move(path)
    backup.rename(path)


@pytest.mark.parametrize('change', [move, restore_backup, shutil.rmtree])
def test_a_worker_works_on_what_is_there(
    change: Callable[[Path], None], workers: Workers, queue: Queue, store_dir: Path, tmp_path: Path
) -> None:
    log, gate = tmp_path / 'log', tmp_path / 'gate'
    worker = workers.launch('--max-children', '2', log=log)
    until(workers.state)
    queue.enqueue(worker_jobs.wait_for, str(gate), str(tmp_path / 'started'))
    until((tmp_path / 'started').exists)

    store = queue.connection.info('server')['process_id']
    change(store_dir)
    until(lambda: not is_running(store))
    job = queue.enqueue(worker_jobs.nothing)
    until(lambda: job.get_status() == JobStatus.FINISHED)
    gate.touch()
    # It is registered there, as one that lives.
    until(lambda: workers.state() in ('idle', 'busy'))
    assert worker.poll() is None
    until(lambda: workers.state() == 'idle')
    assert 'Traceback' not in log.read_text(), log.read_text()
    workers.stop(worker)
    assert worker.returncode == 0, log.read_text()

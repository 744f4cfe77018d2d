"""`--reload`: edited code is loaded again, running jobs end with the old one, and broken code ends nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from rq import Queue
from rq.job import JobStatus

from rq_leveldb.worker import Settings, Worker
from tests.until import until
from tests.worker.support import Workers, family

_CODE = """
import os, pathlib, time

VERSION = {version!r}

def version():
    return VERSION

def wait_for(gate, started):
    pathlib.Path(started).touch()
    while not os.path.exists(gate):
        time.sleep(0.01)
    return VERSION
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a module that workers can import."""
    folder = tmp_path / 'source'
    folder.mkdir()
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(folder), os.environ.get('PYTHONPATH', '')]))
    # Files that are compiled twice in a second could be taken for unchanged.
    monkeypatch.setenv('PYTHONDONTWRITEBYTECODE', '1')
    path = folder / 'edited_often.py'
    path.write_text(_CODE.format(version='first'))
    return path


def launch(workers: Workers, log: Path) -> subprocess.Popen[str]:
    worker = workers.launch('--max-children', '2', '--import', 'edited_often', '--reload', log=log)
    until(lambda: workers.state() == 'idle')
    return worker


def result(queue: Queue, function: str = 'edited_often.version', *args: Any) -> Any:
    job = queue.enqueue(function, *args)
    until(lambda: job.get_status() == JobStatus.FINISHED)
    return job.return_value()


def test_the_next_job_runs_the_edited_code_and_a_running_one_ends_with_the_old(
    workers: Workers, queue: Queue, module: Path, tmp_path: Path
) -> None:
    log, gate, started = tmp_path / 'log', tmp_path / 'gate', tmp_path / 'started'
    worker = launch(workers, log)
    running = queue.enqueue('edited_often.wait_for', str(gate), str(started))
    until(started.exists)
    assert result(queue) == 'first'

    module.write_text(_CODE.format(version='second'))
    until(lambda: 'loaded the edited code' in log.read_text())
    assert result(queue) == 'second'
    assert running.get_status() == JobStatus.STARTED

    gate.touch()
    until(lambda: running.get_status() == JobStatus.FINISHED)
    assert running.return_value() == 'first'
    # What forked the old code ends with its last job: the new one, its watcher and the waiting children are left.
    until(lambda: len(psutil.Process(worker.pid).children()) == 1)
    workers.stop(worker)
    assert worker.returncode == 0


def test_broken_code_is_said_and_the_old_code_goes_on(
    workers: Workers, queue: Queue, module: Path, tmp_path: Path
) -> None:
    log = tmp_path / 'log'
    worker = launch(workers, log)

    module.write_text('def version(:\n')
    until(lambda: 'jobs run the old code until it is edited again' in log.read_text())
    assert 'edited_often.py, line 1' in log.read_text()
    assert result(queue) == 'first'

    # With the old code gone, jobs wait for code that can be loaded.
    next(process for process in family(worker.pid) if process.ppid() == worker.pid).kill()
    until(lambda: 'jobs wait until it can' in log.read_text())
    waiting = queue.enqueue('edited_often.version')
    module.write_text(_CODE.format(version='mended'))
    until(lambda: waiting.get_status() == JobStatus.FINISHED)
    assert waiting.return_value() == 'mended'
    workers.stop(worker)
    assert worker.returncode == 0


def test_without_its_package_there_is_a_sentence(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)

    with pytest.raises(ValueError, match=r'watchfiles.*pip install .rq-leveldb\[reload\]'):
        Worker([queue], connection=queue.connection, settings=Settings(reload=True))

"""Code that changed after it was imported for all jobs is noticed, and said once."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path

import pytest
from rq import Queue
from rq.job import JobStatus

from rq_leveldb.worker.stale_code import StaleCode
from tests.until import until
from tests.worker.support import Workers


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file of a module that was imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / 'edited_application.py'
    path.write_text('def answer():\n    return 1\n')
    importlib.import_module('edited_application')
    monkeypatch.delitem(sys.modules, 'edited_application', raising=False)
    importlib.import_module('edited_application')
    return path


def test_an_edit_is_said_once(module: Path) -> None:
    said: list[list[str]] = []
    stale = StaleCode(said.append, interval=0)
    stale.look()
    assert said == []

    module.write_text('def answer():\n    return 20\n')
    stale.look()
    module.write_text('def answer():\n    return 300\n')
    stale.look()

    assert said == [[str(module)]]


def test_a_module_that_was_imported_later_counts_too(module: Path, tmp_path: Path) -> None:
    said: list[list[str]] = []
    stale = StaleCode(said.append, interval=0)
    late = tmp_path / 'late_application.py'
    late.write_text('')
    importlib.import_module('late_application')
    stale.look()

    os.utime(late, (1, 1))
    stale.look()

    assert said == [[str(late)]]


def test_a_file_that_is_being_replaced_says_nothing_yet(module: Path) -> None:
    said: list[list[str]] = []
    stale = StaleCode(said.append, interval=0)
    text = module.read_text()
    module.unlink()
    stale.look()
    assert said == []

    module.write_text(text + '# edited\n')
    stale.look()

    assert said == [[str(module)]]


def test_what_is_installed_is_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    library = tmp_path / 'site-packages' / 'installed_library.py'
    library.parent.mkdir()
    library.write_text('')
    monkeypatch.syspath_prepend(str(library.parent))
    importlib.import_module('installed_library')
    stale = StaleCode(said.append, interval=0)

    os.utime(library, (1, 1))
    stale.look()

    assert said == []


def test_files_are_looked_at_once_in_a_while_only(module: Path) -> None:
    said: list[list[str]] = []
    stale = StaleCode(said.append, interval=1000)
    stale.look()
    os.utime(module, (1, 1))

    stale.look()

    assert said == []


def test_a_worker_says_that_it_runs_old_code(
    workers: Workers, queue: Queue, module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(module.parent), os.environ.get('PYTHONPATH', '')]))
    worker = workers.start('--max-children', '1', '--import', 'edited_application')
    first = queue.enqueue('edited_application.answer')
    until(lambda: first.get_status() == JobStatus.FINISHED)

    module.write_text('def answer():\n    return 20\n')
    output = ''
    assert worker.stdout is not None
    os.set_blocking(worker.stdout.fileno(), False)

    def said() -> bool:
        # The files are looked at when a child is forked, every few seconds.
        nonlocal output
        job = queue.enqueue('edited_application.answer')
        until(lambda: job.get_status() == JobStatus.FINISHED)
        assert job.return_value() == 1
        with contextlib.suppress(BlockingIOError):
            output += os.read(worker.stdout.fileno(), 1 << 16).decode()
        return 'edited_application.py changed' in output

    until(said)

    output += workers.stop(worker)
    assert output.count('edited_application.py changed') == 1

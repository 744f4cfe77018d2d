"""The command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from rq_leveldb.cli.main import main
from tests.cli.support import Call


@pytest.fixture
def call(store_dir: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return what runs a command on the test's store, and returns its exit code and what it printed."""

    def run(*arguments: str) -> tuple[int, str]:
        capfd.readouterr()
        code = main([*arguments, '--url', f'leveldb://{store_dir}'])
        shown = capfd.readouterr()
        return code, shown.out + shown.err

    return run

"""Commands without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb.store.commands.table import all_commands
from tests.store.direct import Direct


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    """Return the commands on a new database."""
    commands = Direct(tmp_path / 'leveldb', all_commands())
    yield commands
    commands.close()

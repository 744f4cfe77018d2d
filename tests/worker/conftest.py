"""A store, a queue and workers for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from worker_support import Workers


@pytest.fixture
def queue(redis: Any) -> Queue:
    """Return the queue named default."""
    return Queue(connection=redis)


@pytest.fixture
def workers(redis: Any, store_dir: Path) -> Iterator[Workers]:
    """Return what starts workers on the test's store."""
    started = Workers(f'leveldb://{store_dir}', redis)
    yield started
    started.close()

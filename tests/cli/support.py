"""Jobs in every state for the tests of the command line, without running them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rq import Queue, SimpleWorker

Call = Callable[..., tuple[int, str]]
"""What the fixture `call` returns."""


def work(redis: Any, *names: str) -> None:
    """Run all jobs of queues in this process."""
    SimpleWorker([Queue(name, connection=redis) for name in names], connection=redis).work(burst=True)


def fields(text: str) -> dict[str, str]:
    """Return what a command printed as names and values."""
    rows = (re.sub(' {2,}', '\t', line).partition('\t') for line in text.splitlines())
    return {name: value for name, _, value in rows}

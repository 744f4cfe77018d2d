"""Jobs in every state for the tests of the command line, without running them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from rq import Queue, SimpleWorker

from rq_leveldb.process import identify
from rq_leveldb.worker.liveness import identity_fields

Call = Callable[..., tuple[int, str]]
"""What the fixture `call` returns."""


def work(redis: Any, *names: str) -> None:
    """Run all jobs of queues in this process."""
    SimpleWorker([Queue(name, connection=redis) for name in names], connection=redis).work(burst=True)


def fields(text: str) -> dict[str, str]:
    """Return what a command printed as names and values."""
    rows = (re.sub(' {2,}', '\t', line).partition('\t') for line in text.splitlines())
    return {name: value for name, _, value in rows}


def add_worker(redis: Any, name: str, **fields: Any) -> None:
    """Register a worker of this process that serves the queue `mail`."""
    own = identity_fields(identify(os.getpid()))
    redis.hset(f'rq:worker:{name}', mapping={'birth': 'now', 'queues': 'mail', 'pid': os.getpid(), **own, **fields})
    redis.sadd('rq:workers', f'rq:worker:{name}')

"""What the tests of the client share: the process of a store, and its death."""

from __future__ import annotations

import os
import signal

from rq_leveldb import Redis, process
from rq_leveldb.client import autostart


def pid_of(client: Redis) -> int:
    return int(client.info('server')['process_id'])


def kill(client: Redis) -> None:
    """Kill the store of a client, and wait until it has ended."""
    pid = pid_of(client)
    identity = process.identify(pid)
    os.kill(pid, signal.SIGKILL)
    assert autostart._ends(identity, 10)

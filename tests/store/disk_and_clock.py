"""A disk that runs full when the clock was set back; to be run in a mount namespace.

`python -m tests.store.disk_and_clock MOUNT-POINT`
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis

from tests.store.crashing import PATIENCE, Store
from tests.worker.jumping_clock import HOURS, JumpingClock


def writes(client: redis.Redis) -> bool:
    try:
        client.set('key', bytes(10_000))
    except redis.ResponseError as error:
        if 'almost full' in str(error):
            return False
        raise
    return True


mount = Path(sys.argv[1])
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=120m,mode=0700', 'tmpfs', str(mount)], check=True)
filler = mount / 'filler'
with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
    clock = JumpingClock(Path(name), patch)
    store = Store(mount / 'jobs', 'everysec')
    store.start()
    with store.client() as client:
        client.set('key', 'value')
        clock.set(-24 * HOURS)
        filler.write_bytes(bytes(110 << 20))
        deadline = time.monotonic() + PATIENCE
        while writes(client):
            assert time.monotonic() < deadline, 'the disk is not looked at'
        clock.set(-48 * HOURS)
        filler.unlink()
        while not writes(client):
            assert time.monotonic() < deadline, 'the store does not go on'
    store.kill()

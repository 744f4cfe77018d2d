"""A store whose file system is taken away; `python -m tests.store.lost_mount MOUNT-POINT`, in a mount namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.store.crashing import Store


def mount(*arguments: str) -> None:
    subprocess.run(['mount', *arguments, str(place)], check=True)


place = Path(sys.argv[1])
mount('-t', 'tmpfs', '-o', 'size=200m,mode=0700', 'tmpfs')
store = Store(place / 'jobs', 'everysec')
store.start()
with store.client() as client:
    client.set('key', 'first')
subprocess.run(['umount', '--lazy', str(place)], check=True)
assert store.ended() == 1
mount('-t', 'tmpfs', '-o', 'size=200m,mode=0700', 'tmpfs')
store.start()
with store.client() as client:
    assert client.get('key') is None
    client.set('key', 'second')
# One file system upon the other.
mount('-t', 'tmpfs', '-o', 'size=200m,mode=0700', 'tmpfs')
assert store.ended() == 1
subprocess.run(['umount', str(place)], check=True)
store.start()
with store.client() as client:
    assert client.get('key') == b'second'
store.kill()

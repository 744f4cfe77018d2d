"""A data directory on a read-only file system; to be run in a mount namespace.

`python -m tests.store.read_only MOUNT-POINT`
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rq_leveldb import Redis, StoreError
from tests.store.crashing import Store


def mount(*arguments: str) -> None:
    subprocess.run(['mount', *arguments, str(place)], check=True)


def said(*arguments: str) -> str:
    """Run what cannot work there and return its words."""
    done = subprocess.run([sys.executable, '-m', 'rq_leveldb', *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, (arguments, done)
    assert 'Traceback' not in done.stderr, done.stderr
    return done.stderr


place = Path(sys.argv[1])
directory = place / 'jobs'
url = f'leveldb://{directory}'
mount('-t', 'tmpfs', '-o', 'size=200m,mode=0700', 'tmpfs')
store = Store(directory, 'everysec')
store.start()
with store.client() as client:
    client.set('key', 'value')
store.kill()
files = {path: path.stat().st_mtime_ns for path in place.rglob('*')}
mount('-o', 'remount,ro')
for command in (['store', '--dir', str(directory)], ['worker', '--burst', '--no-http', '--url', url]):
    words = said(*command)
    assert 'The data directory cannot be written (Read-only file system)' in words, words
    assert 'mount its file system for writing' in words, words
assert 'Read-only file system' in said('check', '--url', url)
assert 'Read-only file system' in said('store', '--dir', str(place / 'new'))
with pytest.raises(StoreError, match='Read-only file system'):
    Redis.from_url(url).get('key')
assert {path: path.stat().st_mtime_ns for path in place.rglob('*')} == files
mount('-o', 'remount,rw')
with Redis.from_url(url) as client:
    assert client.get('key') == b'value'
    client.shutdown()

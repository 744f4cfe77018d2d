"""The client in a process whose ways of waiting were taken away or replaced, as eventlet and gevent do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
{patch}
import threading
from rq import Queue
from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from pathlib import Path
path = sys.argv[1]
client = Redis.from_url(f'leveldb://{{path}}')
queue = Queue(connection=client)
queue.enqueue('operator.add', 1, 2)
found = []
waiter = threading.Thread(target=lambda: found.append(client.blpop('answers', 20)))
waiter.start()
client.rpush('answers', 'yes')
waiter.join()
# A store that has gone is noticed before anything is sent, and another is started.
assert autostart.stop(DataDirectory(Path(path)))
queue.enqueue('operator.add', 1, 2)
print(queue.count, found)
"""
PATCHES = {
    'nothing': '',
    'no select.poll': """
import select
for name in ('poll', 'epoll'):
    if hasattr(select, name):
        delattr(select, name)
""",
    'eventlet': 'import eventlet; eventlet.monkey_patch()',
    'gevent': 'from gevent import monkey; monkey.patch_all()',
}


@pytest.mark.parametrize('patch', PATCHES)
def test_enqueueing_works(patch: str, store_dir: Path) -> None:
    if patch in ('eventlet', 'gevent') and importlib.util.find_spec(patch) is None:
        pytest.skip(f'{patch} is not installed')
    ended = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', SCRIPT.format(patch=PATCHES[patch]), store_dir],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "2 [(b'answers', b'yes')]\n", ended.stderr

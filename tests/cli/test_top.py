"""rq-leveldb top, and colour, as a terminal sees them."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rq import Queue

from rq_leveldb import Redis
from tests.cli.support import Call, add_worker
from tests.until import until

_COLOUR = re.compile(rb'\x1b\[[0-9;]*3[0-7]m')


class Screen:
    """What a program has written to its terminal."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self.text = b''

    def shows(self, text: bytes) -> bool:
        if text not in self.text:
            try:
                self.text += os.read(self._terminal, 1 << 16)
            except OSError:
                # The program has ended.
                return text in self.text
        return text in self.text


@contextmanager
def on_a_terminal(url: str, *arguments: str, **environ: str) -> Iterator[tuple[Screen, subprocess.Popen[bytes]]]:
    """Run a command on a terminal of its own."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 40, 160, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != 'NO_COLOR'}
    with subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        env={**environment, 'TERM': 'xterm', 'RQ_LEVELDB_URL': url, **environ},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        try:
            yield Screen(ours), process
        finally:
            process.kill()
            os.close(ours)


def test_it_follows_what_happens(redis: Any, store_dir: Path) -> None:
    queue = Queue('mail', connection=redis)
    queue.enqueue('cli_jobs.add', 1, 2, job_id='runs')
    redis.hset('rq:job:runs', mapping={'status': 'started', 'worker_name': 'lives'})
    redis.zadd('rq:wip:mail', {'runs:1': 9e9})
    add_worker(redis, 'lives', max_children=4)
    with on_a_terminal(f'leveldb://{store_dir}', 'top', '-i', '0.2') as (screen, process):
        until(lambda: screen.shows(b'cli_jobs.add(1, 2)'))
        assert screen.shows(b'lives')
        Queue('another', connection=redis).enqueue('cli_jobs.add')
        until(lambda: screen.shows(b'another'))
        until(lambda: screen.shows(b'finished/s'))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not screen.shows(b'Traceback')


def test_in_a_pipe_it_is_shown_once(redis: Redis, call: Call) -> None:
    Queue('mail', connection=redis).enqueue('cli_jobs.add')
    add_worker(redis, 'died', started='1')
    code, text = call('top')
    assert code == 0
    assert re.search(r'^ *mail +1 ', text, re.MULTILINE)
    assert 'died (died)' in text
    assert '\x1b' not in text
    shown = json.loads(call('top', '--json')[1])
    assert shown['queues'][0]['queued'] == 1
    assert shown['queues'][0]['workers'] == 0
    assert shown['workers'][0]['is_dead'] is True


def test_colour_and_none(redis: Redis, store_dir: Path) -> None:
    Queue('mail', connection=redis).enqueue('cli_jobs.add')
    url = f'leveldb://{store_dir}'
    for arguments in (['status'], ['enqueue', 'cli_jobs.ad'], ['doctor'], ['job', 'gone']):
        with on_a_terminal(url, *arguments) as (screen, process):
            process.wait(30)
            assert not screen.shows(b'never'), arguments
            assert _COLOUR.search(screen.text), arguments
        with on_a_terminal(url, *arguments, NO_COLOR='1') as (screen, process):
            process.wait(30)
            assert not screen.shows(b'never'), arguments
            assert screen.text
            assert not _COLOUR.search(screen.text), arguments

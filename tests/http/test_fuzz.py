"""Whatever is sent, what comes back is a sound answer; never 500, and the service goes on."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.nonsense import REQUESTS, mutate
from tests.http.support import TOKEN, FrontProcess

HERE = Path(__file__).parent
EXAMPLES = os.environ.get('RQ_LEVELDB_TEST_EXAMPLES', '10')


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(start_front: Callable[..., FrontProcess], tmp_path: Path) -> None:
    front = start_front('--allow', '**', RQ_LEVELDB_HTTP_MAX_WAIT='1')
    program = shutil.which('schemathesis', path=str(Path(sys.executable).parent)) or 'schemathesis'
    report = subprocess.run(
        [
            *(program, '--config-file', str(HERE / 'schemathesis.toml'), 'run', f'{front.url}/openapi.json'),
            *('--header', f'Authorization: Bearer {TOKEN}', '--max-examples', EXAMPLES, '--workers', '1'),
            # A stream has no end.
            *('--exclude-path', '/v1/events'),
        ],
        env={**os.environ, 'SCHEMATHESIS_HOOKS': 'schemathesis_hooks', 'PYTHONPATH': str(HERE)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert report.returncode == 0, report.stdout[-8000:] + report.stderr[-2000:]
    assert front.stop() == ''


def exchange(port: int, data: bytes) -> bytes:
    """Send bytes, say that there are no more, and return all that comes back."""
    received = b''
    with socket.create_connection(('127.0.0.1', port), timeout=20) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
        except (BrokenPipeError, ConnectionResetError):
            # It may hang up on what it does not want to read.
            pass
    return received


def test_no_bytes_break_it(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front()
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for number in range(400):
        data = mutate(chance, chance.choice(REQUESTS))
        answer = exchange(front.port, data)
        assert b'HTTP/1.1 500' not in answer, (seed, number, data[:500], answer[:500])
        assert b'Traceback' not in answer, (seed, number, data[:500], answer[:500])
        assert not answer or answer.startswith(b'HTTP/1.'), (seed, number, data[:500], answer[:500])
    assert exchange(front.port, REQUESTS[0]).startswith(b'HTTP/1.1 200')
    assert 'Traceback' not in front.stop(), seed


def test_a_client_that_says_nothing_keeps_nobody_out(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front('--threads', '2')
    idle = [socket.create_connection(('127.0.0.1', front.port)) for _ in range(20)]
    try:
        assert exchange(front.port, REQUESTS[0]).startswith(b'HTTP/1.1 200')
    finally:
        for client in idle:
            client.close()

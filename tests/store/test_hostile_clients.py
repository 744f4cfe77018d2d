"""One client cannot make the store's memory grow far beyond what it sent, nor keep others waiting."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb import Redis
from tests.places import ROOT

PIECE = 1 << 18


def resident(redis: Redis) -> int:
    return int(redis.info('memory')['used_memory_rss'])


@contextlib.contextmanager
def client(directory: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(directory / 'store.sock'))
        yield sock


@pytest.mark.parametrize(
    'data',
    [
        pytest.param(b'PING\r\n' * 2_000_000, id='typed'),
        pytest.param(b'*1\r\n$4\r\nPING\r\n' * 1_000_000, id='packed'),
        pytest.param(b'MULTI\r\n' + b'PING\r\n' * 2_000_000, id='transaction'),
        pytest.param(b'*2\r\n$3\r\nGET\r\n$1\r\nk\r\n' * 600_000, id='large replies'),
        pytest.param(b'*2000000\r\n' + b'$0\r\n\r\n' * 1_999_999, id='empty arguments'),
        pytest.param((b'ECHO' + b' ab' * 20_000 + b'\r\n') * 200, id='many words'),
    ],
)
def test_a_pipeline_whose_replies_nobody_reads_needs_the_memory_of_its_bytes(
    redis: Redis, store_dir: Path, data: bytes
) -> None:
    redis.set('k', 'v' * 10_000)
    before = resident(redis)
    with client(store_dir) as sock:
        for start in range(0, len(data), PIECE):
            sock.sendall(data[start : start + PIECE])
            assert redis.ping()
        assert resident(redis) - before < len(data) + (48 << 20)


def test_what_was_sent_ahead_is_executed_in_its_order_once_its_replies_are_read(redis: Redis, store_dir: Path) -> None:
    redis.set('large', 'v' * 100_000)
    count = 20_000
    with client(store_dir) as sock:
        # The first replies fill the socket; all else waits as bytes, the last commands in tiny pieces.
        sock.sendall(b'GET large\r\n' * 100)
        sock.sendall(b''.join(b'*3\r\n$5\r\nRPUSH\r\n$1\r\nl\r\n$5\r\n%05d\r\n' % number for number in range(count)))
        for byte in b'LLEN l\r\n':
            sock.sendall(bytes((byte,)))
        assert redis.llen('l') == 0
        reader = sock.makefile('rb')
        for _ in range(100):
            assert len(reader.read(len(b'$100000\r\n') + 100_002)) == 100_011
        assert [int(reader.readline()[1:]) for _ in range(count)] == list(range(1, count + 1))
        assert reader.readline() == b':%d\r\n' % count
    assert redis.lrange('l', 0, -1) == [b'%05d' % number for number in range(count)]


def test_a_transaction_may_not_need_more_memory_than_fits(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    before = resident(redis)
    line = b'DEL' + b' a' * 30_000 + b'\r\n'
    replies = []
    with client(store_dir) as sock:
        reader = sock.makefile('rb')
        sock.sendall(b'MULTI\r\n')
        replies.append(reader.readline())
        while replies[-1].startswith(b'+'):
            sock.sendall(line * 10)
            replies += [reader.readline() for _ in range(10)]
        assert resident(redis) - before < 256 << 20
        sock.sendall(b'EXEC\r\nPING\r\n')
        assert reader.readline().startswith(b'-EXECABORT')
        assert reader.readline() == b'+PONG\r\n'
    assert any(b'too many commands in a transaction' in reply for reply in replies)


@pytest.mark.parametrize(
    'data',
    [
        pytest.param(b'*2\r\n$4\r\nECHO\r\n$500000000\r\n' + bytes(80 << 20), id='a value that does not end'),
        pytest.param(
            b'MULTI\r\n' + (b'*2\r\n$4\r\nECHO\r\n$%d\r\n' % PIECE + bytes(PIECE) + b'\r\n') * 300, id='a queue'
        ),
        pytest.param(b'GET large\r\n' * 100 + b'PING\r\n' * (12 << 20), id='commands that wait'),
    ],
)
def test_what_a_client_sent_that_has_gone_takes_no_memory(redis: Redis, store_dir: Path, data: bytes) -> None:
    redis.set('large', bytes(1 << 20))
    before = resident(redis)
    for _ in range(4):
        with client(store_dir) as sock:
            sock.sendall(data)
            while resident(redis) - before < 60 << 20:
                pass
        while len(redis.client_list()) > 1:
            pass
    # The system's allocator keeps some of it.
    assert resident(redis) - before < 160 << 20


@pytest.mark.parametrize('command', [b'SUBSCRIBE channel', b'PSUBSCRIBE *', b'SSUBSCRIBE channel', b'MONITOR'])
def test_who_listens_and_never_reads_is_disconnected_before_its_messages_take_much_memory(
    redis: Redis, store_dir: Path, command: bytes
) -> None:
    payload = os.urandom(1 << 20)
    redis.set('key', payload)
    most = before = resident(redis)
    publish = redis.spublish if command.startswith(b'SS') else redis.publish
    with contextlib.ExitStack() as crowd:
        for _ in range(4):
            sock = crowd.enter_context(client(store_dir))
            sock.sendall(command + b'\r\n')
            assert sock.recv(4)
        assert len(redis.client_list()) == 5
        for _ in range(100):
            # Who waits meanwhile is answered, and what is told to those who do not read is told to them alone.
            publish('channel', payload)
            assert redis.get('key') == payload
            most = max(most, resident(redis))
        while len(redis.client_list()) > 1:
            pass
    assert most - before < 220 << 20


def test_nonsense_harms_nobody() -> None:
    """For some seconds; for longer by hand, see fuzz_resp.py."""
    program = [sys.executable, '-m', 'tests.store.fuzz_resp', '8']
    done = subprocess.run(
        program,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]


@pytest.mark.parametrize(('command', 'most'), [(b'SUBSCRIBE', 560), (b'SSUBSCRIBE', 560), (b'WATCH', 400)])
def test_a_name_that_a_client_listens_to_or_watches_needs_little_memory(
    redis: Redis, store_dir: Path, command: bytes, most: int
) -> None:
    count = 300_000
    names = [b'%010d' % number for number in range(count)]
    redis.mget(names)  # what so many arguments need is there already
    before = resident(redis)
    with client(store_dir) as sock:
        sock.sendall(b'*%d\r\n$%d\r\n%s\r\n' % (count + 1, len(command), command))
        sock.sendall(b''.join(b'$10\r\n%s\r\n' % name for name in names))
        reader = sock.makefile('rb')
        if command == b'WATCH':
            assert reader.readline() == b'+OK\r\n'
        else:
            for line in reader:
                if line == b':%d\r\n' % count:
                    break
        assert (resident(redis) - before) / count < most

"""The store as a process: who may connect, how it waits, sends and stops."""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import Redis
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory


def raw(directory: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(directory / 'store.sock'))
    return sock


def pid_of(redis: Redis) -> int:
    return int(redis.info('server')['process_id'])


def wait_until_gone(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    # Not our child, so it cannot be waited for: a pidfd becomes readable when its process ends.
    assert select.select([descriptor], [], [], 20)[0], 'the store did not stop'
    os.close(descriptor)


def test_only_its_owner_can_reach_it(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    assert stat.S_IMODE(store_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((store_dir / 'store.sock').stat().st_mode) == 0o600


def test_it_has_no_terminal_and_outlives_the_signals_of_its_starter(redis: Redis) -> None:
    pid = pid_of(redis)
    assert os.getsid(pid) != os.getsid(0)
    assert os.getpgid(pid) != os.getpgid(0)


def test_sigterm_stops_it_and_the_next_command_starts_another(redis: Redis) -> None:
    redis.set('k', 'v')
    pid = pid_of(redis)
    os.kill(pid, signal.SIGTERM)
    wait_until_gone(pid)
    assert redis.get('k') == b'v'
    assert pid_of(redis) != pid


def test_kill_9_loses_nothing_and_needs_nobody(redis: Redis) -> None:
    redis.set('k', 'v')
    pid = pid_of(redis)
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert redis.get('k') == b'v'


def test_shutdown_answers_what_arrived_before_it(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    pid = pid_of(redis)
    with raw(store_dir) as one, raw(store_dir) as other:
        one.sendall(b'SET a 1\r\nGET a\r\n')
        other.sendall(b'SHUTDOWN\r\n')
        assert one.recv(100).startswith(b'+OK')
    wait_until_gone(pid)
    assert redis.get('a') == b'1'


def test_it_exits_when_nobody_is_connected(store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}?idle=0.2') as client:
        pid = pid_of(client)
        held = os.pidfd_open(pid)
    assert select.select([held], [], [], 20)[0]
    os.close(held)
    assert autostart.running_store(DataDirectory(store_dir)) is None


def test_a_second_store_on_the_directory_is_refused(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    done = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(store_dir)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 3
    assert str(store_dir) in done.stderr
    assert 'Traceback' not in done.stderr


def test_client_list_tells_what_each_client_did_last(redis: Redis, store_dir: Path) -> None:
    with Redis.from_url(f'leveldb://{store_dir}', single_connection_client=True) as other:
        other.client_setname('other')
        number = other.client_id()
        assert other.client_info()['cmd'] == 'client|info'
        other.object('encoding', 'nope')
        assert [entry['cmd'] for entry in redis.client_list(client_id=[number])] == ['object|encoding']
        other.get('nope')
        assert [entry['cmd'] for entry in redis.client_list(client_id=[number])] == ['get']


def test_a_transaction_that_saw_another_change_is_not_executed(redis: Redis) -> None:
    redis.set('balance', 1)
    with redis.pipeline() as pipe:
        pipe.watch('balance')
        redis.set('balance', 2)
        pipe.multi()
        pipe.set('balance', 3)
        with pytest.raises(redis_py.WatchError):
            pipe.execute()
    assert redis.get('balance') == b'2'


def test_a_watched_key_that_expires_spoils_the_transaction(redis: Redis) -> None:
    redis.set('k', 1, px=30)
    with redis.pipeline() as pipe:
        pipe.watch('k')
        deadline = time.monotonic() + 10
        while redis.exists('k'):
            assert time.monotonic() < deadline
        pipe.multi()
        pipe.set('k', 2)
        with pytest.raises(redis_py.WatchError):
            pipe.execute()


def test_a_failed_command_inside_a_transaction_does_not_stop_the_others(redis: Redis) -> None:
    redis.set('s', 'x')
    pipe = redis.pipeline()
    pipe.set('a', 1)
    pipe.hset('s', 'f', 'v')
    pipe.set('b', 2)
    first, second, third = pipe.execute(raise_on_error=False)
    assert (first, third) == (True, True)
    assert 'WRONGTYPE' in str(second)
    assert redis.mget('a', 'b') == [b'1', b'2']


def test_who_waits_longest_is_served_first(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    waiting = [raw(store_dir) for _ in range(5)]
    for number, sock in enumerate(waiting):
        sock.sendall(b'BLPOP queue 0\r\n')
        while redis.info('clients')['blocked_clients'] != number + 1:
            pass
    for number in range(5):
        redis.rpush('queue', f'job{number}')
    for number, sock in enumerate(waiting):
        assert sock.recv(100) == b'*2\r\n$5\r\nqueue\r\n$4\r\njob%d\r\n' % number
        sock.close()


def test_a_client_that_left_while_waiting_takes_nothing_along(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    sock = raw(store_dir)
    sock.sendall(b'BLPOP queue 0\r\n')
    while redis.info('clients')['blocked_clients'] != 1:
        pass
    sock.close()
    while redis.info('clients')['blocked_clients'] != 0:
        pass
    redis.rpush('queue', 'job')
    assert redis.llen('queue') == 1


def close(sock: socket.socket) -> None:
    sock.close()


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


def send_more_and_close(sock: socket.socket) -> None:
    sock.sendall(b'PING\r\n')
    sock.close()


@pytest.mark.parametrize('end', [close, half_close, send_more_and_close])
@pytest.mark.parametrize(
    ('waiting', 'push', 'left'),
    [
        (b'BLPOP queue 0', ('RPUSH', 'queue', 'job'), ('LLEN', 'queue')),
        (b'BLMOVE queue other LEFT RIGHT 0', ('RPUSH', 'queue', 'job'), ('LLEN', 'queue')),
        (b'BZPOPMIN set 0', ('ZADD', 'set', '1', 'job'), ('ZCARD', 'set')),
        (b'XREADGROUP GROUP g c BLOCK 0 STREAMS stream >', ('XADD', 'stream', '*', 'a', '1'), ('XLEN', 'stream')),
    ],
    ids=lambda value: value[0].decode() if isinstance(value, list) else None,
)
def test_a_client_that_left_after_the_push_and_before_the_store_saw_either_takes_nothing_along(
    redis: Redis,
    store_dir: Path,
    end: Callable[[socket.socket], None],
    waiting: bytes,
    push: tuple[str, ...],
    left: tuple[str, ...],
) -> None:
    redis.xgroup_create('stream', 'g', mkstream=True)
    with raw(store_dir) as sock, raw(store_dir) as other:
        sock.sendall(waiting + b'\r\n')
        while redis.info('clients')['blocked_clients'] != 1:
            pass
        pid = pid_of(redis)
        os.kill(pid, signal.SIGSTOP)
        try:
            # Both are there when the store goes on; it hears of them in this order.
            other.sendall(' '.join(push).encode() + b'\r\n')
            end(sock)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert other.recv(100)
        while redis.info('clients')['blocked_clients'] != 0:
            pass
    assert redis.execute_command(*left) == 1
    assert not [group for group in redis.xinfo_groups('stream') if group['pending']]


def test_a_client_that_was_killed_while_waiting_takes_nothing_along(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    with raw(store_dir) as sock:
        sock.sendall(b'CLIENT ID\r\nBLPOP queue 0\r\n')
        number = int(sock.recv(100)[1:])
        while redis.info('clients')['blocked_clients'] != 1:
            pass
        # One transaction, so that the store cannot see the end in between.
        with redis.pipeline() as pipeline:
            pipeline.client_kill_filter(_id=str(number)).rpush('queue', 'job')
            pipeline.execute()
        assert sock.recv(100) == b''
    assert redis.lrange('queue', 0, -1) == [b'job']


@pytest.mark.parametrize('fsync', ['everysec', 'always'])
@pytest.mark.parametrize('last', ['SET b 2', 'BLPOP queue 0', 'LRANGE list 0 -1'])
def test_what_was_sent_before_the_end_is_answered(store_dir: Path, fsync: str, last: str) -> None:
    with Redis.from_url(f'leveldb://{store_dir}?fsync={fsync}') as redis:
        redis.rpush('list', *['element'] * 100_000)
        with raw(store_dir) as sock:
            sock.sendall(f'SET a 1\r\n{last}\r\n'.encode())
            sock.shutdown(socket.SHUT_WR)
            got = b''.join(iter(lambda: sock.recv(1 << 20), b''))
        assert got[:5] == b'+OK\r\n'
        answered = {'S': b'+OK\r\n', 'B': b'', 'L': b'*100000\r\n' + b'$7\r\nelement\r\n' * 100_000}
        assert got[5:] == answered[last[0]]


def test_commands_behind_a_waiting_one_keep_their_order(redis: Redis, store_dir: Path) -> None:
    redis.ping()
    with raw(store_dir) as sock:
        sock.sendall(b'BLPOP queue 0\r\nSET after 1\r\nGET after\r\n')
        while redis.info('clients')['blocked_clients'] != 1:
            pass
        assert redis.get('after') is None
        redis.rpush('queue', 'job')
        expected = b'*2\r\n$5\r\nqueue\r\n$3\r\njob\r\n+OK\r\n$1\r\n1\r\n'
        data = b''
        while len(data) < len(expected):
            data += sock.recv(100)
        assert data == expected


@pytest.fixture
def big_list(redis: Redis) -> int:
    count = 200_000
    pipe = redis.pipeline(transaction=False)
    for start in range(0, count, 1000):
        pipe.rpush('big', *(b'%020d' % number for number in range(start, start + 1000)))
    pipe.execute()
    return count


def test_a_reply_of_many_elements_does_not_stop_others_nor_fill_memory(
    redis: Redis, store_dir: Path, big_list: int
) -> None:
    def resident() -> int:
        return int(redis.info('memory')['used_memory_rss'])

    before = resident()
    with raw(store_dir) as slow:
        for _ in range(5):
            slow.sendall(b'LRANGE big 0 -1\r\nLLEN big\r\n')
        # The slow client reads nothing: the others are served all the same.
        for _ in range(50):
            assert redis.llen('big') == big_list
        assert resident() - before < 40 << 20
        reader = slow.makefile('rb')
        for _ in range(5):
            assert reader.readline() == b'*%d\r\n' % big_list
            for number in range(big_list):
                assert reader.readline() == b'$20\r\n'
                assert reader.readline() == b'%020d\r\n' % number
            assert reader.readline() == b':%d\r\n' % big_list


def test_a_client_that_does_not_read_is_not_read_any_further(redis: Redis, store_dir: Path) -> None:
    redis.set('value', b'x' * 1_000_000)
    with raw(store_dir) as slow:
        slow.setblocking(False)
        sent = 0
        try:
            for _ in range(200_000):
                sent += slow.send(b'GET value\r\n' * 100)
        except BlockingIOError:
            pass
        assert int(redis.info('memory')['used_memory_rss']) < 200 << 20
        assert redis.ping()


def test_bytes_that_are_no_commands_end_their_client_alone(redis: Redis, store_dir: Path) -> None:
    redis.set('k', 'v')
    for nonsense in (
        b'*2147483647\r\n',
        b'*1\r\n$99999999999\r\n',
        b'*1\r\n:1\r\n',
        b'\x00' * 100_000,
        b'*3\r\n$1\r\na',
    ):
        with raw(store_dir) as sock:
            sock.sendall(nonsense)
            sock.shutdown(socket.SHUT_WR)
            data = b''
            while piece := sock.recv(1000):
                data += piece
            assert data == b'' or data.startswith(b'-')
        assert redis.get('k') == b'v'


@pytest.mark.parametrize(
    ('commands', 'replies'),
    [
        ((b'SET a 1', b'GET a'), b'*2\r\n+OK\r\n$1\r\n1\r\n'),
        ((), b'*0\r\n'),
        ((b'SET a',), b'-EXECABORT Transaction discarded because of previous errors.\r\n'),
        ((b'NONSENSE',), b'-EXECABORT Transaction discarded because of previous errors.\r\n'),
        ((b'MULTI', b'GET a'), b'*1\r\n$-1\r\n'),
    ],
)
def test_a_transaction_ends_the_same_whether_it_arrives_whole_or_in_parts(
    redis: Redis, store_dir: Path, commands: tuple[bytes, ...], replies: bytes
) -> None:
    lines = (b'MULTI', *commands, b'EXEC')
    for together in (True, False):
        redis.flushall()
        with raw(store_dir) as sock:
            reader = sock.makefile('rb')
            answers = []
            if together:
                sock.sendall(
                    b''.join(
                        b'*%d\r\n' % len(line.split())
                        + b''.join(b'$%d\r\n%b\r\n' % (len(word), word) for word in line.split())
                        for line in lines
                    )
                )
            for line in lines:
                if not together:
                    sock.sendall(line + b'\r\n')
                if line != b'EXEC':
                    answers.append(reader.readline())
            assert reader.read(len(replies)) == replies
            assert answers[0] == b'+OK\r\n'

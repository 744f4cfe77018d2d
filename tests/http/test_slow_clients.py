"""Clients that send slowly, read nothing, or come in crowds keep nobody out."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis

from tests.http.support import TOKEN, FrontProcess, ask
from tests.until import until

AUTHORIZED = f'Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n'
BODY = json.dumps({'function': 'http_tasks.add', 'args': [1, 2]})
HEAD = f'POST /v1/jobs HTTP/1.1\r\n{AUTHORIZED}Content-Type: application/json\r\n'
CHUNKED = f'{HEAD}Transfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n'
SIZED = f'{HEAD}Content-Length: {len(BODY)}\r\n\r\n{BODY}'
LIVE = b'GET /healthz/live HTTP/1.1\r\nHost: localhost\r\n\r\n'

ATTACKS = {
    'nothing': b'',
    'half a head': b'GET /v1/queues HTTP/1.1\r\nHost: localh',
    'a head that does not end': b'GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nX: y',
    'half a body': SIZED[:-10].encode(),
    'a body that never begins': f'{HEAD}Content-Length: 7000000\r\n\r\n'.encode(),
    'half a chunk': CHUNKED[:-20].encode(),
    'a chunk without its size': f'{HEAD}Transfer-Encoding: chunked\r\n\r\n'.encode(),
    'chunks that do not end': CHUNKED[:-2].encode(),
    'an answer of its own behind it': LIVE + b'GET /v1/queues HTTP/1.1\r\nHost: lo',
    'a body that nobody reads': b'GET /v1/queues HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\nxy',
    'no hanging up': b'GET /healthz/live HTTP/1.0\r\nHost: localhost\r\n\r\n',
    'a wrong request and no hanging up': b'what is this\r\n\r\n',
}


def connect(front: FrontProcess) -> socket.socket:
    return socket.create_connection(('127.0.0.1', front.port), timeout=20)


@contextmanager
def dripping(front: FrontProcess, data: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Hold connections that have sent something and send another byte now and then."""
    over = threading.Event()
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(front)) for _ in range(count)]
        for client in clients:
            client.sendall(data)

        def drip() -> None:
            while not over.wait(0.5):
                for client in clients:
                    try:
                        client.send(b'x')
                    except OSError:
                        pass

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            yield clients
        finally:
            over.set()
            thread.join()


def read_all(client: socket.socket) -> bytes:
    received = b''
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


@pytest.mark.parametrize('attack', ATTACKS)
def test_slow_clients_keep_no_threads(start_front: Callable[..., FrontProcess], attack: str) -> None:
    front = start_front('--threads', '2')
    ask(front, '/v1/queues')
    with dripping(front, ATTACKS[attack], 24):
        began = time.monotonic()
        assert ask(front, '/healthz', token=None)[0] == 200
        for number in range(5):
            assert ask(front, '/v1/jobs', {'function': 'http_tasks.add', 'args': [number]})[0] == 201
        # Each of the attackers would keep a thread for seconds; none keeps one at all.
        assert time.monotonic() - began < 4
    assert 'Traceback' not in front.stop()


@pytest.mark.parametrize(
    ('attack', 'answer'),
    [('half a head', b'HTTP/1.1 408 '), ('half a body', b'HTTP/1.1 408 '), ('half a chunk', b'HTTP/1.1 408 ')],
)
def test_a_request_has_a_limit_of_time_as_a_whole(
    start_front: Callable[..., FrontProcess], attack: str, answer: bytes
) -> None:
    front = start_front(RQ_LEVELDB_HTTP_HEAD_SECONDS='2', RQ_LEVELDB_HTTP_BODY_SECONDS='2')
    began = time.monotonic()
    with dripping(front, ATTACKS[attack], 2) as clients:
        for client in clients:
            received = read_all(client)
            assert received.startswith(answer)
            assert json.loads(received.partition(b'\r\n\r\n')[2])['type'] == 'urn:rq-leveldb:problem:too-slow'
    assert time.monotonic() - began < 10


@pytest.mark.parametrize('text', [SIZED, CHUNKED, CHUNKED.replace('\r\n\r\n', '\r\n\r\n', 1)[:-2] + 'X: y\r\n\r\n'])
def test_a_request_may_come_in_any_pieces(start_front: Callable[..., FrontProcess], text: str) -> None:
    front = start_front()
    with connect(front) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in text.encode():
            client.send(bytes([byte]))
        assert client.recv(65536).startswith(b'HTTP/1.1 201 ')
        # Several at once, the last of them in two parts, on the connection that was kept.
        client.sendall((text * 3)[:-5].encode())
        reader = client.makefile('rb')
        assert [status_of(reader) for _ in range(2)] == [201, 201]
        client.sendall(text[-5:].encode())
        assert status_of(reader) == 201


def status_of(reader: Any) -> int:
    """Read one response and return its status."""
    status = int(reader.readline().split()[1])
    length = 0
    while line := reader.readline().strip():
        name, _, value = line.partition(b':')
        if name.lower() == b'content-length':
            length = int(value)
    reader.read(length)
    return status


def test_a_client_that_asks_before_it_sends_a_body_is_told_to(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front()
    with connect(front) as client:
        client.sendall(f'{HEAD}Expect: 100-continue\r\nContent-Length: {len(BODY)}\r\n\r\n'.encode())
        assert client.recv(65536) == b'HTTP/1.1 100 Continue\r\n\r\n'
        client.sendall(BODY.encode())
        reader = client.makefile('rb')
        status = status_of(reader)
        assert (status_of(reader) if status == 100 else status) == 201


@pytest.mark.parametrize(
    'field', ['Content-Length: 8388609', 'Content-Length: 18446744073709551616', 'Transfer-Encoding: chunked']
)
def test_a_body_that_is_too_large_is_not_received(start_front: Callable[..., FrontProcess], field: str) -> None:
    front = start_front()
    with connect(front) as client:
        client.sendall(f'{HEAD}{field}\r\n\r\n800001\r\n'.encode())
        assert read_all(client).startswith(b'HTTP/1.1 413 ')


def test_a_head_that_is_too_large_is_not_received(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front()
    with connect(front) as client:
        client.sendall(b'GET / HTTP/1.1\r\n' + b'X: y\r\n' * 12_000)
        assert read_all(client).startswith(b'HTTP/1.1 431 ')


def test_bodies_that_do_not_end_take_bounded_memory(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front(RQ_LEVELDB_HTTP_MAX_BODY='100000')
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(front)) for _ in range(20)]
        for client in clients:
            client.sendall(f'{HEAD}Content-Length: 100000\r\n\r\n{" " * 90_000}'.encode())
        # Eight times the largest body is what all of them may take up.
        assert [read_all(client).partition(b' ')[2][:3] for client in clients[:12]] == [b'503'] * 12
        clients[-1].sendall(b' ' * (10_000 - len(BODY)) + BODY.encode())
        assert clients[-1].recv(65536).startswith(b'HTTP/1.1 201 ')


def test_an_address_has_so_many_connections_and_loses_the_oldest(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front(RQ_LEVELDB_HTTP_MAX_PER_ADDRESS='20')
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(front)) for _ in range(50)]
        assert ask(front, '/healthz', token=None)[0] == 200
        assert [read_all(client) for client in clients[:30]] == [b''] * 30
        clients[-1].sendall(LIVE)
        assert clients[-1].recv(65536).startswith(b'HTTP/1.1 200 ')


def test_all_connections_there_are_keep_nobody_out(start_front: Callable[..., FrontProcess]) -> None:
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, most))
    try:
        front = start_front('--threads', '2')
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    with ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(connect(front)).sendall(b'GET ')
        for _ in range(3):
            assert ask(front, '/healthz', token=None)[0] == 200
    assert front.stop() == ''


def test_who_reads_no_answers_keeps_no_thread(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front('--threads', '2')
    with ExitStack() as stack:
        for path in ('/openapi.json', '/healthz/live'):
            for _ in range(3):
                client = stack.enter_context(connect(front))
                client.setblocking(False)
                request = f'GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n'.encode() * 100
                write_all_that_fits(client, request)
        began = time.monotonic()
        for _ in range(3):
            assert ask(front, '/healthz', token=None)[0] == 200
            assert ask(front, '/v1/queues')[0] == 200
        assert time.monotonic() - began < 8
    assert 'Traceback' not in front.stop()


def write_all_that_fits(client: socket.socket, data: bytes) -> None:
    """Send until the service has taken nothing for half a second."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_WRITE)
        sent = 0
        while sent < 4_000_000 and selector.select(0.5):
            sent += client.send(data)


def test_a_stopped_store_keeps_nobody_from_hearing_that_the_front_lives(
    start_front: Callable[..., FrontProcess], connection: redis.Redis
) -> None:
    front = start_front('--threads', '2')
    ask(front, '/v1/queues')
    pid = int(connection.info('server')['process_id'])
    os.kill(pid, signal.SIGSTOP)
    try:
        with dripping(front, f'GET /v1/queues HTTP/1.1\r\n{AUTHORIZED}\r\n'.encode(), 6):
            for _ in range(3):
                with connect(front) as unanswered:
                    unanswered.sendall(b'GET /healthz/ready HTTP/1.1\r\nHost: localhost\r\n\r\n')
                    assert ask(front, '/healthz/live', token=None)[0] == 200
            status, document = ask(front, '/healthz/ready', token=None)
            assert (status, document['status']) == (503, 'store-unavailable')
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: ask(front, '/healthz/ready', token=None)[0] == 200)

"""The first thing that must work: enqueue by name over HTTP, the worker runs it, the result is read over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.http.support import Api, FrontProcess, ask


def test_a_job_goes_in_and_its_result_comes_out(
    start_front: Callable[..., FrontProcess], work: Callable[..., None]
) -> None:
    front = start_front()
    status, job = ask(front, '/v1/jobs', {'function': 'http_tasks.add', 'args': [2], 'kwargs': {'y': 3}})
    assert status == 201
    assert job['status'] == 'queued'
    work()
    status, result = ask(front, f'{job["url"]}/result?wait=5')
    assert (status, result['status'], result['result']['value']) == (200, 'finished', 5)
    assert front.stop() == ''


def test_a_wait_ends_when_the_job_does(start_front: Callable[..., FrontProcess], work: Callable[..., None]) -> None:
    import threading

    front = start_front()
    _, job = ask(front, '/v1/jobs', {'function': 'http_tasks.add', 'args': [1]})
    answers: list[Any] = []
    waiter = threading.Thread(target=lambda: answers.append(ask(front, f'{job["url"]}/result?wait=30')))
    waiter.start()
    work()
    waiter.join(20)
    assert answers[0][1]['result']['value'] == 1


def test_without_the_token_nothing_is_told(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front()
    status, problem = ask(front, '/v1/queues', token=None)
    assert status == 401
    assert problem['type'] == 'urn:rq-leveldb:problem:unauthorized'
    assert ask(front, '/v1/queues', token='guess')[0] == 401
    assert ask(front, '/healthz', token=None)[0] == 200


def test_it_serves_on_a_unix_socket_of_its_owner(start_front: Callable[..., FrontProcess], tmp_path: Path) -> None:
    path = tmp_path / 'front.sock'
    front = start_front('--http', f'unix:{path}')
    assert front.url == f'unix:{path}'
    assert path.stat().st_mode & 0o777 == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b'GET /healthz HTTP/1.1\r\nHost: whatever\r\nConnection: close\r\n\r\n')
        assert client.recv(100).startswith(b'HTTP/1.1 200')
    front.stop()
    assert not path.exists()


def test_beyond_loopback_it_wants_a_token(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front('--http', '0.0.0.0:0', '--open')
    assert front.process.wait(10) == 1
    assert 'no token is asked for' in front.stop()


def test_a_port_that_is_taken_is_told_in_words(start_front: Callable[..., FrontProcess]) -> None:
    with socket.socket() as other:
        other.bind(('127.0.0.1', 0))
        other.listen()
        front = start_front('--http', f'127.0.0.1:{other.getsockname()[1]}')
        assert front.process.wait(10) == 1
    assert 'Something else listens on this address' in front.stop()


def test_one_front_for_each_data_directory(start_front: Callable[..., FrontProcess]) -> None:
    first = start_front()
    second = start_front()
    assert second.process.wait(10) == 1
    message = second.stop()
    assert 'runs for this data directory already' in message
    assert first.url in message
    first.stop()
    assert start_front().url


def test_a_module_that_cannot_be_imported_is_told_in_words(start_front: Callable[..., FrontProcess]) -> None:
    front = start_front('--import', 'no_such_module')
    assert front.process.wait(10) == 1
    assert 'no_such_module' in front.stop()


@pytest.mark.parametrize('name', ['RQ_LEVELDB_HTTP_THREADS', 'RQ_LEVELDB_HTTP_OPEN'])
def test_a_variable_that_makes_no_sense_is_told_in_words(start_front: Callable[..., FrontProcess], name: str) -> None:
    front = start_front(**{name: 'many'})
    assert front.process.wait(10) == 1
    assert f'{name}=many' in front.stop()


def test_jobs_of_plain_rq_are_shown(api: Api, connection: Any, work: Callable[..., None]) -> None:
    from http_tasks import Money
    from rq import Queue

    job = Queue('default', connection=connection).enqueue('http_tasks.echo', Money(3), meta={'who': 'me'})
    document = api.get(f'/v1/jobs/{job.id}').json
    assert document['function'] == 'http_tasks.echo'
    assert document['args'] is None
    assert document['args_repr'] == '(http_tasks.Money(amount=3),)'
    assert document['meta'] == {'who': 'me'}

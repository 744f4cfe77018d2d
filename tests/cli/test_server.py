"""A real server in RQ_LEVELDB_URL: what is wrong with it or with its URL is said in a sentence; status looks at it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis as redis_py

from compat_tests.real_redis import NoRedisError, RealRedis
from rq_leveldb.cli.main import main
from tests.places import APPLICATIONS
from tests.until import until

Server = tuple[str, Any]
"""A server's URL, and a client of it that may do anything."""
COMMANDS = {
    'enqueue': ['enqueue', 'cli_jobs.add', ':1', ':2'],
    'worker': ['worker', '--burst'],
    'status': ['status'],
    'info': ['info'],
    'suspend': ['suspend'],
}


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return what runs a command in this process, and returns its exit code and what it printed."""
    monkeypatch.setenv('RQ_LEVELDB_NO_HTTP', '1')

    def call(url: str, *arguments: str) -> tuple[int, str]:
        monkeypatch.setenv('RQ_LEVELDB_URL', url)
        try:
            code = main(arguments)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return code, said.out + said.err

    return call


@contextmanager
def running(*options: str) -> Iterator[Server]:
    try:
        server = RealRedis(options=options)
    except NoRedisError as error:
        pytest.skip(str(error))
    with server, redis_py.Redis(unix_socket_path=server.socket_path) as client:
        yield f'unix://{server.socket_path}', client


@pytest.fixture
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.mark.parametrize(
    ('url', 'words'),
    [
        ('redis://host/0?nonsense=1', 'no option nonsense'),
        ('unix:///s?ssl_keyfile=x', 'no option ssl_keyfile'),
        ('redis://host/0?socket_timeout=soon', "Invalid value for 'socket_timeout'"),
        ('rediss://host/0?ssl_cert_reqs=perhaps', 'perhaps'),
        ('redis://host/jobs', 'the number of a database'),
        ('redis://host:port/0', 'Port could not be cast'),
        ('redis://host:99999/0', 'out of range'),
        ('redis://[::1/0', 'Invalid IPv6 URL'),
        ('redis://host/0?decode_responses=yes', 'Remove decode_responses'),
        ('leveldb:///somewhere?decode_responses=yes', 'Remove decode_responses'),
    ],
)
def test_a_url_that_cannot_be_used_is_a_mistake_on_the_command_line(run: Run, url: str, words: str) -> None:
    for arguments in (['status'], ['worker', '--burst'], ['enqueue', 'cli_jobs.add']):
        code, text = run(url, *arguments)
        assert code == 2, text
        assert text.startswith('Error: ')
        assert words in text


def test_the_options_of_redis_py_are_taken(run: Run, server: Server) -> None:
    url, client = server
    url += '?db=3&socket_timeout=5&health_check_interval=2&client_name=me'
    assert run(url, 'enqueue', 'cli_jobs.add', ':1', ':2', '--job-id', 'one')[0] == 0
    assert client.keys() == []
    assert 'queued' in run(url, 'job', 'one')[1]


def asks_for_a_password(url: str, client: Any) -> str:
    client.config_set('requirepass', 'correct-horse')
    return url


def refuses_the_password(url: str, client: Any) -> str:
    client.acl_setuser('app', enabled=True, passwords=['+correct-horse'], keys=['*'], categories=['+@all'])
    return url.replace('unix://', 'unix://app:wrong-horse@')


def has_no_such_database(url: str, client: Any) -> str:
    return f'{url}?db=99'


def is_a_replica(url: str, client: Any) -> str:
    client.replicaof('127.0.0.1', '1')
    return url


def has_no_room(url: str, client: Any) -> str:
    client.config_set('maxmemory', '1')
    return url


def permits_nothing(url: str, client: Any) -> str:
    client.acl_setuser('app', enabled=True, passwords=['+secret-word'], keys=['*'], categories=['-@all'])
    return url.replace('unix://', 'unix://app:secret-word@')


def permits_only_reading(url: str, client: Any) -> str:
    permitted = ['+@read', '+@connection', '+@transaction']
    client.acl_setuser('app', enabled=True, passwords=['+secret-word'], keys=['*'], categories=permitted)
    return url.replace('unix://', 'unix://app:secret-word@')


@pytest.mark.parametrize(
    ('trouble', 'words', 'commands'),
    [
        (asks_for_a_password, 'asks for a password', COMMANDS),
        (refuses_the_password, 'does not accept this user or password', COMMANDS),
        (has_no_such_database, 'no database of this number', COMMANDS),
        (permits_nothing, 'does not permit this', COMMANDS),
        (permits_only_reading, 'does not permit this', ('enqueue', 'worker', 'suspend')),
        (is_a_replica, 'is a replica', ('enqueue', 'worker', 'suspend')),
        (has_no_room, 'memory limit', ('enqueue', 'worker', 'suspend')),
    ],
)
def test_what_a_server_refuses_is_said_in_a_sentence(
    run: Run, trouble: Callable[[str, Any], str], words: str, commands: tuple[str, ...], server: Server
) -> None:
    url = trouble(*server)
    for name in commands:
        code, text = run(url, *COMMANDS[name])
        assert code == 1, text
        assert words in text
        assert 'wrong-horse' not in text
        assert 'secret-word' not in text


def test_a_cluster_is_refused(run: Run) -> None:
    with running('--cluster-enabled', 'yes') as (url, _):
        for arguments in COMMANDS.values():
            code, text = run(url, *arguments)
            assert code == 1, text
            assert 'Redis Cluster' in text


@pytest.mark.parametrize(
    ('url', 'words'),
    [
        ('redis://127.0.0.1:1/0', 'Connection refused'),
        ('redis://nowhere.invalid/0', 'nowhere.invalid'),
        ('unix:///nowhere/socket', 'No such file'),
    ],
)
def test_a_server_that_is_not_there(run: Run, url: str, words: str) -> None:
    for name in ('enqueue', 'worker', 'status'):
        code, text = run(url, *COMMANDS[name])
        assert code == 1, text
        assert words in text
        assert 'Is the server running' in text


@pytest.mark.parametrize(
    ('reply', 'words'),
    [
        (b'HTTP/1.1 400 Bad Request\r\n\r\n', 'not a Redis server'),
        (b'-LOADING Redis is loading the dataset in memory\r\n', 'still loading its data'),
        (b'-DENIED Redis is running in protected mode because\r\n', 'protected mode'),
        (b'-ERR max number of clients reached\r\n', 'takes no more connections'),
    ],
)
def test_what_answers_instead_of_replies(run: Run, reply: bytes, words: str) -> None:
    with socket.create_server(('127.0.0.1', 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(4096)
                    client.sendall(reply * 8)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f'redis://127.0.0.1:{listener.getsockname()[1]}/0'
        for name in ('enqueue', 'status'):
            code, text = run(url, *COMMANDS[name])
            assert code == 1, text
            assert words in text
            # accept(2) does not notice that its socket is closed.
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_status_names_the_settings_that_may_lose_jobs(run: Run, server: Server) -> None:
    url, client = server
    client.config_set('maxmemory-policy', 'allkeys-lru')
    report = json.loads(run(url, 'status', '--json')[1])
    assert (report['eviction_policy'], report['append_only_file'], report['snapshots']) == ('allkeys-lru', False, '')
    assert len(report['warnings']) == 2
    text = run(url, 'status')[1]
    assert 'Warning: With the eviction policy allkeys-lru the server may remove jobs' in text
    assert 'Warning: Persistence is off' in text


def test_status_of_a_server_that_keeps_everything(run: Run, server: Server) -> None:
    url, client = server
    client.config_set('appendonly', 'yes')
    client.config_set('appendfsync', 'always')
    client.config_set('save', '60 1')
    client.config_set('maxmemory', '100mb')
    report = json.loads(run(url, 'status', '--json')[1])
    assert (report['server'], report['version']) == ('Redis', client.info()['redis_version'])
    assert (report['memory_limit_bytes'], report['eviction_policy']) == (100 * 1024 * 1024, 'noeviction')
    assert (report['append_only_file'], report['fsync'], report['snapshots']) == (True, 'always', '60 1')
    assert report['warnings'] == []
    text = run(url, 'status')[1]
    assert 'append-only file, fsync always; snapshots (save 60 1)' in text
    assert 'of 104.9 MB' in text
    assert 'Warning' not in text


def test_status_shows_the_jobs_where_info_and_config_are_not_permitted(run: Run, server: Server) -> None:
    url, client = server
    client.acl_setuser(
        'app', enabled=True, passwords=['+secret-word'], keys=['*'], channels=['*'], categories=['+@all', '-@dangerous']
    )
    run(url, 'enqueue', 'cli_jobs.add')
    limited = url.replace('unix://', 'unix://app:secret-word@')
    report = json.loads(run(limited, 'status', '--json')[1])
    assert report['queues']['default']['queued'] == 1
    assert report['version'] is None
    assert 'no permissions' in report['warnings'][0]
    assert 'not known' in run(limited, 'status')[1]


def test_status_of_a_replica_says_that_it_is_one(run: Run, server: Server) -> None:
    url, _ = server
    is_a_replica(*server)
    code, text = run(url, 'status')
    assert code == 0, text
    assert 'This server is a replica' in text


@pytest.mark.parametrize('command', [['store', '--url', 'URL'], ['stop'], ['compact']])
def test_commands_for_stores_say_so(run: Run, command: list[str]) -> None:
    url = 'redis://localhost:1/0'
    code, text = run(url, *(url if word == 'URL' else word for word in command))
    assert code == 2, text
    assert 'a redis server' in text.lower()


class Watched:
    """A worker whose lines are read as they come."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'rq_leveldb', 'worker'],
            cwd=APPLICATIONS,
            env={**os.environ, 'RQ_LEVELDB_URL': url, 'RQ_LEVELDB_NO_HTTP': '1', 'PYTHONUNBUFFERED': '1'},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        self._lines: list[str] = []
        self._stdout = self.process.stdout
        self._reader = threading.Thread(target=lambda: self._lines.extend(self._stdout))
        self._reader.start()

    @property
    def said(self) -> str:
        return ''.join(list(self._lines))

    def stop(self) -> int:
        self.process.terminate()
        code = self.process.wait(30)
        self._reader.join(10)
        self._stdout.close()
        return code


@pytest.fixture
def watched() -> Iterator[Callable[[str], Watched]]:
    """Return what starts a worker and waits until it listens; it is stopped in the end, with a good exit code."""
    started: list[Watched] = []

    def start(url: str) -> Watched:
        started.append(Watched(url))
        until(lambda: 'Listening on' in started[-1].said)
        return started[-1]

    yield start
    for worker in started:
        assert worker.stop() == 0, worker.said
        assert 'Traceback' not in worker.said


def test_a_worker_loses_its_rights_and_its_password_and_goes_on(
    run: Run, server: Server, watched: Callable[[str], Watched]
) -> None:
    url, client = server
    grant = {'enabled': True, 'keys': ['*'], 'channels': ['*']}
    client.acl_setuser('app', passwords=['+secret-word'], categories=['+@all'], **grant)
    worker = watched(url.replace('unix://', 'unix://app:secret-word@'))

    client.acl_setuser('app', categories=['-@all'], **grant)
    run(url, 'enqueue', 'cli_jobs.add', ':1', ':2', '--job-id', 'one')
    until(lambda: 'does not permit this' in worker.said)
    client.acl_setuser('app', categories=['+@all'], **grant)
    until(lambda: client.hget('rq:job:one', 'status') == b'finished')

    client.acl_setuser('app', passwords=['+other-word', '-secret-word'], **grant)
    client.execute_command('CLIENT', 'KILL', 'USER', 'app')
    until(lambda: 'does not accept this user or password' in worker.said)
    client.acl_setuser('app', passwords=['+secret-word'], **grant)
    run(url, 'enqueue', 'cli_jobs.add', ':1', ':2', '--job-id', 'two')
    until(lambda: client.hget('rq:job:two', 'status') == b'finished', 60)
    assert 'secret-word' not in worker.said


def test_a_worker_keeps_an_end_until_the_server_takes_it(
    run: Run, server: Server, watched: Callable[[str], Watched]
) -> None:
    url, client = server
    worker = watched(url)
    for job_id, words, begin, end in (
        ('full', 'memory limit', lambda: client.config_set('maxmemory', 1), lambda: client.config_set('maxmemory', 0)),
        ('replica', 'is a replica', lambda: client.replicaof('127.0.0.1', 1), lambda: client.replicaof('no', 'one')),
    ):
        run(url, 'enqueue', 'time.sleep', ':1', '--job-id', job_id)
        until(lambda key=f'rq:job:{job_id}': client.hget(key, 'status') == b'started')
        begin()
        until(lambda words=words: words in worker.said)
        end()
        until(lambda key=f'rq:job:{job_id}': client.hget(key, 'status') == b'finished', 60)
        assert len(client.xrange(f'rq:results:{job_id}')) == 1

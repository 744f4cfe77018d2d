"""Everything that is shipped works the same on each server that is installed: Redis 8.2, Redis 7.0 and Valkey 8.

The worker's own tests run there from the same source as on the store; what only a store can do is skipped, and each
such test says why. The other tests here are about what differs from server to server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from compat_tests.real_redis import NoRedisError, RealRedis, find_server, find_servers
from tests.places import APPLICATIONS, ROOT, SERVER_VARIABLE

SERVERS = find_servers()

# Single-step starts and ends, limits, output, usage, poison, deaths and recovery: on every server.
EVERYWHERE = ('jobs', 'ends', 'death', 'taken_over')
# And what asks little of the server and much time: on the one that everything is compared with, if
# RQ_LEVELDB_TEST_SERVERS=all asks for it.
ON_THE_MODEL = (
    'application_code',
    'broken_remains',
    'control',
    'cron',
    'leftovers',
    'liveness',
    'pauses',
    'ready',
    'scheduler',
    'unreadable_jobs',
)


@pytest.fixture(params=sorted(SERVERS))
def server(request: pytest.FixtureRequest) -> Iterator[RealRedis]:
    """Return each server in turn, running."""
    with RealRedis(SERVERS[request.param]) as started:
        yield started


def run(url: str, *arguments: str, **environ: str) -> str:
    """Run a command to its end, which is a good one, and return what it printed."""
    ended = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        cwd=APPLICATIONS,
        env={**os.environ, 'RQ_LEVELDB_URL': url, 'RQ_LEVELDB_NO_HTTP': '1', **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.timeout(1800)
def test_the_workers_own_tests_pass(server: RealRedis) -> None:
    all_of_it = os.environ.get('RQ_LEVELDB_TEST_SERVERS') == 'all' and server.path == find_server()
    names = EVERYWHERE + (ON_THE_MODEL if all_of_it else ())
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', *(f'tests/worker/test_{name}.py' for name in names)],
        cwd=ROOT,
        env={**os.environ, SERVER_VARIABLE: f'unix://{server.socket_path}'},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1700,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    passed = re.search(r'(\d+) passed', done.stdout)
    assert passed is not None
    assert int(passed[1]) > 70


def test_status_names_the_server(server: RealRedis) -> None:
    report = json.loads(run(f'unix://{server.socket_path}', 'status', '--json'))
    kind = 'Valkey' if server.path.name == 'valkey-server' else 'Redis'
    assert (report['server'], report['version']) == (kind, '.'.join(map(str, server.version)))


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Return the URL of a server that is reached by TLS, and the certificate that it shows."""
    if shutil.which('openssl') is None:
        pytest.skip('openssl makes the certificate, and is not there')
    key, certificate = tmp_path / 'key.pem', tmp_path / 'certificate.pem'
    request = ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost']
    request += ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', str(key), '-out', str(certificate)]
    subprocess.run(request, check=True, capture_output=True)
    with socket.create_server(('127.0.0.1', 0)) as probe:
        port = probe.getsockname()[1]
    options = ('--tls-port', str(port), '--tls-auth-clients', 'no', '--tls-cert-file', str(certificate))
    for path in SERVERS.values():
        try:
            server = RealRedis(path, options=(*options, '--tls-key-file', str(key))).start()
        except NoRedisError:
            # Most wheels are built without TLS.
            continue
        with server:
            yield f'rediss://127.0.0.1:{port}/0', certificate
        return
    pytest.skip('no server here has TLS')


def test_a_server_by_tls(secure: tuple[str, Path]) -> None:
    url, certificate = secure
    trusted = f'{url}?ssl_ca_certs={certificate}'
    run(trusted, 'enqueue', 'cli_jobs.delay_another', '--job-id', 'one')
    run(trusted, 'worker', '--burst')
    assert 'finished' in run(trusted, 'job', 'one')
    # The job that the first one enqueued, over TLS as well.
    assert json.loads(run(trusted, 'status', '--json'))['queues']['default']['finished'] == 2
    with pytest.raises(AssertionError, match=r'certificate of the server cannot be verified.*\n.*ssl_ca_certs'):
        run(url, 'status')


def test_a_user_with_the_rights_that_the_documents_list(server: RealRedis) -> None:
    """What docs/moving.rst says to give to the user that workers and applications use."""
    text = (ROOT / 'docs' / 'moving.rst').read_text()
    rights = re.search(r'ACL SETUSER rq (.*)', text)
    assert rights is not None
    with Redis(unix_socket_path=server.socket_path) as client:
        client.execute_command('ACL', 'SETUSER', 'rq', *rights[1].replace('PASSWORD', 'pass:w/rd@').split())
    url = f'unix://rq:pass%3Aw%2Frd%40@{server.socket_path}'
    printed = run(url, 'enqueue', 'cli_jobs.add', ':1', ':2', '--job-id', 'one')
    printed += run(url, 'worker', '--burst', '--capture-output')
    for command in (['info'], ['status'], ['job', 'one'], ['suspend'], ['resume'], ['empty', '--all']):
        printed += run(url, *command)
    assert 'finished' in run(url, 'job', 'one')
    assert 'Warning: The state' not in printed
    assert 'w/rd' not in printed
    assert 'w%2Frd' not in printed


def test_commands_on_each_server(server: RealRedis, tmp_path: Path) -> None:
    """What is not covered by the tests of single commands: they run on the store."""
    url = f'unix://{server.socket_path}?db=3'
    run(url, 'enqueue', 'cli_jobs.add', ':1', '--job-id', 'fails')
    run(url, 'worker-pool', '--burst', '-n', '2')
    assert '1 failed' in run(url, 'info')
    run(url, 'requeue', '--all', '--queue', 'default')
    assert json.loads(run(url, 'status', '--json'))['queues']['default']['queued'] == 1
    assert '1 jobs removed' in run(url, 'empty', 'default')
    token: Any = run(url, 'token', RQ_LEVELDB_HTTP_TOKEN_FILE=str(tmp_path / 'token')).strip()
    assert (tmp_path / 'token').read_text().strip() == token

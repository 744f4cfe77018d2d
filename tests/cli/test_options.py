"""What the worker's command line says of options, modules and users that do not fit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb.cli.main import main

NOBODY = 54_321
CLASSES = ('--connection-class', '--worker-class', '--job-class', '--queue-class', '--death-penalty-class', '-S')


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of modules, each of which fails in another way."""
    monkeypatch.setattr(sys, 'path', list(sys.path))
    path = tmp_path / 'modules'
    path.mkdir()
    for name, text in {
        'wrong_syntax': 'x = 1\ny = = 2\n',
        'that_exits': 'import sys\n\nsys.exit(3)\n',
        'that_raises': 'def connect():\n    raise RuntimeError("no database")\n\n\nconnect()\n',
        'that_misses': 'import json\nimport there_is_no_such_module\n',
        'that_imports': 'import that_raises\n',
    }.items():
        (path / f'{name}.py').write_text(text)
    return path


@pytest.mark.parametrize(
    ('module', 'said'),
    [
        ('wrong_syntax', ('SyntaxError: invalid syntax', 'wrong_syntax.py, line 2')),
        ('that_exits', ('it ended the process with exit code 3', 'that_exits.py, line 3')),
        ('that_raises', ('RuntimeError: no database', 'that_raises.py, line 2')),
        ('that_misses', ("No module named 'there_is_no_such_module'", 'that_misses.py, line 2')),
        ('that_imports', ('RuntimeError: no database', 'that_imports.py, line 1')),
        ('not_there', ("No module named 'not_there'",)),
    ],
)
def test_a_module_that_cannot_be_imported(
    module: str, said: tuple[str, ...], modules: Path, store_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f'leveldb://{store_dir}'
    for options in (['--import', module], ['-c', module], ['--before-fork', f'{module}.function']):
        assert main(['worker', '--burst', '--no-http', '--url', url, '--path', str(modules), *options]) == 2
        shown = capfd.readouterr().err
        assert module in shown
        assert 'Traceback' not in shown
        for text in said:
            # RQ keeps to itself why the module of a function could not be found.
            assert text in shown or (options[0] == '--before-fork' and 'No module' in said[0])


def test_the_front_says_the_same_of_a_module(modules: Path, store_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url = f'leveldb://{store_dir}'
    assert main(['http', '--url', url, '--path', str(modules), '--import', 'that_exits', '--http', '127.0.0.1:0']) == 1
    assert 'it ended the process with exit code 3' in capfd.readouterr().err


def test_options_that_another_worker_class_has_no_use_for(
    store_dir: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ['worker', '--burst', '-w', 'rq.SimpleWorker', '--url', f'leveldb://{store_dir}']
    assert main([*command, '--max-children', '3', '--grace', '5']) == 2
    assert 'does not support --max-children, --grace' in capfd.readouterr().err
    monkeypatch.setenv('RQ_LEVELDB_MAX_CHILDREN', '3')
    assert main([*command, '--no-http', '--import', 'json']) == 0
    assert 'though the environment sets it: --max-children' in capfd.readouterr().err


@pytest.mark.parametrize(
    'command',
    [
        *(['worker', '--burst', '--no-http', option] for option in CLASSES),
        *(['worker-pool', '--burst', option] for option in CLASSES),
        ['worker', '--burst', '--no-http', '--exception-handler'],
        ['worker', '--burst', '--no-http', '--log-format'],
        ['worker', '--burst', '--no-http', '--logging_level'],
        ['worker-pool', '--burst', '--logging-level'],
        *([name, option] for name in ('info', 'suspend', 'resume') for option in ('--connection-class', '-S')),
        ['empty', 'default', '-S'],
        ['requeue', '--all', '-S'],
        ['job', 'nothing', '-S'],
        *(['enqueue', 'json.dumps', option] for option in ('--timeout', '--result-ttl', '--ttl', '--failure-ttl')),
    ],
    ids=' '.join,
)
def test_values_that_cannot_be_read(command: list[str], store_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    *before, option = command
    for value in ('abc', 'no.such.thing', ''):
        code = main([*before, '--url', f'leveldb://{store_dir}', option, value])
        if value == '' and option in ('-S', '--log-format'):
            continue
        assert code == 2
        assert option in capfd.readouterr().err or option == '-S'


def test_times_that_rq_refuses(store_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = ['enqueue', '--url', f'leveldb://{store_dir}', 'json.dumps', ':1']
    assert main([*command, '--timeout', '0']) == 2
    assert main([*command, '--ttl', '-1']) == 2
    assert '-1 must be more than 0' in capfd.readouterr().err
    assert main([*command, '--timeout', '-1', '--ttl', '2h', '--result-ttl', '0']) == 0


def test_a_name_that_is_no_text(store_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b'\xff')
    url = f'leveldb://{store_dir}'
    assert main(['enqueue', '--url', url, 'json.dumps', ':1', '--queue', name]) == 2
    assert main(['worker', '--burst', '--no-http', '--url', url, '--name', name]) == 2
    assert 'is not UTF-8' in capfd.readouterr().err


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--port', '70000'], '70000 is not a port, 1 to 65535'),
        (['--port', '-1'], '-1 is not a port'),
        (['--port', 'redis'], 'redis is not a port'),
        (['--idle', 'nan'], 'nan is not a number of seconds'),
        (['--idle', '-1'], '-1 is not a number of seconds'),
        (['--fsync', 'never'], "invalid choice: 'never'"),
        (['--dir', ''], 'This is no directory'),
        (['--dir', 'redis://localhost'], 'This is a URL, not a directory'),
        (['--dir', '/nowhere', '--url', 'leveldb://'], 'not allowed with'),
        (['--url', 'redis://:secret@example.org'], 'only works on stores, and this is the URL of a Redis server'),
        (['--url', 'leveldb:///nowhere?idle=inf'], 'idle is a number'),
    ],
)
def test_options_that_the_store_cannot_have(options: list[str], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, '-m', 'rq_leveldb', 'store', *options], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    assert said in ended.stderr
    assert 'Traceback' not in ended.stderr
    assert 'secret' not in ended.stderr


def test_the_store_in_the_foreground_goes_by_the_environment(store_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, '-m', 'rq_leveldb', 'store', '--port', str(port)],
            env={**os.environ, 'RQ_LEVELDB_URL': f'leveldb://{store_dir}'},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert 'cannot listen on this port' in ended.stderr
    assert f'127.0.0.1:{port}' in ended.stderr
    assert 'Traceback' not in ended.stderr
    # It had been opened there by then.
    assert (store_dir / 'leveldb' / 'CURRENT').exists()


def test_a_redis_server_is_not_stopped(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RQ_LEVELDB_URL', 'redis://:secret@example.org')
    assert main(['stop']) == 2
    said = capfd.readouterr().err
    assert 'This command only works on stores, and this is the URL of a Redis server: redis://:***@example.org' in said


def run_homeless(place: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a user without a home directory and without an entry in passwd."""
    environment = {name: value for name, value in os.environ.items() if name not in ('HOME', 'XDG_STATE_HOME')}
    return subprocess.run(
        ['setpriv', '--reuid', str(NOBODY), '--clear-groups', sys.executable, '-m', *arguments],
        env={**environment, 'PYTHONDONTWRITEBYTECODE': '1', **environ},
        cwd=place,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a directory of that user; pytest's own are closed to others."""
    if os.geteuid() != 0 or shutil.which('setpriv') is None:
        pytest.skip('only root can become a user who is not there')
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        if run_homeless(Path(name), 'rq_leveldb', '--version').returncode:
            pytest.skip('that user cannot read this package')
        yield Path(name)


def test_a_user_without_a_home(place: Path) -> None:
    for command in (['worker', '--burst'], ['status'], ['info'], ['token'], ['http']):
        ended = run_homeless(place, 'rq_leveldb', *command)
        assert ended.returncode == 1, ended.stderr
        assert 'This user has no home directory' in ended.stderr
        assert 'RQ_LEVELDB_URL' in ended.stderr
        assert 'Traceback' not in ended.stderr
    url = f'leveldb://{place}/store'
    try:
        assert run_homeless(place, 'rq_leveldb', 'status', RQ_LEVELDB_URL=url).returncode == 0
        assert len(run_homeless(place, 'rq_leveldb', 'token', RQ_LEVELDB_URL=url).stdout) > 20
        # Of a real server, too: what belongs to its front is then where temporary files are.
        other = run_homeless(place, 'rq_leveldb', 'token', RQ_LEVELDB_URL='redis://localhost:1', TMPDIR=str(place))
        assert len(other.stdout) > 20, other.stderr
        worked = run_homeless(place, 'rq_leveldb', 'worker', '--burst', '--http', '127.0.0.1:0', RQ_LEVELDB_URL=url)
        assert worked.returncode == 0, worked.stderr
        assert 'serving on' in worked.stderr
    finally:
        run_homeless(place, 'rq_leveldb', 'stop', RQ_LEVELDB_URL=url)

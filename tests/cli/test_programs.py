"""`rq-leveldb run` and `url`: programs that know only Redis, as a shell runs them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis as redis_py

from rq_leveldb import Redis, process
from tests.until import until

TELL = 'import json, os; print(json.dumps({name: value for name, value in os.environ.items() if "_URL" in name}))'
PID = """
import json, os, redis
from rq_leveldb import process
client = redis.Redis.from_url(os.environ['REDIS_URL'])
print(json.dumps(process.identify(client.info('server')['process_id']).to_dict()))
"""
KILLS_THE_STORE = """
import os, time, redis
client = redis.Redis.from_url(os.environ['REDIS_URL'])
client.set('name', 'value')
former = client.info('server')['process_id']
os.kill(former, 9)
while True:
    try:
        if client.info('server')['process_id'] != former:
            break
    except redis.ConnectionError:
        time.sleep(0.01)
print(client.get('name'))
"""
COUNTS_SIGNALS = """
import signal, sys
seen = []
def note(number, frame):
    seen.append(number)
    print(signal.Signals(number).name, flush=True)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, note)
print('ready', flush=True)
sys.stdin.readline()
print(len(seen), flush=True)
sys.exit(9)
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, '-m', 'rq_leveldb', *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def place(store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of the configured store."""
    url = f'leveldb://{store_dir}'
    monkeypatch.setenv('RQ_LEVELDB_URL', url)
    return url


def test_the_url_leads_other_clients_to_the_store(place: str) -> None:
    told = run('url')
    assert told.returncode == 0
    with redis_py.Redis.from_url(told.stdout.strip()) as other, Redis.from_url(place) as ours:
        other.set('name', 'value')
        assert ours.get('name') == b'value'


def test_json_says_how_long_the_store_stays(place: str, store_dir: Path) -> None:
    told = json.loads(run('url', '--url', f'{place}?db=4&idle=7', '--json').stdout)
    socket = str(store_dir / 'store.sock')
    assert told == {'url': f'unix://{socket}?db=4', 'socket': socket, 'exit_after_idle_seconds': 7}


def test_the_path_of_the_socket_alone(place: str, store_dir: Path) -> None:
    assert run('url', '--socket').stdout == f'{store_dir}/store.sock\n'
    refused = run('url', '--socket', '--url', 'redis://host')
    assert refused.returncode == 2
    assert '--socket is for stores' in refused.stderr


def test_a_place_that_others_cannot_reach(tmp_path: Path) -> None:
    told = run('url', '--url', f'leveldb://{tmp_path}/{"d" * 110}')
    assert told.returncode == 2
    assert 'shorter path' in told.stderr
    assert 'Traceback' not in told.stderr


def test_the_environment_names_the_store(place: str, store_dir: Path) -> None:
    address = f'unix://{store_dir}/store.sock?db=1'
    told = json.loads(run('run', '--url', f'{place}?db=1', sys.executable, '-c', TELL).stdout)
    assert told == {'RQ_LEVELDB_URL': f'{place}?db=1', 'RQ_REDIS_URL': address, 'REDIS_URL': address}


def test_the_environment_names_a_real_server() -> None:
    url = 'redis://host:1/2'
    told = json.loads(run('run', '--url', url, sys.executable, '-c', TELL).stdout)
    assert told == dict.fromkeys(('RQ_LEVELDB_URL', 'RQ_REDIS_URL', 'REDIS_URL'), url)


def test_the_store_is_started_again_while_the_program_runs(place: str) -> None:
    done = run('run', sys.executable, '-c', KILLS_THE_STORE)
    assert done.stdout == "b'value'\n", done.stderr


def test_the_store_goes_after_the_program(place: str) -> None:
    told = run('run', '--url', f'{place}?idle=0.2', sys.executable, '-c', PID)
    until(lambda: not process.is_alive(process.Identity(**json.loads(told.stdout))))


@pytest.mark.parametrize(
    ('program', 'code', 'words'),
    [
        (['true'], 0, ''),
        (['sh', '-c', 'exit 7'], 7, ''),
        (['sh', '-c', 'kill -KILL $$'], 137, ''),
        (['sh', '-c', 'kill -TERM $$'], 143, ''),
        (['no-such-program'], 127, 'no-such-program cannot be run: No such file or directory'),
        (['/'], 126, '/ cannot be run: Permission denied'),
        ([], 2, "Missing argument 'COMMAND...'"),
        (['echo', '--url', 'x'], 0, ''),
        (['--bogus', 'echo'], 2, 'No such option'),
    ],
    ids=str,
)
def test_exit_codes(place: str, program: list[str], code: int, words: str) -> None:
    done = run('run', *program)
    assert done.returncode == code
    assert words in done.stderr
    assert 'Traceback' not in done.stderr


def test_signals_are_passed_on(place: str) -> None:
    with subprocess.Popen(
        command('run', sys.executable, '-c', COUNTS_SIGNALS),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The tests may have been started by nohup(1).
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as runner:
        assert runner.stdin is not None
        assert runner.stdout is not None
        assert runner.stdout.readline() == 'ready\n'
        for name in ('SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGINT'):
            runner.send_signal(signal.Signals[name])
            assert runner.stdout.readline() == f'{name}\n'
        runner.stdin.write('\n')
        runner.stdin.close()
        assert runner.stdout.readline() == '4\n'
    assert runner.returncode == 9


def test_the_terminals_interrupt_comes_once(place: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        arguments = command('run', sys.executable, '-c', COUNTS_SIGNALS)
        os.execv(arguments[0], arguments)
    with os.fdopen(terminal, 'r+b', buffering=0) as screen:
        shown = b''

        def await_word(word: bytes) -> None:
            nonlocal shown
            while word not in shown:
                shown += screen.read(1)

        await_word(b'ready\r\n')
        screen.write(b'\x03')
        await_word(b'SIGINT\r\n')
        screen.write(b'\n')
        await_word(b'1\r\n')
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9

"""The command line, as a shell sees it: output and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rq

from rq_leveldb import Redis
from rq_leveldb.cli.main import COMMANDS, main
from rq_leveldb.client import autostart
from rq_leveldb.location import DataDirectory
from rq_leveldb.process import identify
from rq_leveldb.worker.liveness import identity_fields
from tests.places import APPLICATIONS, ROOT

Run = Callable[..., 'subprocess.CompletedProcess[str]']


@pytest.fixture
def run(store_dir: Path) -> Run:
    """Return a function that runs `rq-leveldb` on the test's store, from the directory of this file."""

    def call(
        *arguments: str, url: str = f'leveldb://{store_dir}', program: str = 'rq_leveldb', **environ: str
    ) -> object:
        return subprocess.run(
            [sys.executable, '-m', program, *arguments],
            env={**os.environ, 'RQ_LEVELDB_URL': url, **environ},
            cwd=APPLICATIONS,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call  # type: ignore[return-value]


def test_a_job_from_the_shell(run: Run, redis: Redis) -> None:
    enqueued = run('enqueue', 'cli_jobs.add', ':2', 'right:=3', '--job-id', 'sum')
    assert enqueued.stdout == "Enqueued cli_jobs.add(2, right=3) with job-id 'sum'.\n"
    assert run('info', '--raw').stdout.startswith('queue default 1, 0 executing, 0 finished, 0 failed\n')
    worked = run('worker', '--burst')
    assert worked.returncode == 0
    assert rq.job.Job.fetch('sum', connection=redis).return_value() == 5
    assert 'default' in run('info').stdout


def test_failed_jobs_are_requeued_and_queues_emptied(run: Run, redis: Redis) -> None:
    run('enqueue', 'cli_jobs.fail', '--job-id', 'bad', '-q', 'other')
    run('worker', '--burst', '--quiet', 'other')
    assert rq.job.Job.fetch('bad', connection=redis).is_failed
    assert 'Requeueing 1 jobs' in run('requeue', '--queue', 'other', '--all').stdout
    assert rq.job.Job.fetch('bad', connection=redis).is_queued
    assert run('empty', 'other').stdout == '1 jobs removed from other queue\n'
    assert run('empty').stdout == 'Nothing to do\n'


def test_suspend_and_resume(run: Run) -> None:
    assert run('suspend').stdout.startswith('Suspending workers.')
    assert json.loads(run('status', '--json').stdout)['suspended'] is True
    refused = run('worker', '--burst')
    assert refused.returncode == 1
    assert run('resume').stdout == 'Resuming workers.\n'
    assert json.loads(run('status', '--json').stdout)['suspended'] is False
    assert json.loads(run('suspend', '--duration', '50', '--json').stdout) == {'suspended': True, 'seconds': 50}
    assert json.loads(run('status', '--json').stdout)['suspended'] is True
    assert json.loads(run('resume', '--json').stdout) == {'suspended': False}


def test_worker_pool(run: Run, redis: Redis) -> None:
    queue = rq.Queue(connection=redis)
    jobs = [queue.enqueue('cli_jobs.add', number, 1) for number in range(3)]
    assert run('worker-pool', '--burst', '-n', '2').returncode == 0
    assert [job.return_value() for job in jobs] == [1, 2, 3]


def test_scheduled_jobs_run_without_asking_for_a_scheduler(run: Run, redis: Redis) -> None:
    run('enqueue', 'cli_jobs.add', ':1', ':1', '--schedule-in', '1s', '--job-id', 'later')
    run('worker', '--max-jobs', '1', '--max-idle-time', '30')
    assert rq.job.Job.fetch('later', connection=redis).return_value() == 2


def test_cron(run: Run, redis: Redis, store_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'cron', '-u', f'leveldb://{store_dir}', 'cron_config.py'],
        cwd=APPLICATIONS,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as cron:
        try:
            assert redis.blmove('rq:queue:clock', 'seen', timeout=4) or redis.blmove(
                'rq:queue:clock', 'seen', timeout=4
            )
        finally:
            # RQ stops by an exception, which is lost if the signal comes while it writes to its log.
            while cron.poll() is None:
                cron.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    cron.wait(1)


def test_status_starts_nothing(run: Run, store_dir: Path) -> None:
    report = json.loads(run('status', '--json').stdout)
    assert report == {
        'url': f'leveldb://{store_dir}',
        'directory': str(store_dir),
        'exists': False,
        'running': False,
        'pid': None,
        'version': None,
        'disk_bytes': 0,
        'database_bytes': 0,
    }
    assert not store_dir.exists()
    assert 'not running' in run('status').stdout


def test_status_tells_workers_that_live_from_those_that_died(run: Run, redis: Any) -> None:
    own = identity_fields(identify(os.getpid()))
    for name, fields in (('lives', own), ('died', {**own, 'started': '1'}), ('rqs-own', {})):
        redis.hset(f'rq:worker:{name}', mapping={'pid': os.getpid(), **fields})
        redis.sadd('rq:workers', f'rq:worker:{name}')
    report = json.loads(run('status', '--json').stdout)
    assert (report['workers'], report['workers_gone']) == (2, 1)
    assert '2, 1 died' in run('status').stdout


def test_status_of_a_running_store(run: Run, redis: Redis, store_dir: Path) -> None:
    rq.Queue('mail', connection=redis).enqueue('cli_jobs.add', 1, 1)
    report = json.loads(run('status', '--json').stdout)
    assert report['running'] is True
    assert report['pid'] == redis.info('server')['process_id']
    assert report['fsync'] == 'everysec'
    assert report['database_bytes'] > 0
    assert report['queues']['mail'] == {
        'queued': 1,
        'started': 0,
        'finished': 0,
        'failed': 0,
        'deferred': 0,
        'scheduled': 0,
        'canceled': 0,
        'ready_to_enqueue': 0,
    }
    assert report['unreadable'] == []
    assert report['unserved'] == ['mail']
    text = run('status')
    assert 'mail: 1 queued, and no worker serves it. Start one: rq-leveldb worker mail' in text.stdout
    assert '0 failed, no worker serves it' in run('info').stdout
    assert str(store_dir) in text.stdout
    assert 'mail' in text.stdout
    assert '\x1b' not in text.stdout


def test_a_queue_with_a_worker_is_served(run: Run, redis: Redis) -> None:
    queue = rq.Queue('mail', connection=redis)
    queue.enqueue('cli_jobs.add', 1, 1)
    worker = rq.SimpleWorker([queue], connection=redis)
    worker.register_birth()
    assert json.loads(run('status', '--json').stdout)['unserved'] == []
    assert 'serves' not in run('info').stdout
    # As after a crash, when RQ's own set still names it.
    redis.delete(worker.key)
    assert 'no worker serves it' in run('info').stdout


def test_stop(run: Run, redis: Redis, store_dir: Path) -> None:
    redis.set('name', 'value')
    assert run('stop').stdout == 'Stopped.\n'
    assert run('stop').stdout == 'No store is running there.\n'
    assert redis.get('name') == b'value'
    assert json.loads(run('token', '--json').stdout)['token'] + '\n' == run('token').stdout
    assert json.loads(run('stop', '--json').stdout) == {'was_running': True, 'is_running': False}


def test_store_in_the_foreground(store_dir: Path) -> None:
    with subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', store_dir], stderr=subprocess.PIPE
    ) as store:
        assert store.stderr is not None
        assert b'ready' in store.stderr.readline()
        with Redis.from_url(f'leveldb://{store_dir}') as client:
            assert client.info('server')['process_id'] == store.pid
        second = subprocess.run(
            [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', store_dir],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode != 0
        assert 'already' in second.stderr
        store.send_signal(signal.SIGTERM)
        assert store.wait(20) == 0
    assert autostart.running_store(DataDirectory(store_dir)) is None


@pytest.mark.parametrize(
    ('command', 'url', 'code', 'text'),
    [
        ('info', 'leveldb://relative/path', 2, 'must be absolute'),
        ('info', 'leveldb:///a?fsync=never', 2, 'fsync is one of'),
        ('info', 'leveldb://{foreign}', 1, 'is not a store'),
        ('info', 'redis://localhost:1', 1, 'refused'),
        ('worker', 'nonsense', 2, 'names no store'),
        ('worker', 'leveldb://{foreign}', 1, 'is not a store'),
        ('worker', 'redis://localhost:1', 1, 'refused'),
        ('enqueue cli_jobs.add', 'nonsense', 2, 'names no store'),
        ('enqueue cli_jobs.add', 'redis://localhost:1', 1, 'refused'),
        ('status', 'nonsense', 2, 'names no store'),
        ('status', 'leveldb://{foreign}', 1, 'is not a store'),
        ('status', 'redis://localhost:1', 1, 'refused'),
        ('stop', 'nonsense', 2, 'names no store'),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    command: str, url: str, code: int, text: str, run: Run, tmp_path: Path
) -> None:
    foreign = tmp_path / 'foreign'
    foreign.mkdir()
    (foreign / 'letter').write_text('not a store')
    ended = run(*command.split(), url=url.format(foreign=foreign))
    assert ended.returncode == code
    assert text in ended.stderr + ended.stdout
    assert 'Traceback' not in ended.stderr + ended.stdout


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    shown = capsys.readouterr().out
    assert 'Exit codes' in shown
    for command in COMMANDS:
        assert f'  {command} ' in shown
        if command != 'store':
            assert main([command, '--help']) == 0
            assert 'Usage: rq-leveldb' in capsys.readouterr().out
    assert main(['--version']) == 0
    assert capsys.readouterr().out.startswith('rq-leveldb, version ')
    assert main(['dance']) == 2


def test_rqs_own_command(run: Run, redis: Redis, store_dir: Path) -> None:
    place = ('--url', f'leveldb://{store_dir}', '--connection-class', 'rq_leveldb.Redis')
    assert run('enqueue', *place, 'cli_jobs.add', ':2', ':3', '--job-id', 'sum', program='rq.cli').returncode == 0
    assert '1 jobs total' in run('info', *place, program='rq.cli').stdout
    worked = run('worker', *place, '--burst', '--worker-class', 'rq_leveldb.Worker', program='rq.cli')
    assert worked.returncode == 0, worked.stderr
    assert rq.job.Job.fetch('sum', connection=redis).return_value() == 5


def test_the_quick_start(run: Run) -> None:
    script = ROOT / 'examples' / 'quickstart.py'
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert 'tasks.primes_below(1000000) -> 78498' in ended.stdout

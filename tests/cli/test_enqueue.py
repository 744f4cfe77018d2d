"""rq-leveldb enqueue: what it warns of, and mistakes that end in a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rq import Queue

from rq_leveldb import Redis
from rq_leveldb.cli.function_hint import find_fault
from rq_leveldb.cli.main import main
from tests.cli.support import Call, add_worker


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory of modules, each of which leaves a file behind when it is imported."""
    path = tmp_path / 'modules'
    (path / 'shop' / 'mail').mkdir(parents=True)
    (path / 'space').mkdir()
    trace = f'open({str(tmp_path / "imported")!r}, "w")\n'
    (path / 'shop' / '__init__.py').write_text(trace)
    (path / 'shop' / 'tasks.py').write_text(
        f'{trace}import os.path\nfrom json import dumps as pack\n'
        'try:\n    import missing\nexcept ImportError:\n    def fallback(): pass\n'
        'first, second = 1, 2\nclass Letter:\n    def send(self): pass\ndef send(): inner = 1\n'
    )
    (path / 'shop' / 'dynamic.py').write_text('from .tasks import *\n')
    (path / 'shop' / 'broken.py').write_text('x = 1\ny = = 2\n')
    monkeypatch.syspath_prepend(path)
    monkeypatch.chdir(path)
    return path


@pytest.mark.parametrize(
    ('function', 'said'),
    [
        ('shop.tasks.send', None),
        ('shop.tasks.Letter.send', None),
        ('shop.tasks.pack', None),
        ('shop.tasks.second', None),
        ('shop.tasks.fallback', None),
        ('shop.dynamic.whatever', None),
        ('json.dumps', None),
        ('math.sqrt', None),
        ('len', None),
        ('shop.tasks.sned', 'tasks.py; did you mean shop.tasks.send?'),
        ('shop.tasks.inner', 'there is no inner in '),
        ('shop.task.send', 'there is no task in '),
        ('shop.mail.send.now', None),
        ('space.mail.send', 'there is no module space.mail'),
        ('shop.tasks', 'shop.tasks is a module'),
        ('shop.broken.y', 'broken.py has a syntax error in line 2'),
        ('shopp.tasks.send', 'there is no module shopp in {here}'),
        ('send', 'send names no module'),
        ('shop/tasks.py', 'is not the dotted name of a function'),
        ('.send', 'is not the dotted name of a function'),
    ],
)
def test_functions_that_cannot_be_found(function: str, said: str | None, modules: Path, tmp_path: Path) -> None:
    fault = find_fault(function)
    assert (fault is None) == (said is None), fault
    assert (said or '').format(here=modules) in (fault or '')
    assert not (tmp_path / 'imported').exists()


def test_the_job_is_enqueued_all_the_same(redis: Redis, call: Call) -> None:
    code, text = call('enqueue', 'cli_jobs.ad', ':2', '--queue', 'mail')
    assert code == 0
    assert 'Warning: there is no ad in ' in text
    assert 'did you mean cli_jobs.add?' in text
    assert '--path' in text
    assert 'Warning: no worker serves the queue mail' in text
    assert 'Start one: rq-leveldb worker mail' in text
    add_worker(redis, 'lives')
    assert 'Warning' not in call('enqueue', 'cli_jobs.add', ':2', '--queue', 'mail')[1]
    assert call('enqueue', 'cli_jobs.ad', '--quiet') == (0, '')
    assert len(Queue('mail', connection=redis)) == 2


def test_enqueueing_for_programs(redis: Redis, call: Call) -> None:
    code, text = call('enqueue', 'cli_jobs.ad', ':2', 'x=y', '--json')
    assert code == 0
    shown = json.loads(text)
    assert Queue(connection=redis).job_ids == [shown['job_id']]
    assert (shown['queue'], shown['function']) == ('default', 'cli_jobs.ad')
    assert len(shown['warnings']) == 2
    assert json.loads(call('empty', 'default', '--json')[1]) == {'removed': {'default': 1}}


def test_a_dependency_that_is_not_there(redis: Redis, call: Call) -> None:
    redis.ping()
    code, text = call('enqueue', 'cli_jobs.add', '--depends-on', 'gone')
    assert code == 0
    assert 'there is no job gone, so the new job does not wait for it' in text


def test_help_explains_the_arguments(call: Call) -> None:
    text = call('enqueue', '--help')[1]
    assert 'JSON, the number 2' in text
    assert 'x:=2' in text


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--schedule-in', '5x'], "'5x' is not a duration"),
        (['--schedule-in', '99999999999d'], 'too far away'),
        (['--schedule-at', 'tomorrow'], "'tomorrow' is not a local time such as"),
        (['--retry-max', '2', '--retry-interval', '-5'], 'must not be less than 0'),
        (['--job-id', 'a/b'], 'must only contain letters'),
        ([':{'], 'as JSON'),
        (['x=@/'], 'Is a directory'),
        (['x=@/nowhere/at/all'], 'Not found'),
    ],
)
def test_mistakes_that_end_in_a_sentence(
    options: list[str], said: str, store_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for url in (f'leveldb://{store_dir}', 'http://127.0.0.1:1'):
        assert main(['enqueue', '--url', url, 'cli_jobs.add', *options]) in (1, 2)
        text = capfd.readouterr().err
        assert said in text
        assert 'Traceback' not in text


@pytest.mark.parametrize('path', ['/nowhere.py', 'nowhere', 'nowhere.py', '/'])
def test_a_cron_file_that_is_not_there(path: str, call: Call) -> None:
    code, text = call('cron', path)
    assert code == 1
    assert 'The cron definitions cannot be used' in text
    assert path in text
    assert 'Traceback' not in text


@pytest.mark.parametrize('command', [['--help'], ['jobs'], ['status'], ['jobs', '--json'], ['info', '--raw']])
def test_output_that_cannot_be_written(command: list[str], redis: Redis, store_dir: Path) -> None:
    Queue(connection=redis).enqueue('cli_jobs.add')

    def run(stdout: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, '-m', 'rq_leveldb', *command],
            env={**os.environ, 'RQ_LEVELDB_URL': f'leveldb://{store_dir}'},
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )

    reader, writer = os.pipe()
    os.close(reader)
    try:
        closed = run(writer)
    finally:
        os.close(writer)
    assert (closed.returncode, closed.stderr) == (1, '')
    with open('/dev/full', 'w', encoding='utf-8') as full:
        ended = run(full.fileno())
    assert ended.returncode == 1
    assert ended.stderr == 'Error: there is no space left for the output: No space left on device\n'

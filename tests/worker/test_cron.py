"""Cron: each entry once per due time, whatever starts, dies, is deployed or sets the clock."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_jobs
from rq import Queue
from rq.cron import CronJob, CronScheduler
from rq.job import Job
from rq.utils import utcparse

from rq_leveldb.client import autostart
from rq_leveldb.cron_due import Due, due_key
from rq_leveldb.errors import BadCronFile
from rq_leveldb.jobs.cron_entries import find_cron_entries, run_now, set_enabled
from rq_leveldb.location import DataDirectory
from rq_leveldb.unreadable import read_aside
from rq_leveldb.worker import Worker
from rq_leveldb.worker.cron import WorkerCron, next_step
from rq_leveldb.worker.cron_file import CronFile, Entry, load
from tests.places import APPLICATIONS, ROOT
from tests.until import until
from tests.worker.support import Workers, site_of

HEAD = 'import worker_jobs\nfrom rq import cron\n'
EVERY_HOUR = "cron.register(worker_jobs.nothing, 'default', interval=3600)\n"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return what writes a file of definitions and returns its path; its directory is the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(APPLICATIONS))

    def write_file(*lines: str, name: str = 'config.py') -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEAD + ''.join(lines))
        return str(path)

    return write_file


def cron(connection: Any, path: str) -> WorkerCron:
    return WorkerCron(site_of(Worker(['default'], connection=connection)), path, 'WARNING')


def set_due(connection: Any, entry: Entry, seconds: float, written: float = -7200) -> None:
    """Say that an entry is due so many seconds from now."""
    moment = time.time()
    due = Due(moment + seconds, moment + written, moment + written)
    connection.set(due_key(entry.id), due.encode())


def due_of(connection: Any, entry: Entry) -> Due:
    due = Due.decode(connection.get(due_key(entry.id)))
    assert due is not None
    return due


def single(path: str) -> Entry:
    (entry,) = load(path).entries
    return entry


# What is enqueued, and when


def test_the_job_is_the_one_that_rq_writes(either: Any, write: Callable[..., str]) -> None:
    options = "args=(1,), kwargs={'right': 2}, job_timeout='2m', result_ttl=7, ttl=900, failure_ttl=8, meta={'a': 1}"
    path = write(f"cron.register(worker_jobs.add, 'default', interval=60, name='sums', {options})\n")
    queue = Queue(connection=either)
    theirs = CronJob(
        'default',
        worker_jobs.add,
        args=(1,),
        kwargs={'right': 2},
        interval=60,
        name='sums',
        job_timeout='2m',  # type: ignore[arg-type]
        result_ttl=7,
        ttl=900,
        failure_ttl=8,
        meta={'a': 1},
    ).enqueue(either)

    cron(either, path).step()

    assert len(queue.get_job_ids()) == 2
    ours = Job.fetch(queue.get_job_ids()[1], connection=either)
    fields = [either.hgetall(job.key) for job in (theirs, ours)]
    for found in fields:
        assert abs(utcparse(found.pop(b'created_at').decode()).timestamp() - time.time()) < 60
        assert abs(utcparse(found.pop(b'enqueued_at').decode()).timestamp() - time.time()) < 60
    assert fields[0] == fields[1]
    assert 890 < either.ttl(ours.key) <= 900
    assert either.zrange('rq:cron_job:sums:jobs', 0, -1)[1:] == [ours.id.encode()]
    assert either.zrange('rq:cron_jobs', 0, -1) == [b'sums']
    assert either.smembers('rq:queues') == {b'rq:queue:default'}


def test_a_new_interval_is_due_at_once_and_a_new_cron_string_is_not(either: Any, write: Callable[..., str]) -> None:
    path = write(EVERY_HOUR, "cron.register(worker_jobs.own_pid, 'default', cron='0 4 * * *')\n")

    for _ in range(2):
        cron(either, path).step()

    (job,) = Queue(connection=either).get_jobs()
    assert job.func_name == 'worker_jobs.nothing'


def test_who_takes_over_repeats_nothing(either: Any, write: Callable[..., str]) -> None:
    path = write(EVERY_HOUR, "cron.register(worker_jobs.own_pid, 'default', cron='0 4 * * *')\n")
    entries = load(path).entries
    for entry in entries:
        set_due(either, entry, -1)

    for _ in range(3):
        cron(either, path).step()

    assert len(Queue(connection=either)) == 2
    assert all(due_of(either, entry).at > time.time() for entry in entries)


def test_a_file_is_the_same_however_it_is_spelled(
    either: Any, write: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(EVERY_HOUR, name='tasks/nightly.py')
    spellings = ['tasks/nightly.py', './tasks/nightly.py', 'tasks.nightly', 'tasks/../tasks/nightly.py', path]

    for spelling in spellings:
        cron(either, spelling).step()
    Path('other').mkdir()
    monkeypatch.chdir('other')
    cron(either, '../tasks/nightly.py').step()

    assert len(Queue(connection=either)) == 1
    assert len(CronScheduler.all(either)) == 1


def test_entries_are_told_apart_by_what_they_are(either: Any, write: Callable[..., str]) -> None:
    path = write(
        "cron.register(worker_jobs.add, 'default', args=(1, 2), interval=60)\n",
        "cron.register(worker_jobs.add, 'default', args=(1, 3), interval=60)\n",
        "cron.register(worker_jobs.add, 'other', args=(1, 3), interval=60)\n",
        "cron.register(worker_jobs.add, 'default', args=(1, 3), interval=60, name='twice')\n",
        "cron.register(worker_jobs.add, 'default', args=(1, 3), interval=60, meta={'tenant': 7})\n",
        "cron.register(worker_jobs.add, 'default', args=(1, 3), interval=61)\n",
    )

    cron(either, path).step()

    assert len(Queue(connection=either)) + len(Queue('other', connection=either)) == 6


def test_an_entry_that_is_there_twice_runs_once_and_is_named(write: Callable[..., str]) -> None:
    # Neither the order of a set nor what is done with the result makes it another one.
    kwargs = [
        "kwargs={'left': {'a', 'b', 'c'}, 'right': 1}",
        "kwargs={'right': 1, 'left': {'c', 'b', 'a'}}, result_ttl=9",
    ]
    path = write(*(f"cron.register(worker_jobs.add, 'default', interval=60, {text})\n" for text in kwargs))

    file = load(path)

    assert len(file.entries) == 1
    (fault,) = file.faults
    assert fault.startswith('worker_jobs.add on default (every 60 s) is there twice and runs once')


def test_an_entry_is_the_same_in_every_process(write: Callable[..., str]) -> None:
    path = write("cron.register(worker_jobs.add, 'default', interval=60, args=({'a', 'b', 'c', 'd'}, 1.5))\n")
    program = f'from rq_leveldb.worker.cron_file import load; print(load({path!r}).entries[0].id)'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(APPLICATIONS), os.environ.get('PYTHONPATH', '.')])}

    ids = {
        subprocess.run(
            [sys.executable, '-c', program],
            env={**environment, 'PYTHONHASHSEED': seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()[-1]
        for seed in ('1', '2', '3')
    }

    assert len(ids) == 1


def test_many_workers_at_once_enqueue_once(either: Any, write: Callable[..., str]) -> None:
    path = write(*(f"cron.register(worker_jobs.add, 'default', args=(1, {n}), interval=60)\n" for n in range(20)))
    crons = [cron(either, path) for _ in range(4)]

    threads = [threading.Thread(target=one.step) for one in crons]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(Queue(connection=either)) == 20


@pytest.mark.parametrize(
    ('options', 'runs'),
    [
        ("cron='* * * * *'", 0),
        ("cron='* * * * *', meta={'cron_missed': 'once'}", 1),
        ('interval=60', 1),
        ("interval=60, meta={'cron_missed': 'skip'}", 0),
    ],
)
def test_a_run_that_was_missed(either: Any, write: Callable[..., str], options: str, runs: int) -> None:
    path = write(f"cron.register(worker_jobs.nothing, 'default', {options})\n")
    entry = single(path)
    set_due(either, entry, -3 * 3600)

    for _ in range(2):
        cron(either, path).step()

    assert len(Queue(connection=either)) == runs
    assert 0 < due_of(either, entry).at - time.time() <= 60


def test_a_file_that_no_longer_has_an_entry_leaves_it_to_be_forgotten(either: Any, write: Callable[..., str]) -> None:
    path = write(EVERY_HOUR)
    entry = single(path)

    cron(either, path).step()

    assert 30 * 86400 < either.ttl(due_key(entry.id)) <= 31 * 86400


def test_an_entry_is_disabled_and_enabled(either: Any, write: Callable[..., str]) -> None:
    path = write(EVERY_HOUR)
    disabled = single(path)
    set_due(either, disabled, -1)
    assert set_enabled(either, disabled.id, False)
    assert either.ttl(due_key(disabled.id)) == -1

    cron(either, path).step()

    assert len(Queue(connection=either)) == 0
    (listed,) = find_cron_entries(either, [])
    assert (listed.id, listed.is_disabled, listed.next_at) == (disabled.id, True, None)
    # What was left out is not made up for.
    assert set_enabled(either, disabled.id, True)
    cron(either, path).step()
    assert len(Queue(connection=either)) == 0
    set_due(either, disabled, -1)
    cron(either, path).step()
    assert len(Queue(connection=either)) == 1


@pytest.mark.parametrize('is_enabled', [True, False])
def test_an_entry_runs_now_once_and_is_due_as_before(either: Any, write: Callable[..., str], is_enabled: bool) -> None:
    path = write(EVERY_HOUR)
    wanted = single(path)
    set_due(either, wanted, 1800)
    before = due_of(either, wanted)
    assert set_enabled(either, wanted.id, is_enabled)
    assert run_now(either, wanted.id)

    for _ in range(2):
        cron(either, path).step()

    assert len(Queue(connection=either)) == 1
    after = due_of(either, wanted)
    assert (after.at, after.is_wanted, after.is_disabled) == (before.at, False, not is_enabled)
    assert not run_now(either, 'nothing')


# Clocks


def entry(**options: Any) -> Entry:
    plain = Entry('id', 'label', 'name', 'default', '', 0, False, {}, {}, 0)
    return replace(plain, **options)


NIGHTLY, HOURLY = entry(cron='0 4 * * *'), entry(interval=3600, once=True)
NIGHT = datetime(2026, 3, 3, 4, 0, 1).astimezone().timestamp()


def run(which: Entry, text: bytes | None, moment: float) -> tuple[int, bytes | None]:
    """Return how often it runs at this moment, and what the store says then."""
    step = next_step(which, text, moment)
    return (0, text) if step is None else (int(step.enqueue), step.due.encode().encode())


@pytest.mark.parametrize('hours', [0.5, 1, 3])
def test_a_clock_that_is_set_back_repeats_nothing(hours: float) -> None:
    for which in (NIGHTLY, replace(NIGHTLY, once=True), HOURLY):
        runs, text = run(which, Due(NIGHT - 1, NIGHT - 86400, None).encode().encode(), NIGHT)
        assert runs == 1
        again = 0
        moment = NIGHT - hours * 3600
        # Until just before the next run is due by the clock that is now right.
        while moment < NIGHT + min(0, (1 - hours) * 3600 - 2):
            runs, text = run(which, text, moment)
            again += runs
            moment += 1
        assert not again


def test_a_clock_that_was_ahead_for_a_moment_stops_nothing() -> None:
    minutely = entry(cron='* * * * *')
    ran = Due(NIGHT - 1, NIGHT - 60, NIGHT - 60).encode().encode()
    runs, text = run(minutely, ran, NIGHT + 3 * 3600)
    assert not runs

    _, text = run(minutely, text, NIGHT)

    assert run(minutely, text, NIGHT + 60)[0] == 1


def test_a_clock_that_was_wrong_by_years_does_not_stop_anything() -> None:
    years = 9 * 365 * 86400
    for which in (NIGHTLY, HOURLY):
        _, text = run(which, Due(NIGHT - 1, NIGHT - 86400, None).encode().encode(), NIGHT + years)
        runs, text = run(which, text, NIGHT)
        assert not runs
        assert text is not None
        due = Due.decode(text)
        assert due is not None
        assert 0 < due.at - NIGHT <= 86400


def test_a_clock_that_is_set_forward_runs_once_at_most() -> None:
    for which, expected in ((NIGHTLY, 0), (replace(NIGHTLY, once=True), 1), (HOURLY, 1)):
        runs, text = run(which, Due(NIGHT - 1, NIGHT - 86400, None).encode().encode(), NIGHT + 3 * 3600)
        assert runs == expected
        assert run(which, text, NIGHT + 3 * 3600 + 1)[0] == 0


@pytest.mark.parametrize('text', [b'', b'null', b'[]', b'{"due": 1}', b'{"due": NaN, "written": 1, "last": null}'])
def test_an_unreadable_due_time_is_not_a_reason_to_run(text: bytes) -> None:
    for which in (NIGHTLY, HOURLY):
        runs, after = run(which, text, NIGHT)
        assert runs == 0
        assert after is not None
        assert Due.decode(after) is not None


# What RQ's tools see


def test_rq_lists_the_entries_once_with_their_next_run(either: Any, write: Callable[..., str]) -> None:
    path = write(EVERY_HOUR, "cron.register(worker_jobs.add, 'default', args=(1, 2), cron='0 4 * * *', name='sums')\n")
    first, second = cron(either, path), cron(either, path)

    first.step()
    second.step()

    (listed,) = CronScheduler.all(either)
    hourly, nightly = listed.get_jobs()
    assert (hourly.func_name, hourly.interval) == ('worker_jobs.nothing', 3600)
    assert hourly.next_enqueue_time is not None
    assert 3500 < (hourly.next_enqueue_time - datetime.now(timezone.utc)).total_seconds() <= 3600
    assert hourly.latest_enqueue_time is not None
    assert (nightly.name, nightly.cron, nightly.args) == ('sums', '0 4 * * *', (1, 2))
    assert nightly.next_enqueue_time is not None
    assert listed.config_file == path
    assert hourly.get_job_ids(either) == Queue(connection=either).get_job_ids()
    first.stop()
    second.stop()
    assert not CronScheduler.all(either)


# The file is the application's code


@pytest.mark.parametrize(
    ('code', 'words'),
    [
        ('raise ValueError("as expected")\n', 'as expected'),
        ('import no_such_module\n', 'no_such_module'),
        ('this is no Python\n', 'invalid syntax'),
        ('raise SystemExit(3)\n', 'it exits, with code 3'),
        ('class Odd(BaseException): pass\nraise Odd("very")\n', 'Odd: very'),
        ('import os\nos._exit(0)\n', 'ended without a word'),
        ('import os\nos.kill(os.getpid(), 9)\n', 'SIGKILL'),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(write: Callable[..., str], code: str, words: str) -> None:
    with pytest.raises(BadCronFile, match=words):
        load(write(code))


def test_a_file_that_never_ends_is_given_up(write: Callable[..., str], tmp_path: Path) -> None:
    path = write(
        'import pathlib, subprocess, time\n'
        f'pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(subprocess.Popen(["sleep", "600"]).pid))\n'
        'while True: time.sleep(1)\n'
    )

    with pytest.raises(BadCronFile, match=r'not loaded after 2 seconds'):
        load(path, patience=2)

    started = int((tmp_path / 'pid').read_text())
    until(lambda: not psutil.pid_exists(started) or psutil.Process(started).status() == psutil.STATUS_ZOMBIE)


def test_what_the_file_leaves_behind_does_not_keep_us(write: Callable[..., str]) -> None:
    path = write('import os, time\nif not os.fork():\n    time.sleep(600)\n', EVERY_HOUR)

    assert len(load(path).entries) == 1


@pytest.mark.parametrize(
    'bad',
    [
        "cron.register(worker_jobs.add, 'default', args=(lambda: None,), interval=60)\n",
        "cron.register(worker_jobs.add, 'default', interval=60, cron='* * * * *')\n",
        "cron.register(worker_jobs.add, 'default', cron='no such thing')\n",
        "cron.register(worker_jobs.add, 'default', cron='0 0 31 2 *')\n",
        "cron.register(worker_jobs.add, 'default', interval=60, meta={'cron_missed': 'sometimes'})\n",
        "cron.register(worker_jobs.add, 'default', interval=60, ttl=-5)\n",
        'class Leaves:\n    def __reduce__(self): raise SystemExit(1)\n'
        "cron.register(worker_jobs.add, 'default', args=(Leaves(),), interval=60)\n",
    ],
)
def test_an_entry_that_cannot_be_used_is_named_and_the_others_run(write: Callable[..., str], bad: str) -> None:
    file: CronFile = load(write(EVERY_HOUR, bad, "cron.register(worker_jobs.own_pid, 'default', interval=60)\n"))

    assert [entry.name for entry in file.entries] == ['worker_jobs.nothing', 'worker_jobs.own_pid']
    (fault,) = file.faults
    assert 'add' in fault
    assert 'is left out' in fault


def test_nothing_of_the_application_is_imported_here(write: Callable[..., str]) -> None:
    write('VALUE = 1\n', name='only_there.py')
    path = write("import only_there\ncron.register(worker_jobs.add, 'default', interval=60)\n")

    load(path)

    assert 'only_there' not in sys.modules


def test_a_worker_whose_definitions_are_bad_says_so_and_leaves_no_trace(
    workers: Workers, redis: Any, write: Callable[..., str]
) -> None:
    for path in (write('raise ValueError("as expected")\n', name='bad.py'), '/no/such/file.py', 'no_such_module'):
        process = workers.launch('--cron', path)
        said = process.communicate(timeout=60)[0]

        assert process.returncode == 1
        assert 'Error: The cron definitions cannot be used' in said
        assert path in said
        assert 'Traceback' not in said
        assert not redis.keys('rq:worker*')


# Keys of another type


def test_keys_of_another_type_harm_their_own_entry_alone(either: Any, write: Callable[..., str]) -> None:
    path = write(
        EVERY_HOUR,
        "cron.register(worker_jobs.add, 'default', args=(1, 2), interval=60)\n",
        "cron.register(worker_jobs.own_pid, 'full', interval=60)\n",
    )
    bad, good, full = load(path).entries
    either.rpush(due_key(bad.id), 'x')
    either.set('rq:queue:full', 'x')
    either.set('rq:cron_jobs', 'x')
    either.set('rq:cron_schedulers', 'x')

    for _ in range(2):
        cron(either, path).step()

    assert [job.func_name for job in Queue(connection=either).get_jobs()] == [good.name]
    assert {aside.key for aside in read_aside(either)} == {due_key(bad.id), 'rq:queue:full'}
    either.delete('rq:queue:full')
    cron(either, path).step()
    assert [job.func_name for job in Queue('full', connection=either).get_jobs()] == [full.name]


# Workers


def test_a_worker_that_dies_is_followed_at_once(
    workers: Workers, queue: Queue, write: Callable[..., str], tmp_path: Path
) -> None:
    trace = tmp_path / 'trace'
    path = write(f"cron.register(worker_jobs.append, 'default', args=({str(trace)!r},), interval=2)\n")
    first = workers.start('--cron', path, name='one')
    workers.start('--cron', path, name='two')
    until(trace.exists)

    first.kill()
    killed = time.time()
    history = 'rq:cron_job:worker_jobs.append:jobs'
    connection: Any = queue.connection
    until(lambda: connection.zcount(history, killed, '+inf') >= 2, 20)

    runs = [score for _, score in connection.zrange(history, 0, -1, withscores=True)]
    gaps = [after - before for before, after in itertools.pairwise(runs)]
    assert all(2 <= gap < 4 for gap in gaps), gaps
    shown = json.loads(connection.hget(f'rq:cron_scheduler:{CronScheduler.all(connection)[0].name}', 'cron_jobs'))
    assert [entry['interval'] for entry in shown] == [2]


def test_kills_of_workers_and_stores_repeat_nothing(
    workers: Workers, redis: Any, write: Callable[..., str], store_dir: Path
) -> None:
    names = [f'entry-{number}' for number in range(4)]
    path = write(*(f"cron.register(worker_jobs.nothing, 'default', interval=2, name={name!r})\n" for name in names))

    def runs(name: str) -> list[float]:
        return [score for _, score in redis.zrange(f'rq:cron_job:{name}:jobs', 0, -1, withscores=True)]

    def another_run() -> None:
        # Of each: on a busy machine one entry may be made up for while another is late once more.
        seen = until(lambda: {name: len(runs(name)) for name in names})
        until(lambda: all(len(runs(name)) > before for name, before in seen.items()))

    started = {name: workers.start('--cron', path, name=name) for name in ('one', 'two')}
    for turn in range(4):
        another_run()
        store = autostart.running_store(DataDirectory(store_dir))
        if store is not None and turn % 2:
            os.kill(store[0].pid, signal.SIGKILL)
        victim = ('one', 'two')[turn % 2]
        started[victim].kill()
        started[victim].wait()
        started[victim] = workers.launch('--cron', path, name=victim)
    another_run()

    for name in names:
        gaps = [after - before for before, after in itertools.pairwise(runs(name))]
        assert len(gaps) >= 3
        assert min(gaps) >= 2

"""What a job's process leaves running is found and ended, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from rq_leveldb.process import identify
from rq_leveldb.worker.leftovers import Remains, end_leftovers
from tests.until import until
from tests.worker.support import is_running

needs_proc = pytest.mark.skipif(sys.platform != 'linux', reason='only process groups are known elsewhere')

Start = Callable[..., 'Job']


class Job:
    """A process that leads a group as a job's does, and the programs that it started."""

    def __init__(self, directory: Path, script: str, execution_id: str, environment: dict[str, str]) -> None:
        self.pids = directory / 'pids'
        self.pids.touch()
        group: dict[str, Any] = {'process_group': 0} if sys.version_info >= (3, 11) else {'preexec_fn': os.setpgrp}
        self.process = subprocess.Popen(
            ['bash', '-c', script.replace('SAY', 'echo $$ >> $PIDS')],
            env={**os.environ, **environment, 'PIDS': str(self.pids)},
            **group,
        )
        self.remains = Remains(execution_id, identify(self.process.pid))

    def programs(self, count: int) -> list[int]:
        """Return the process ids of what it started, once that is there."""
        until(lambda: len(self.pids.read_text().split()) == count)
        return [int(pid) for pid in self.pids.read_text().split()]

    def die(self) -> None:
        """Be killed, as its worker is."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts jobs' processes; all that is left of them at the end is killed."""
    jobs: list[Job] = []

    def begin(script: str, execution_id: str = 'e1', *, marked: bool = True) -> Job:
        directory = tmp_path / str(len(jobs))
        directory.mkdir()
        job = Job(directory, script, execution_id, {'RQ_EXECUTION_ID': execution_id} if marked else {})
        jobs.append(job)
        return job

    yield begin
    for job in jobs:
        job.die()
        for pid in map(int, job.pids.read_text().split()):
            if is_running(pid):
                psutil.Process(pid).kill()


def test_a_member_of_the_group(start: Start) -> None:
    job = start("bash -c 'SAY; sleep 100 & wait' & wait", marked=False)
    (program,) = job.programs(1)
    sleep = until(lambda: psutil.Process(program).children())[0].pid
    job.die()

    assert end_leftovers([job.remains])

    assert not is_running(program)
    assert not is_running(sleep)


@needs_proc
def test_a_program_in_a_session_of_its_own(start: Start) -> None:
    job = start("setsid bash -c 'SAY; exec sleep 100' & wait")
    (program,) = job.programs(1)
    assert os.getpgid(program) != job.process.pid
    job.die()

    assert end_leftovers([job.remains]) == 1

    assert not is_running(program)


@needs_proc
def test_a_daemon(start: Start) -> None:
    job = start("(setsid bash -c '(SAY; cd /; exec sleep 100 > /dev/null 2>&1) & SAY') & wait")
    pids = job.programs(2)
    job.die()

    assert end_leftovers([job.remains])

    assert not any(is_running(pid) for pid in pids)


@needs_proc
def test_the_child_of_a_program_that_forked_without_exec(start: Start) -> None:
    python = (
        'import os, time; os.setsid(); child = os.fork(); child or os.setsid(); '
        'print(os.getpid(), file=open(os.environ["PIDS"], "a")); time.sleep(100)'
    )
    job = start(f"{sys.executable} -c '{python}' & wait")
    pids = job.programs(2)
    job.die()

    assert end_leftovers([job.remains]) == 2

    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize('patience', [0.0, 0.3])
def test_a_program_that_ignores_sigterm(start: Start, patience: float) -> None:
    job = start("""bash -c 'trap "" TERM; SAY; while true; do sleep 0.1; done' & wait""")
    (program,) = job.programs(1)
    job.die()
    begun = time.monotonic()

    assert end_leftovers([job.remains], patience)

    assert time.monotonic() - begun >= patience
    assert not is_running(program)


def test_patience_lets_a_program_tidy_up(start: Start, tmp_path: Path) -> None:
    trace = tmp_path / 'trace'
    tidy = f'trap "sleep 0.3; echo clean > {trace}; exit" TERM; SAY; while true; do sleep 0.1; done'
    job = start(f"bash -c '{tidy}' & wait")
    job.programs(1)
    os.killpg(job.process.pid, signal.SIGTERM)
    job.die()

    end_leftovers([job.remains], 5.0)

    assert trace.read_text() == 'clean\n'


@needs_proc
def test_several_executions_at_once_and_no_others(start: Start) -> None:
    script = "setsid bash -c 'SAY; exec sleep 100' & bash -c 'SAY; exec sleep 100' & wait"
    first, second, other = start(script, 'e1'), start(script, 'e2'), start(script, 'e3')
    pids = [*first.programs(2), *second.programs(2)]
    spared = other.programs(2)
    first.die()
    second.die()

    assert end_leftovers([first.remains, second.remains]) == 4

    assert not any(is_running(pid) for pid in pids)
    assert all(is_running(pid) for pid in spared)


def test_a_process_whose_number_was_another_ones_is_spared(start: Start) -> None:
    job = start('SAY; sleep 100', marked=False)
    job.programs(1)
    later = Remains('e9', replace(identify(job.process.pid), started='1'))
    earlier = Remains('e9', replace(identify(job.process.pid), started=str(10**12)))

    assert end_leftovers([later, earlier]) == 0

    assert is_running(job.process.pid)


@needs_proc
def test_never_the_caller_nor_those_above_it() -> None:
    caller = (
        'import os; from rq_leveldb.process import identify; '
        'from rq_leveldb.worker.leftovers import Remains, end_leftovers; '
        'print(end_leftovers([Remains("above", identify()), Remains("above", identify(os.getppid()))]))'
    )
    parent = f'import subprocess, sys; subprocess.run([sys.executable, "-c", {caller!r}], check=True)'
    process = subprocess.run(
        [sys.executable, '-c', parent],
        env={**os.environ, 'RQ_EXECUTION_ID': 'above'},
        capture_output=True,
        text=True,
        start_new_session=True,
    )

    assert (process.returncode, process.stdout) == (0, '0\n'), process.stderr


def test_nothing_to_end() -> None:
    assert end_leftovers([]) == 0
    assert end_leftovers([Remains('no such execution')]) == 0

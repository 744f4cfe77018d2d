"""One process is told from another, and a child ends with its parent."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rq_leveldb import process, systemd

linux = pytest.mark.skipif(sys.platform != 'linux', reason='Linux only')


def test_a_living_process_and_others() -> None:
    me = process.identify()
    assert me.pid == os.getpid()
    assert process.is_alive(me)
    assert process.identify() == me
    assert not process.is_alive(replace(me, started='1'))
    assert not process.is_alive(replace(me, boot_id='another'))


def test_an_ended_process_is_dead_before_it_is_reaped() -> None:
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    identity = process.identify(child.pid)
    assert process.is_alive(identity)
    descriptor = process.pidfd_open(child.pid)
    child.kill()
    if descriptor is None:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    else:
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
    assert not process.is_alive(identity)
    with pytest.raises(ProcessLookupError):
        process.identify(child.pid)
    child.communicate()
    assert not process.is_alive(identity)


def test_a_name_with_parentheses_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / 'a) R (1 2'
    program.symlink_to(sys.executable)
    child = subprocess.Popen([program, '-c', 'input()'], stdin=subprocess.PIPE)
    try:
        assert process.is_alive(process.identify(child.pid))
    finally:
        child.communicate()


PARENT = """
import os, sys, time
from rq_leveldb import process
parent = os.getpid()
read, write = os.pipe()
child = os.fork()
if child == 0:
    process.die_with_parent(parent)
    os.write(write, b'x')
    time.sleep(60)
os.read(read, 1)
print(child, flush=True)
time.sleep(60)
"""


@linux
def test_a_child_ends_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, '-c', PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = process.identify(int(parent.stdout.readline()))
        descriptor = process.pidfd_open(child.pid)
        assert descriptor is not None
        parent.kill()
        assert select.select([descriptor], [], [], 10)[0]
        os.close(descriptor)
    assert not process.is_alive(child)


@linux
def test_a_parent_that_is_already_gone_is_noticed() -> None:
    code = 'import os; from rq_leveldb import process; process.die_with_parent(os.getpid()); print("alive")'
    ended = subprocess.run([sys.executable, '-c', code], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b'')


def test_detached_process_has_a_session_of_its_own() -> None:
    code = """
import os, signal
from rq_leveldb import process
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
process.detach()
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
print(os.getsid(0) == os.getpid() != int(os.environ['SESSION']), os.getcwd(), mask)
"""
    ended = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'SESSION': str(os.getsid(0))},
        check=True,
    )
    assert ended.stdout == 'True / set()\n'


@pytest.mark.parametrize('abstract', [False, pytest.param(True, marks=linux)])
def test_readiness_is_told_to_the_supervisor(abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f'@rq-leveldb-{os.getpid()}' if abstract else str(tmp_path / 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(name.replace('@', '\0'))
        assert systemd.notify('READY=1') is False
        monkeypatch.setenv('NOTIFY_SOCKET', name)
        assert systemd.notify('READY=1') is True
        assert supervisor.recv(100) == b'READY=1'
    assert systemd.notify('STOPPING=1') is False


@pytest.mark.parametrize(
    ('own', 'above', 'cores'),
    [
        ('max 100000', 'max 100000', None),
        ('50000 100000', 'max 100000', 0.5),
        ('max 100000', '70000 100000', 0.7),
        ('nonsense', None, None),
    ],
)
def test_a_quota_counts_wherever_above_the_process_it_is(
    tmp_path: Path, own: str, above: str | None, cores: float | None
) -> None:
    group = tmp_path / 'fs' / 'slice' / 'unit'
    group.mkdir(parents=True)
    (group / 'cpu.max').write_text(own)
    if above is not None:
        (group.parent / 'cpu.max').write_text(above)
    membership = tmp_path / 'cgroup'
    membership.write_text('1:cpu:/elsewhere\n0::/slice/unit\n')
    unlimited = process.usable_cores(tmp_path / 'missing', tmp_path / 'fs')
    assert unlimited >= 1
    assert process.usable_cores(membership, tmp_path / 'fs') == (cores or unlimited)

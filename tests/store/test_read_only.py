"""A file system that becomes read-only, by an operator or by the kernel after an error, and can be written again."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rq_leveldb import Redis
from rq_leveldb.location import FSYNC_POLICIES
from tests.power.recorder import Recorder, missing
from tests.store.crashing import PATIENCE, Store, Writer, wait_for
from tests.store.mounts import run_with_mounts_of_its_own


def test_a_start_on_a_read_only_file_system_is_refused_in_words_and_changes_nothing(tmp_path: Path) -> None:
    run_with_mounts_of_its_own('read_only', tmp_path / 'disk')


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    """Return what makes the directory "disk" read-only under the programs that are started from now on.

    The kernel does that when it finds an error; an operator cannot while files are open for writing.
    """
    if missing():
        pytest.skip(missing())
    root = tmp_path / 'disk'
    root.mkdir(mode=0o700)
    recorder = Recorder(tmp_path, root)
    for name, value in recorder.environment().items():
        monkeypatch.setenv(name, value)
    yield recorder
    recorder.fail_no_more()


def kill(pid: int) -> None:
    descriptor = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert select.select([descriptor], [], [], PATIENCE)[0]
    os.close(descriptor)


def become_read_only(disk: Recorder) -> None:
    disk.fail_after(0, 1 << 60, errno.EROFS)


@pytest.mark.parametrize('fsync', FSYNC_POLICIES)
def test_a_running_store_refuses_writes_reads_on_and_goes_on_by_itself(disk: Recorder, fsync: str) -> None:
    store = Store(disk.root / 'jobs', fsync)
    url = f'leveldb://{store.directory}?fsync={fsync}'
    with Redis.from_url(url) as client:
        for number in range(12):
            client.set(f'table:{number}', os.urandom(1 << 20))
        crowd = [Writer(store, f'w{number}') for number in range(3)]
        for writer in crowd:
            writer.start()
        wait_for(crowd, 30)

        become_read_only(disk)
        deadline = time.monotonic() + PATIENCE
        while not all(writer.refusals for writer in crowd):
            assert time.monotonic() < deadline, 'writes are not refused'
            assert all(writer.is_alive() for writer in crowd), 'a client was disconnected'
            time.sleep(0.01)
        for writer in crowd:
            assert all('MISCONF' in said and 'Read-only file system' in said for said in writer.refusals)
            writer.check(client, writer.acknowledged, writer.acknowledged)
        assert all(len(client.get(f'table:{number}')) == 1 << 20 for number in range(12))
        assert client.info('persistence')['aof_last_write_status'] == 'err'
        with Redis.from_url(url) as late:
            assert late.get('w0:count')

        disk.fail_no_more()
        wait_for(crowd, 30)
        for writer in crowd:
            writer.stopping.set()
            writer.join(PATIENCE)
        kill(client.info('server')['process_id'])
        for writer in crowd:
            writer.check(client, writer.acknowledged, writer.acknowledged)
        said = (store.directory / 'store.log').read_text()
        assert 'Read-only file system' in said
        assert 'Traceback' not in said
        client.shutdown()

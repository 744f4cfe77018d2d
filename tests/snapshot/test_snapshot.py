"""rq-leveldb dump and restore between stores, as a shell sees them; with real Redis, see compat_tests."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from rq_leveldb import Redis
from rq_leveldb.errors import StoreError
from rq_leveldb.migrate import Wire
from rq_leveldb.migrate.copying import Stored, look
from rq_leveldb.migrate.record import PART
from rq_leveldb.migrate.scope import Scope
from rq_leveldb.snapshot import BadDump, Dump
from rq_leveldb.snapshot.blocks import read_blocks
from rq_leveldb.store.snapshots import MOST
from tests.all_types import fill
from tests.conftest import stop_store
from tests.until import until


class Places(NamedTuple):
    """Two stores and the name of a dump."""

    source: str
    target: str
    old: Redis
    new: Redis
    file: Path


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    urls = [f'leveldb://{tmp_path}/{name}' for name in ('old', 'new')]
    with Redis.from_url(urls[0]) as old, Redis.from_url(urls[1]) as new:
        yield Places(urls[0], urls[1], old, new, tmp_path / 'jobs.dump')
    for name in ('old', 'new'):
        stop_store(tmp_path / name)


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, '-m', 'rq_leveldb', *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def run(*arguments: str | Path, given: bytes | None = None, **options: Any) -> tuple[int, str]:
    """Run the command; return its exit code and all that it printed."""
    process = start(*arguments, stdin=subprocess.PIPE if given is not None else None, **options)
    out, err = process.communicate(given, timeout=100)
    said = (out + err).decode()
    assert 'Traceback' not in said, said
    return process.returncode, said


def dump(places: Places, *options: str) -> None:
    code, said = run('dump', places.file, '--url', places.source, *options)
    assert code == 0, said


def restore(places: Places, *options: str) -> tuple[int, str]:
    return run('restore', places.file, '--url', places.target, *options)


def contents(url: str, *, everything: bool = True) -> dict[bytes, Stored | None]:
    """All keys with type, expiry and digest, without those that a restore makes for itself."""
    with Wire(url) as wire:
        return {name: look(wire, name) for name in list(Scope(everything).names(wire))}


def many(redis: Redis, count: int) -> None:
    for begin in range(0, count, 1_000):
        with redis.pipeline(transaction=False) as pipe:
            for number in range(begin, begin + 1_000):
                pipe.hset(f'rq:job:{number:06}', mapping={'status': 'queued', 'data': f'{number}' * 20})
            pipe.rpush('rq:queue:default', *(f'{number:06}' for number in range(begin, begin + 1_000)))
            pipe.execute()


def test_all_types_come_back_as_they_were(places: Places) -> None:
    fill(places.old)
    places.old.set('other', 'of another program')
    dump(places)
    assert places.file.stat().st_mode & 0o777 == 0o600
    assert not places.file.with_name('jobs.dump.tmp').exists()
    code, said = restore(places)
    assert code == 0, said
    assert contents(places.target) == contents(places.source, everything=False)
    assert not places.new.exists('other')
    code, said = restore(places)
    assert (code, 'nothing was done now' in said) == (0, True)


def test_all_means_all_and_a_pipe_is_as_good(places: Places) -> None:
    fill(places.old)
    places.old.set('other', 'of another program')
    process = start('dump', '-', '--all', '--url', places.source)
    out, _ = process.communicate(timeout=100)
    assert run('restore', '-', '--url', places.target, given=out)[0] == 0
    assert contents(places.target) == contents(places.source)


def test_every_cut_and_every_flipped_bit_is_noticed(places: Places) -> None:
    places.old.hset('rq:job:one', 'status', 'queued')
    places.old.set('rq:long', b'x' * 1_200_000)
    dump(places)
    whole = places.file.read_bytes()
    assert sum(len(chunk.values) for chunk in Dump(io.BytesIO(whole), 'whole')) == 4
    begins = [block.offset for block in read_blocks(io.BytesIO(whole), 'whole')] + [len(whole)]
    # The heads, the checksums and the ends of all blocks, and some of what is between.
    near = {at + by for at in begins for by in range(-30, 50)} & set(range(len(whole)))
    for at in sorted({*near, *range(0, len(whole), 11)}):
        for wrong in (whole[:at], bytes([*whole[:at], whole[at] ^ 1 << at % 8]) + whole[at + 1 :]):
            with pytest.raises(BadDump):
                list(Dump(io.BytesIO(wrong), 'wrong'))
    for wrong in (whole + b'x', whole[: begins[1]] + whole[begins[2] :], whole[: begins[-2]] * 2):
        with pytest.raises(BadDump):
            list(Dump(io.BytesIO(wrong), 'wrong'))
    with pytest.raises(StoreError, match='version that is not known'):
        Dump(io.BytesIO(whole.replace(b'dump 1\n', b'dump 2\n', 1)), 'newer')


def test_of_a_damaged_file_nothing_is_restored(places: Places) -> None:
    many(places.old, 3_000)
    dump(places)
    whole = places.file.read_bytes()
    middle = len(whole) // 2
    places.file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    for options in ((), ('--check',)):
        code, said = restore(places, *options)
        assert code == 1
        assert 'The dump is damaged' in said
        assert 'the block at byte ' in said
    code, said = restore(places, '--check', '--json')
    assert (code, json.loads(said)['sound']) == (1, False)
    assert places.new.dbsize() == 0
    # From a pipe, what comes before is there; the whole dump brings the rest.
    code, said = run('restore', '-', '--url', places.target, given=whole[:middle])
    assert (code, 'ends at byte' in said) == (1, True)
    places.file.write_bytes(whole)
    assert restore(places, '--check')[0] == 0
    assert restore(places)[0] == 0
    assert contents(places.target) == contents(places.source)


def test_a_dump_under_load_is_of_one_moment(places: Places) -> None:
    """Every transaction enqueues a job, raises two counters and takes a job from another list."""
    many(places.old, 3_000)
    places.old.set('rq:one', 3_000)
    places.old.hset('rq:two', 'count', 3_000)
    stopped = threading.Event()

    def write() -> None:
        number = 3_000
        with Redis.from_url(places.source) as own:
            while not stopped.is_set():
                with own.pipeline() as pipe:
                    pipe.incr('rq:one').hincrby('rq:two', 'count', 1)
                    pipe.hset(f'rq:job:{number:06}', 'status', 'queued')
                    pipe.rpush('rq:queue:default', f'{number:06}')
                    pipe.lmove('rq:queue:default', 'rq:queue:taken', 'LEFT', 'RIGHT')
                    pipe.execute()
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: places.old.llen('rq:queue:taken'))
        before = places.old.llen('rq:queue:taken')
        dump(places)
        assert places.old.llen('rq:queue:taken') > before
    finally:
        stopped.set()
        writer.join()
    assert restore(places)[0] == 0
    new = places.new
    count = int(new.get('rq:one') or 0)
    assert int(new.hget('rq:two', 'count') or 0) == count
    named = [*new.lrange('rq:queue:taken', 0, -1), *new.lrange('rq:queue:default', 0, -1)]
    assert named == [b'%06d' % number for number in range(count)]
    assert sorted(new.scan_iter('rq:job:*', count=1000)) == [b'rq:job:%06d' % number for number in range(count)]


def test_a_killed_dump_releases_its_snapshot_and_leaves_no_half_file(places: Places) -> None:
    places.old.set('rq:long', os.urandom(8_000_000))
    path = Path(places.source.removeprefix('leveldb://'), 'store.sock')
    others = []
    for _ in range(MOST - 1):
        other = socket.socket(socket.AF_UNIX)
        other.connect(str(path))
        other.sendall(b'DEBUG SNAPSHOT ON\r\n')
        assert other.recv(100) == b'+OK\r\n'
        others.append(other)
    process = start('dump', '-', '--url', places.source)
    assert process.stdout is not None
    # Nobody reads on, so it waits with its snapshot.
    assert process.stdout.read(10) == b'rq-leveldb'
    code, said = run('dump', places.file, '--url', places.source)
    assert code == 1
    assert 'there are 4 snapshots already' in said
    assert list(places.file.parent.glob('*.dump*')) == []
    process.kill()
    process.communicate()
    until(lambda: run('dump', places.file, '--url', places.source)[0] == 0)
    for other in others:
        other.close()


def kill_when(condition: Callable[[], Any], *arguments: str | Path) -> bool:
    """Start the command and kill it; return whether it had not ended before."""
    process = start(*arguments)
    try:
        until(lambda: condition() or process.poll() is not None)
    finally:
        process.kill()
        process.communicate()
    return process.returncode == -signal.SIGKILL


def test_a_killed_restore_is_finished_by_the_same_command(places: Places) -> None:
    many(places.old, 6_000)
    places.old.rpush('rq:long list', *(f'{number:060}' for number in range(20_000)))
    dump(places)
    arguments = ('restore', places.file, '--url', places.target)
    assert kill_when(lambda: places.new.dbsize() > 3_000, *arguments)
    assert kill_when(lambda: places.new.llen(PART) or places.new.exists('rq:long list'), *arguments)
    assert run('restore', places.file, '--url', places.target, '--merge')[0] == 3
    code, said = restore(places)
    assert code == 0, said
    assert 'there from before' in said
    assert contents(places.target) == contents(places.source)


def test_it_refuses_a_place_in_use_until_it_is_told_what_to_do(places: Places) -> None:
    many(places.old, 1_000)
    places.old.sadd('rq:set', 'from the dump')
    places.old.zadd('rq:scores', {'both': 1})
    places.old.set('rq:string', 'of the dump')
    places.old.hset('rq:hash', 'both', 'of the dump')
    dump(places)
    new = places.new
    new.hset('rq:job:000001', 'status', 'failed')
    new.rpush('rq:queue:default', 'x')
    new.sadd('rq:set', 'from before')
    new.zadd('rq:scores', {'both': 2, 'mine': 3})
    new.set('rq:string', 'of the place')
    new.hset('rq:hash', mapping={'both': 'of the place', 'mine': 1})
    new.set('other', 'of another program')
    code, said = restore(places)
    assert (code, 'say --replace' in said, new.dbsize()) == (3, True, 7)
    code, said = restore(places, '--merge')
    assert code == 4
    assert 'rq:job:000001: both have a job of this id' in said
    assert 'rq:string: both have this string' in said
    assert new.lrange('rq:queue:default', 0, 1) == [b'x', b'000000']
    assert new.smembers('rq:set') == {b'from the dump', b'from before'}
    assert new.zrange('rq:scores', 0, -1, withscores=True) == [(b'both', 1), (b'mine', 3)]
    assert new.hgetall('rq:hash') == {b'both': b'of the dump', b'mine': b'1'}
    assert new.dbsize() > 1_000
    # Again, and nothing is merged twice.
    assert restore(places, '--merge')[0] == 4
    assert new.llen('rq:queue:default') == 1_001
    code, said = restore(places)
    assert (code, 'This was begun with --merge' in said) == (3, True)
    code, said = restore(places, '--replace')
    assert code == 0, said
    assert contents(places.target, everything=False) == contents(places.source)
    assert new.get('other') == b'of another program'


def test_it_refuses_while_a_worker_is_registered(places: Places) -> None:
    many(places.old, 1_000)
    dump(places)
    places.new.sadd('rq:workers', 'rq:worker:ann')
    places.new.hset('rq:worker:ann', mapping={'hostname': 'elsewhere', 'pid': 1})
    code, said = restore(places, '--merge')
    assert (code, 'The worker ann is registered' in said) == (3, True)


def test_what_has_expired_meanwhile_is_left_out(places: Places) -> None:
    places.old.set('rq:short', 'x', px=1_500)
    places.old.set('rq:lasting', 'x', px=3_600_000)
    dump(places)
    assert [one.name for chunk in Dump(places.file.open('rb'), '') for one in chunk.values] == [
        b'rq:lasting',
        b'rq:short',
    ]
    until(lambda: not places.old.exists('rq:short'))
    code, said = restore(places)
    assert (code, 'left out' in said) == (0, True)
    assert contents(places.target) == contents(places.source)


def test_a_file_is_replaced_only_by_force_and_as_a_whole(places: Places) -> None:
    places.old.set('rq:a', os.urandom(300_000))
    places.file.write_text('precious')
    code, said = run('dump', places.file, '--url', places.source)
    assert (code, 'say --force' in said, places.file.read_text()) == (1, True, 'precious')

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    code, said = run('dump', places.file, '--url', places.source, '--force', preexec_fn=limit)
    assert (code, 'cannot be written (File too large)' in said) == (1, True)
    assert [path.name for path in places.file.parent.glob('*.dump*')] == ['jobs.dump']
    assert places.file.read_text() == 'precious'
    dump(places, '--force')
    assert restore(places, '--check')[0] == 0
    code, said = run('dump', '/dev/null', '--url', places.source, '--force')
    assert (code, 'no regular file' in said) == (1, True)


def test_nothing_binary_goes_to_a_terminal(places: Places) -> None:
    places.old.set('rq:a', 'b')
    parent, child = pty.openpty()
    with open(child, 'wb') as terminal:
        process = subprocess.run(
            [sys.executable, '-m', 'rq_leveldb', 'dump', '-', '--url', places.source],
            stdout=terminal,
            stderr=subprocess.PIPE,
            check=False,
        )
    os.close(parent)
    assert process.returncode == 2
    assert b'no text for a terminal' in process.stderr


def test_reports_for_programs(places: Places) -> None:
    many(places.old, 1_000)
    _, said = run('dump', places.file, '--url', places.source, '--json')
    report = json.loads(said)
    assert (report['keys'], report['types'], report['one_moment']) == (1_001, {'hash': 1_000, 'list': 1}, True)
    assert report['bytes'] == places.file.stat().st_size
    _, said = restore(places, '--check', '--json')
    assert json.loads(said)['dump']['place'] == places.source
    _, said = restore(places, '--json')
    assert json.loads(said)['outcome']['written'] == 1_001


def test_large_values_take_little_memory(places: Places) -> None:
    places.old.set('rq:string', os.urandom(40_000_000))
    for begin in range(0, 50_000, 10_000):
        places.old.rpush('rq:list', *(f'{number:036}' for number in range(begin, begin + 10_000)))
    # From a small process: what a command's largest memory is counted from is that of who has started it.
    program = """
import resource, subprocess, sys
subprocess.run([sys.executable, '-m', 'rq_leveldb', *sys.argv[1:]], check=True, stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    for arguments in (('dump', places.file, '--url', places.source), ('restore', places.file, '--url', places.target)):
        peak = int(subprocess.check_output([sys.executable, '-c', program, *arguments]))
        # kB, and bytes on macOS.
        assert peak * (1 if sys.platform == 'darwin' else 1024) < 90e6
    assert places.new.get('rq:string') == places.old.get('rq:string')
    assert places.new.lrange('rq:list', 0, -1) == places.old.lrange('rq:list', 0, -1)

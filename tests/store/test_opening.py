"""A data directory is opened with everything that was acknowledged, or it is refused in words and kept."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rq_leveldb import errors
from rq_leveldb.location import DataDirectory
from rq_leveldb.store import manifest, table_file
from rq_leveldb.store.engine import Engine, ReadFailed
from rq_leveldb.store.log_file import BLOCK
from rq_leveldb.store.opening import close_database, open_database

VALUE = random.Random(1).randbytes(1024)
COUNT = 200


def key(number: int) -> bytes:
    return b'Dtest%05d' % number


def write(engine: Engine, numbers: range) -> None:
    """Write one batch a number: the keys of a batch share its fate, `last` tells which was the last one."""
    for number in numbers:
        engine.write({key(number): VALUE, b'Dlast': b'%d' % number})


def held(engine: Engine) -> int:
    """Return how many batches are there; they are a beginning of what was written, or this fails."""
    there = [engine.get(key(number)) == VALUE for number in range(COUNT)]
    count = sum(there)
    assert all(there[:count])
    assert engine.get(b'Dlast') == (b'%d' % (count - 1) if count else None)
    return count


@pytest.fixture
def directory(tmp_path: Path) -> DataDirectory:
    made = DataDirectory(tmp_path / 'jobs')
    made.create()
    return made


@pytest.fixture
def killed(directory: DataDirectory) -> DataDirectory:
    """Return a data directory with 200 batches, whose store was killed."""
    engine = open_database(directory)
    write(engine, range(COUNT))
    engine.close()
    return directory


def log_of(directory: DataDirectory) -> Path:
    (path,) = directory.database.glob('*.log')
    return path


def power_was_lost(directory: DataDirectory) -> None:
    directory.boot_note.write_text('another boot of the machine\n')


def zeros(data: bytearray) -> None:
    data[2 * BLOCK : 2 * BLOCK + 4096] = bytes(4096)


def a_bit(data: bytearray) -> None:
    data[BLOCK + 500] ^= 1


def an_older_block(data: bytearray) -> None:
    """Good checksums, in the wrong place."""
    data[2 * BLOCK : 3 * BLOCK] = data[BLOCK : 2 * BLOCK]


DAMAGES = (zeros, a_bit, an_older_block)


def damage(path: Path, how: Callable[[bytearray], None]) -> bytes:
    """Return what the file held before."""
    before = path.read_bytes()
    data = bytearray(before)
    how(data)
    path.write_bytes(data)
    return before


def test_a_killed_store_has_everything(killed: DataDirectory) -> None:
    engine = open_database(killed)
    assert held(engine) == COUNT
    engine.close()


@pytest.mark.parametrize('how', DAMAGES)
def test_a_damaged_log_is_refused_and_kept(killed: DataDirectory, how: Callable[[bytearray], None]) -> None:
    path = log_of(killed)
    damage(path, how)
    damaged = path.read_bytes()

    for _ in range(2):
        with pytest.raises(errors.CorruptDatabase) as caught:
            open_database(killed)
        assert str(killed.database) in caught.value.where
        assert path.read_bytes() == damaged


@pytest.mark.parametrize('how', DAMAGES)
def test_after_a_loss_of_power_the_log_ends_at_its_first_fault(
    killed: DataDirectory, how: Callable[[bytearray], None]
) -> None:
    path = log_of(killed)
    before = len(path.read_bytes())
    damage(path, how)
    damaged = path.read_bytes()
    power_was_lost(killed)

    engine = open_database(killed)

    assert 0 < held(engine) < COUNT * BLOCK * 3.2 / before
    (kept,) = killed.set_aside.iterdir()
    assert kept.read_bytes() == damaged
    write(engine, range(held(engine), COUNT))
    engine.close()
    engine = open_database(killed)
    assert held(engine) == COUNT
    engine.close()


def test_after_a_loss_of_power_a_whole_log_is_kept_whole(killed: DataDirectory) -> None:
    power_was_lost(killed)
    engine = open_database(killed)
    assert held(engine) == COUNT
    assert not killed.set_aside.exists()
    engine.close()


def test_logs_behind_a_fault_are_put_aside(directory: DataDirectory, tmp_path: Path) -> None:
    """LevelDB has two live logs for a moment: it writes a table of the older one meanwhile."""
    engine = open_database(directory)
    write(engine, range(COUNT // 2))
    older = log_of(directory)
    first = older.read_bytes()
    shutil.copytree(directory.database, tmp_path / 'then')
    engine.close()
    engine = open_database(directory)
    # As if this had been written to a second log, with the numbers that follow.
    write(engine, range(COUNT // 2, COUNT))
    second = log_of(directory).read_bytes()
    engine.close()
    shutil.rmtree(directory.database)
    shutil.copytree(tmp_path / 'then', directory.database)
    newer = directory.database / f'{int(older.stem) + 7:06d}.log'
    newer.write_bytes(second)
    engine = open_database(directory)
    assert held(engine) == COUNT
    engine.close()

    for data in (first[: BLOCK + 999], first[: -len(first) // 3], b''):
        shutil.rmtree(directory.database)
        shutil.copytree(tmp_path / 'then', directory.database)
        newer.write_bytes(second)
        older.write_bytes(data)
        with pytest.raises(errors.CorruptDatabase):
            Engine(directory.database)
        power_was_lost(directory)
        engine = open_database(directory)
        assert (held(engine) > 0) is bool(data)
        assert held(engine) < COUNT // 2
        engine.close()

    shutil.rmtree(directory.database)
    shutil.copytree(tmp_path / 'then', directory.database)
    newer.write_bytes(second)
    older.unlink()
    for _ in range(2):
        with pytest.raises(errors.CorruptDatabase, match='missing'):
            open_database(directory)
        # That is not explained by it.
        power_was_lost(directory)


def test_a_torn_batch_before_a_new_log_is_no_fault(killed: DataDirectory) -> None:
    """The store was killed while it wrote, and then again while LevelDB read its log."""
    path = log_of(killed)
    path.write_bytes(path.read_bytes()[:-100])
    (killed.database / f'{int(path.stem) + 7:06d}.log').touch()
    engine = open_database(killed)
    assert held(engine) == COUNT - 1
    engine.close()


def test_an_older_current_is_put_right_after_a_loss_of_power(killed: DataDirectory) -> None:
    """A file system may have kept the removal of the older MANIFEST's files, and not the change of the name."""
    current = killed.database / 'CURRENT'
    for older in (b'MANIFEST-000001\n', b'', None):
        current.unlink()
        if older is not None:
            current.write_bytes(older)
        with pytest.raises(errors.CorruptDatabase):
            open_database(killed)
        power_was_lost(killed)
        engine = open_database(killed)
        assert held(engine) == COUNT
        engine.close()


def test_a_damaged_first_block_is_told_by_the_program(killed: DataDirectory) -> None:
    """It holds what a start reads first, so the database can be opened and nothing can be done with it."""
    engine = open_database(killed)
    engine.compact(b'')
    close_database(killed, engine)
    table = min(killed.database.glob('*.ldb'))
    table.write_bytes(bytes(100) + table.read_bytes()[100:])

    program = [sys.executable, '-m', 'rq_leveldb', 'store', '--dir', str(killed.path)]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=30)

    assert done.returncode == 1
    assert 'The database is damaged' in done.stderr
    assert 'rq-leveldb check' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_store_that_ended_in_good_order_has_lost_no_power(killed: DataDirectory) -> None:
    """Nothing is cut then, in whichever boot it is opened: what is wrong is damage."""
    engine = open_database(killed)
    write(engine, range(COUNT))
    close_database(killed, engine)
    damage(log_of(killed), zeros)
    with pytest.raises(errors.CorruptDatabase):
        open_database(killed)


def test_a_torn_end_of_the_manifest_is_cut_after_a_loss_of_power(killed: DataDirectory) -> None:
    path = manifest.current(killed.database)
    whole = path.read_bytes()
    path.write_bytes(whole + b'\x11\x22\x33\x44\x04\x00\x01half an edit')
    power_was_lost(killed)
    engine = open_database(killed)
    assert held(engine) == COUNT
    engine.close()


@pytest.mark.parametrize('name', ['CURRENT', 'MANIFEST', 'log', 'leveldb'])
def test_what_is_missing_is_told_and_the_rest_is_kept(killed: DataDirectory, name: str) -> None:
    path = {
        'CURRENT': killed.database / 'CURRENT',
        'MANIFEST': manifest.current(killed.database),
        'log': log_of(killed),
        'leveldb': killed.database,
    }[name]
    path.rename(path.with_suffix('.gone'))
    others = sorted(killed.database.glob('*.l*')) if killed.database.exists() else []
    with pytest.raises(errors.CorruptDatabase, match='missing'):
        open_database(killed)
    assert all(other.exists() for other in others)


def test_an_unreadable_log_is_told_and_kept(killed: DataDirectory) -> None:
    path = log_of(killed)
    path.rename(path.with_suffix('.aside'))
    path.mkdir()
    with pytest.raises(errors.StoreError, match=r'cannot be read'):
        open_database(killed)
    path.rmdir()
    path.with_suffix('.aside').rename(path)
    engine = open_database(killed)
    assert held(engine) == COUNT
    engine.close()


def test_a_creation_that_was_cut_is_begun_again(directory: DataDirectory) -> None:
    half = directory.database.with_name('leveldb.new')
    half.mkdir()
    (half / 'CURRENT').write_bytes(b'MANI')
    engine = open_database(directory)
    write(engine, range(COUNT))
    assert held(engine) == COUNT
    assert not half.exists()
    engine.close()


def test_a_damaged_table_is_an_error_and_other_keys_go_on(directory: DataDirectory) -> None:
    engine = open_database(directory)
    write(engine, range(COUNT))
    engine.reopen()
    engine.close()
    table = max(directory.database.glob('*.ldb'), key=lambda path: path.stat().st_size)
    damage(table, lambda data: data.__setitem__(slice(len(data) // 2, len(data) // 2 + 40), bytes(40)))

    engine = open_database(directory)
    damaged = []
    for number in range(COUNT):
        try:
            assert engine.get(key(number)) == VALUE
        except ReadFailed:
            damaged.append(number)
    assert 0 < len(damaged) < COUNT // 10
    first, last = damaged[0], damaged[-1]
    for start, stop in ((0, COUNT), (first - 1, last + 1), (last, last + 1), (0, last + 1), (first, COUNT)):
        for reverse in (False, True):
            with pytest.raises(ReadFailed):
                list(engine.scan(key(start), key(stop), reverse))
    engine.write({key(COUNT): VALUE})
    assert engine.get(key(COUNT)) == VALUE
    engine.close()


@pytest.mark.parametrize('reverse', [False, True])
def test_damage_at_the_very_end_is_no_end(directory: DataDirectory, reverse: bool) -> None:
    engine = open_database(directory)
    write(engine, range(COUNT))
    engine.reopen()
    engine.close()
    table = max(directory.database.glob('*.ldb'), key=lambda path: path.stat().st_size)
    *_, block = table_file.blocks(table.read_bytes())
    damage(table, lambda data: data.__setitem__(block.start + 9, data[block.start + 9] ^ 1))
    engine = open_database(directory)
    for stop in (b'E', b'\xff', key(COUNT)):
        with pytest.raises(ReadFailed):
            list(engine.scan(b'D', stop, reverse))
    assert len(list(engine.scan(key(0), key(10), reverse))) == 10
    engine.close()


def test_reopening_misses_what_is_not_there(directory: DataDirectory, tmp_path: Path) -> None:
    """Also where the last batch only removed something, and where the database is an empty one."""
    engine = open_database(directory)
    shutil.copytree(directory.database, tmp_path / 'empty')
    write(engine, range(10))
    engine.reopen()
    shutil.copytree(directory.database, tmp_path / 'ten')
    engine.write({key(3): None})
    engine.write({key(99): None})
    for before in ('empty', 'ten'):
        for path in directory.database.iterdir():
            path.unlink()
        shutil.copytree(tmp_path / before, directory.database, dirs_exist_ok=True)
        with pytest.raises(errors.CorruptDatabase, match='missing after LevelDB was reopened'):
            engine.reopen()
        assert not engine.is_open

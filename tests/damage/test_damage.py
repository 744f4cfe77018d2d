"""What is damaged is never served as truth; a check says what is lost, and mending saves the rest."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import pytest

from rq_leveldb.errors import StoreError
from rq_leveldb.location import DataDirectory
from rq_leveldb.store import encoding, manifest
from rq_leveldb.store.check import Report, check
from rq_leveldb.store.engine import Engine
from rq_leveldb.store.opening import note_good_order
from tests.damage.campaign import Original, duplicate, play, prepare
from tests.damage.data import opened, seen

ROUNDS = 25
RECORDS = 60
SEED = 5


@pytest.fixture(scope='module')
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return prepare(tmp_path_factory.mktemp('damage'), SEED, 600)


def checked(directory: DataDirectory, fix: bool = False) -> Report:
    return check(directory, fix=fix, progress=lambda what, done, size: None)


@pytest.mark.parametrize('number', range(ROUNDS))
def test_a_damaged_file(original: Original, tmp_path: Path, number: int) -> None:
    """Of every kind, at a random place; `campaign.py` does thousands of them."""
    assert play(original, tmp_path, SEED + number).faults == []


def test_a_sound_database_is_called_so_and_left_alone(original: Original, tmp_path: Path) -> None:
    directory = duplicate(original, tmp_path / 'copy')
    before = {path: path.read_bytes() for path in directory.database.iterdir()}
    report = checked(directory, fix=True)
    assert report.findings == []
    assert report.keys == len(original.state)
    assert report.kept is None
    assert {path: path.read_bytes() for path in directory.database.iterdir()} == before
    assert not directory.mending.exists()


@pytest.mark.parametrize('number', range(RECORDS))
def test_a_record_that_is_gone_or_garbage(original: Original, tmp_path: Path, number: int) -> None:
    """As a fault of the store's own would leave it: no checksum tells, the records do."""
    chance = random.Random(number)
    directory = duplicate(original, tmp_path / 'copy')
    with contextlib.closing(Engine(directory.database)) as engine:
        records = list(engine.scan(b'', b'\xff'))
        kinds = sorted({_kind(key) for key, _ in records})
        kind = kinds[number % len(kinds)]
        key, value = chance.choice([record for record in records if _kind(record[0]) == kind])
        harm = ('gone', 'garbage', 'longer', 'empty')[number // len(kinds) % 4]
        new = {'gone': None, 'garbage': chance.randbytes(len(value)), 'longer': value + b'!', 'empty': b''}[harm]
        engine.write({key: new})
    note_good_order(directory)
    report = checked(directory)
    mended = checked(directory, fix=True)
    assert (mended.kept is not None) == (not report.sound)
    if mended.kept is not None:
        assert checked(directory).findings == []
    with contextlib.closing(opened(directory)) as direct:
        found = seen(direct, original.state)
    different = {place for place in {*found, *original.state} if found.get(place) != original.state.get(place)}
    # One record is a part of one key at most, which may be found again under another name.
    assert len(different) <= 2 or key in (encoding.namespace_key(3), encoding.namespace_key(4)), (key, harm)
    parts = [span for spans in original.spans.values() for span in spans if not span[0].startswith(b'\x00')]
    is_part = any(first <= key <= last for first, last in parts) and not key.endswith(encoding.BEHIND_STREAM_IDS)
    if harm == 'gone' and (is_part or key[:1] == encoding.EXPIRY_PREFIX):
        assert not report.sound, key
    if report.sound:
        # Whatever a string or a field holds may have been written.
        assert all(any(first <= key <= last for first, last in original.spans[place]) for place in different), key


def _kind(key: bytes) -> bytes:
    return key[:1] + key[9:10] if key[:1] == encoding.MEMBER_PREFIX else key[:8] if key[:1] == b'\x00' else key[:1]


def test_an_outdated_manifest_loses_nothing(original: Original, tmp_path: Path) -> None:
    """As one that lost its last records: LevelDB would remove the tables that it does not name."""
    directory = duplicate(original, tmp_path / 'copy')
    path = manifest.current(directory.database)
    outdated = path.read_bytes()
    with contextlib.closing(Engine(directory.database)) as engine:
        engine.write({encoding.meta_prefix(encoding.u32(0)) + b'last': encoding.meta_record(1, 0, 0, b'value')})
        engine.reopen()
        newest = manifest.current(directory.database)
    note_good_order(directory)
    newest.write_bytes(outdated)
    with pytest.raises(StoreError):
        opened(directory)
    assert not checked(directory, fix=True).sound
    with contextlib.closing(opened(directory)) as direct:
        found = seen(direct, original.state)
    assert found.pop((0, b'last'))[2] == b'value'
    assert found == original.state


def test_what_a_loss_of_power_explains_is_no_damage(original: Original, tmp_path: Path) -> None:
    """The store mends it by itself."""
    directory = duplicate(original, tmp_path / 'copy')
    with manifest.current(directory.database).open('ab') as file:
        file.write(b'\x11\x22\x33\x44\x04\x00\x01half an edit')
    (log,) = directory.database.glob('*.log')
    log.write_bytes(log.read_bytes()[:-5000] + bytes(4000))
    assert not checked(directory).sound
    directory.boot_note.write_text('another boot of the machine\n')
    report = checked(directory, fix=True)
    assert report.sound
    assert report.kept is None
    assert len(report.findings) == 2
    opened(directory).close()

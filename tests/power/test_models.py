"""Each model of a disk keeps what was synced, and only what it may keep of the rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from random import Random

import pytest

from tests.power.disk import Disk
from tests.power.models import BLOCK, MODELS, rebuild
from tests.power.recorder import Kind, Note

POWERLESS = [name for name in MODELS if MODELS[name].loses_power]


class Story:
    """Notes as a process would make them, with its one file and one directory."""

    def __init__(self) -> None:
        self.disk = Disk('/root')
        self.inodes: dict[str, int] = {}

    def create(self, name: str) -> None:
        self.inodes[name] = len(self.inodes) + 1
        self._note(Kind.CREATED, name, self.inodes[name])

    def make(self, name: str) -> None:
        self._note(Kind.DIRECTORY, name)

    def write(self, name: str, position: int, data: bytes) -> None:
        self._note(Kind.WRITTEN, '', self.inodes[name], position, data)

    def begin(self, name: str = '') -> None:
        self._note(Kind.SYNC_BEGUN, name, self.inodes.get(name, 0))

    def end(self, name: str = '') -> None:
        self._note(Kind.SYNCED, name, self.inodes.get(name, 0))

    def sync(self, name: str = '') -> None:
        self.begin(name)
        self.end(name)

    def rename(self, old: str, new: str) -> None:
        self._note(Kind.RENAMED, old, data=f'/root/{new}'.encode())
        self.inodes[new] = self.inodes.pop(old)

    def unlink(self, name: str) -> None:
        self._note(Kind.UNLINKED, name)

    def _note(self, kind: Kind, name: str, inode: int = 0, position: int = 0, data: bytes = b'') -> None:
        self.disk.follow(Note(kind, position, inode, 0.0, f'/root/{name}' if name else '/root', data))

    def left(self, model: str, target: Path, seeds: Iterable[int] = range(200)) -> list[dict[str, bytes]]:
        """Return what is left of the files, for each seed."""
        found = []
        for seed in seeds:
            place = target / f'{model} {seed}'
            place.mkdir()
            rebuild(MODELS[model](self.disk, Random(seed)), place)
            files = (path for path in place.rglob('*') if path.is_file())
            found.append({str(path.relative_to(place)): path.read_bytes() for path in files})
        return found


@pytest.mark.parametrize('model', POWERLESS)
def test_what_was_synced_is_there(model: str, tmp_path: Path) -> None:
    story = Story()
    story.create('file')
    story.write('file', 0, b'x' * 10_000)
    story.sync('file')
    story.sync()
    story.write('file', 10_000, b'y' * 10_000)
    story.create('other')
    for left in story.left(model, tmp_path):
        assert left['file'][:10_000] == b'x' * 10_000


@pytest.mark.parametrize('model', POWERLESS)
def test_a_sync_does_not_cover_what_comes_while_it_runs(model: str, tmp_path: Path) -> None:
    story = Story()
    story.create('file')
    story.sync()
    story.write('file', 0, b'before')
    story.begin('file')
    story.write('file', 6, b' meanwhile')
    story.end('file')
    lefts = {left['file'] for left in story.left(model, tmp_path)}
    assert b'before' in lefts
    assert all(left.startswith(b'before') for left in lefts)


def test_strictly_a_name_needs_its_directory(tmp_path: Path) -> None:
    story = Story()
    story.create('kept')
    story.sync()
    story.create('file')
    story.write('file', 0, b'data')
    story.sync('file')
    story.unlink('kept')
    assert story.left('strict', tmp_path, [0]) == [{'kept': b''}]
    # ext4's journal takes every name along with the file's new length.
    ordered = story.left('ordered', tmp_path)
    assert {'file': b'data'} in ordered
    assert all(left['file'] == b'data' for left in ordered)


def test_names_come_in_their_order_or_in_any(tmp_path: Path) -> None:
    story = Story()
    for name in 'abc':
        story.create(name)
    ordered = {''.join(sorted(left)) for left in story.left('ordered', tmp_path)}
    assert ordered == {'', 'a', 'ab', 'abc'}
    reordered = {''.join(sorted(left)) for left in story.left('reordered', tmp_path)}
    assert reordered == {'', 'a', 'b', 'c', 'ab', 'ac', 'bc', 'abc'}


def test_a_rename_is_there_as_a_whole_or_not(tmp_path: Path) -> None:
    story = Story()
    for name, data in (('CURRENT', b'old'), ('aside', b'new')):
        story.create(name)
        story.write(name, 0, data)
        story.sync(name)
    story.sync()
    story.rename('aside', 'CURRENT')
    for model in ('ordered', 'reordered'):
        lefts = story.left(model, tmp_path)
        assert {left['CURRENT'] for left in lefts} == {b'old', b'new'}
        assert all(('aside' in left) == (left['CURRENT'] == b'old') for left in lefts)
    assert story.left('strict', tmp_path, [0]) == [{'CURRENT': b'old', 'aside': b'new'}]


def test_a_file_that_moves_between_directories_has_one_name_in_a_journal(tmp_path: Path) -> None:
    story = Story()
    story.make('there')
    story.create('file')
    story.write('file', 0, b'data')
    story.sync('file')
    story.sync()
    story.rename('file', 'there/file')
    assert story.left('strict', tmp_path, [0]) == [{'file': b'data'}]
    story.sync('there')
    # Whoever synced the new directory only has both names.
    assert story.left('strict', tmp_path, [1]) == [{'file': b'data', 'there/file': b'data'}]
    assert story.left('ordered', tmp_path, range(20)) == [{'there/file': b'data'}] * 20


def test_what_was_not_synced_is_shorter_or_zeroed_or_in_pieces(tmp_path: Path) -> None:
    story = Story()
    story.create('file')
    story.sync()
    blocks = [bytes([65 + index]) * BLOCK for index in range(4)]
    story.write('file', 0, b''.join(blocks))
    whole = b''.join(blocks)
    ordered = {left['file'] for left in story.left('ordered', tmp_path)}
    assert {b'', whole} <= ordered
    # A beginning, and zeros behind it.
    assert all(whole.startswith(left.rstrip(b'\0')) for left in ordered)
    assert any(left.endswith(b'\0') for left in ordered)
    reordered = {left['file'] for left in story.left('reordered', tmp_path)}
    assert any(left[:BLOCK] == bytes(BLOCK) and left[BLOCK : 2 * BLOCK] == blocks[1] for left in reordered)
    torn = [left for left, index in product(reordered, range(4)) if 0 < left[index * BLOCK :][:BLOCK].count(0) < BLOCK]
    assert torn

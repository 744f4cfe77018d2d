"""What a disk may hold after the power went, from what systems promise and from what they were seen to do.

================  ====================================================================================================
``Killed``        no loss of power: the process was killed, and everything that it wrote is there. For comparison, and
                  for kill -9 between any two calls.
``Strict``        only what was synced, by the letter of POSIX: a file's bytes as of its last fsync, a name if its
                  directory was synced. The least that any disk holds. (fsync(2): "Calling fsync() does not necessarily
                  ensure that the entry in the directory containing the file has also reached disk.")
``Ordered``       ext4 with ``data=ordered`` and delayed allocation, the kernel's documentation of ext4 and its
                  journal: changes of names reach the journal in their order, all of them with any sync; a file that was
                  not synced may be shorter than it was, or have zeros where blocks were allocated and not written. So
                  may one that was renamed without a sync, whatever it replaces (``noauto_da_alloc``).
``Reordered``     all that is not forbidden: any 4 KiB blocks of what was not synced are there or not, zeroed, or torn
                  between sectors of 512 bytes, and any of the changes of names that were not synced. After Pillai et
                  al., "All File Systems Are Not Created Equal" (OSDI 2014; persistence properties), and SQLite's tests
                  of a simulated loss of power ("How SQLite Is Tested", section 3.3), which reorder, drop and damage
                  what was not synced.
================  ====================================================================================================

Each is made for one cut, with its own source of chance; what it decides about a file it decides once.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TypeAlias

from tests.power.disk import Change, Directory, Disk, File, Node, apply, rename

BLOCK = 4096
SECTOR = 512


class Killed:
    """Everything that was written.

    Args:
        disk: when the power goes.
        chance: decides where there is a choice.
    """

    loses_power = False

    def __init__(self, disk: Disk, chance: Random) -> None:
        self.disk = disk
        self.chance = chance

    def names(self, directory: Directory) -> dict[str, Node]:
        """Return the names that are left in a directory."""
        return directory.names

    def contents(self, file: File) -> bytes | bytearray:
        """Return the bytes that are left of a file."""
        return file.current()


class Strict(Killed):
    """What was synced."""

    loses_power = True

    def names(self, directory: Directory) -> dict[str, Node]:
        return directory.durable

    def contents(self, file: File) -> bytes | bytearray:
        return file.durable


class Ordered(Killed):
    """Names in order up to a point, files that are shorter or end in zeros."""

    loses_power = True

    def __init__(self, disk: Disk, chance: Random) -> None:
        super().__init__(disk, chance)
        self._end = chance.choice((disk.journaled, disk.changes, chance.randint(disk.journaled, disk.changes)))

    def names(self, directory: Directory) -> dict[str, Node]:
        return _renamed(directory, [change for change in directory.changes if change.number < self._end])

    def contents(self, file: File) -> bytes | bytearray:
        data, least = _ordered_changes(file, self.chance)
        length = _length(least, len(data), self.chance)
        size = _length(length, len(data), self.chance) if self.chance.random() < 0.5 else length
        return data[:length] + bytes(size - length)


class Reordered(Killed):
    """Any blocks, any names."""

    loses_power = True

    def __init__(self, disk: Disk, chance: Random) -> None:
        super().__init__(disk, chance)
        self._share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))

    def names(self, directory: Directory) -> dict[str, Node]:
        return _renamed(directory, [change for change in directory.changes if self.chance.random() < self._share])

    def contents(self, file: File) -> bytes | bytearray:
        chance = self.chance
        if not file.changes:
            return file.durable
        data, least = _ordered_changes(file, chance)
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 0.99, 1.0))
        # Blocks beyond what was synced that did not come are zeros; the file's length may have come or not.
        left = bytearray(file.durable)
        left.extend(bytes(max(len(data) - len(left), 0)))
        end = least
        for start in range(least // BLOCK * BLOCK, len(data), BLOCK):
            if chance.random() >= share:
                continue
            first, stop = start, min(start + BLOCK, len(data))
            if chance.random() < 0.05:
                # Torn: the first or the last sectors of the block came.
                middle = start + SECTOR * chance.randint(0, BLOCK // SECTOR)
                first, stop = chance.choice(((start, min(middle, stop)), (min(middle, stop), stop)))
            # What was synced before is not taken away by a block that holds it as well.
            first = max(first, least) if least <= stop else first
            left[first:stop] = data[first:stop]
            end = max(end, stop)
        return left[: chance.choice((end, len(data)))]


Model: TypeAlias = type[Killed]
MODELS: dict[str, Model] = {'killed': Killed, 'strict': Strict, 'ordered': Ordered, 'reordered': Reordered}


def _renamed(directory: Directory, changes: list[Change]) -> dict[str, Node]:
    names = dict(directory.durable)
    rename(changes, names)
    return names


def _ordered_changes(file: File, chance: Random) -> tuple[bytearray, int]:
    """Return the file after some of its changes, and from where on it differs from what is durable.

    Only a file that was overwritten or cut has the choice; one that grew is as long as it may be.
    """
    data = bytearray(file.durable)
    least = len(data)
    position = least
    grew = True
    for write in file.changes:
        grew = grew and write.data is not None and write.position >= position
        if write.data is not None:
            position = write.position + len(write.data)
    if grew:
        apply(data, file.changes)
        return data, least
    apply(data, file.changes[: chance.randint(0, len(file.changes))])
    return data, 0 if data != file.durable else least


def _length(least: int, most: int, chance: Random) -> int:
    """Return one of the lengths a growing file may have: either, or the end of a block, or in a block."""
    if least >= most:
        return most
    kind = chance.randrange(4)
    if kind < 2:
        return (least, most)[kind]
    length = chance.randint(least, most)
    return max(length // BLOCK * BLOCK, least) if kind == 2 else length


def rebuild(model: Killed, target: Path) -> None:
    """Put what a model leaves into a directory.

    Args:
        model: what is left.
        target: an existing, empty directory that stands for the disk's root.
    """
    contents: dict[int, bytes | bytearray] = {}
    _rebuild(model, model.disk.root, target, contents)


def _rebuild(model: Killed, directory: Directory, target: Path, contents: dict[int, bytes | bytearray]) -> None:
    for name, node in model.names(directory).items():
        path = target / name
        if isinstance(node, Directory):
            path.mkdir(mode=0o700)
            _rebuild(model, node, path, contents)
            continue
        if id(node) not in contents:
            contents[id(node)] = model.contents(node)
        path.write_bytes(contents[id(node)])

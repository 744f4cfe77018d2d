"""Files and directories as the system has them in memory, and what of them is known to be on the disk.

A file is what is durable and a list of changes since; a directory likewise. A sync makes durable what was there when it
began, not what came while it ran. Which part of the rest a disk holds after a cut is the business of models.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.power.recorder import Kind, Note


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes put into a file; `data` is None where it was cut to the length `position`."""

    position: int
    data: bytes | None


class File:
    """A file's contents, whatever its name is."""

    __slots__ = ('changes', 'durable', 'synced')

    def __init__(self) -> None:
        self.durable = bytearray()
        self.changes: list[Write] = []  # not durable yet, oldest first
        self.synced = 0  # how many changes have become durable and are not in the list any more

    def change(self, write: Write) -> None:
        self.changes.append(write)

    def end(self) -> int:
        """Return how many changes there ever were: what a sync that begins now covers."""
        return self.synced + len(self.changes)

    def sync(self, end: int) -> None:
        count = max(end - self.synced, 0)
        apply(self.durable, self.changes[:count])
        del self.changes[:count]
        self.synced += count

    def current(self) -> bytearray:
        """Return what a reader sees."""
        data = bytearray(self.durable)
        apply(data, self.changes)
        return data


def apply(data: bytearray, writes: Sequence[Write]) -> None:
    """Make `data` what it is after the writes."""
    for write in writes:
        if write.data is None:
            del data[write.position :]
        if len(data) < write.position:
            data.extend(bytes(write.position - len(data)))
        if write.data is not None:
            data[write.position : write.position + len(write.data)] = write.data


@dataclass(frozen=True, slots=True)
class Change:
    """A name that appeared, went away (`node` is None), or was put over another (`old` is the one that it had).

    Args:
        number: the place among the changes of all directories.
    """

    number: int
    name: str
    node: Node | None
    old: str = ''


class Directory:
    """The names in a directory."""

    __slots__ = ('changes', 'durable', 'names')

    def __init__(self) -> None:
        self.names: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}
        self.changes: list[Change] = []  # not durable yet, oldest first

    def change(self, change: Change) -> None:
        rename([change], self.names)
        self.changes.append(change)

    def sync(self, end: int) -> None:
        """Make durable what has a smaller number."""
        count = sum(change.number < end for change in self.changes)
        rename(self.changes[:count], self.durable)
        del self.changes[:count]


Node: TypeAlias = File | Directory


def rename(changes: Sequence[Change], names: dict[str, Node]) -> None:
    """Make `names` what they are after the changes."""
    for change in changes:
        if change.old:
            names.pop(change.old, None)
        if change.node is None:
            names.pop(change.name, None)
        else:
            names[change.name] = change.node


@dataclass
class Disk:
    """All that lies below a directory.

    Args:
        path: the directory's absolute path.

    Attributes:
        root: the directory.
        changes: how many changes of names there were.
        journaled: how many of them a journal holds for certain that is written in order, at every sync.
    """

    path: str
    root: Directory = field(default_factory=Directory)
    changes: int = 0
    journaled: int = 0
    _files: dict[int, File] = field(default_factory=dict)
    _begun: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)

    def adopt(self, path: Path, inodes: Mapping[str, int]) -> None:
        """Hold what lies below a real directory, all of it durable, as when a machine starts.

        Args:
            path: the real directory.
            inodes: those that the files have in the notes, by their paths below the directory.
        """
        for entry in sorted(path.rglob('*')):
            name = str(entry.relative_to(path))
            node: Node = Directory()
            if entry.is_file():
                node = self._files[inodes[name]] = File()
                node.durable = bytearray(entry.read_bytes())
            directory, last = self._place(f'{self.path}/{name}')
            directory.names[last] = directory.durable[last] = node

    def follow(self, note: Note) -> None:
        """Do what a note says."""
        kind = note.kind
        if kind is Kind.WRITTEN:
            self._files[note.inode].change(Write(note.position, note.data))
        elif kind is Kind.CUT:
            self._files[note.inode].change(Write(note.position, None))
        elif kind is Kind.CREATED:
            file = self._files[note.inode] = File()
            self._name(note.path, file)
        elif kind is Kind.DIRECTORY:
            self._name(note.path, Directory())
        elif kind is Kind.UNLINKED:
            self._name(note.path, None)
        elif kind is Kind.RENAMED or kind is Kind.LINKED:
            self._rename(note.path, os.fsdecode(note.data), keep=kind is Kind.LINKED)
        elif kind is Kind.SYNC_BEGUN:
            end = self._files[note.inode].end() if note.inode in self._files else 0
            self._begun[note.position, note.path] = end, self.changes
        elif kind is Kind.SYNCED:
            self._sync(note)

    def _place(self, path: str) -> tuple[Directory, str]:
        where, _, name = path[len(self.path) + 1 :].rpartition('/')
        directory = self.directory(where)
        assert directory is not None, path
        return directory, name

    def directory(self, path: str) -> Directory | None:
        """Return a directory, None if there is none.

        Args:
            path: relative to the root.
        """
        node: Node | None = self.root
        for part in path.split('/') if path else ():
            node = node.names.get(part) if isinstance(node, Directory) else None
        return node if isinstance(node, Directory) else None

    def _name(self, path: str, node: Node | None) -> None:
        directory, name = self._place(path)
        if node is None and name not in directory.names:
            return  # something that was not noted: LevelDB's LOG, a socket
        directory.change(Change(self.changes, name, node))
        self.changes += 1

    def _rename(self, old: str, new: str, keep: bool) -> None:
        directory, name = self._place(new)
        old_directory, old_name = self._place(old)
        node = old_directory.names.get(old_name)
        if node is None:
            return
        moves = directory is not old_directory
        directory.change(Change(self.changes, name, node, '' if keep or moves else old_name))
        if moves and not keep:
            # One change to a journal, and two to whoever syncs one of the directories.
            old_directory.change(Change(self.changes, old_name, None))
        self.changes += 1

    def _sync(self, note: Note) -> None:
        end, changes = self._begun.pop((note.position, note.path))
        if note.path == self.path or note.path.startswith(f'{self.path}/'):
            directory = self.directory(note.path[len(self.path) + 1 :])
            if directory is not None:
                directory.sync(changes)
                self.journaled = max(self.journaled, changes)
                return
        file = self._files.get(note.inode)
        if file is not None:
            # A file that grew takes the journal with it; what only was overwritten does not.
            if end > file.synced:
                self.journaled = max(self.journaled, changes)
            file.sync(end)

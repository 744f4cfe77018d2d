"""A process whose files and messages are noted: the library that does it, what steers it, and how its notes are read.

`recorder.c` says what is noted and how.
"""

from __future__ import annotations

import enum
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name('recorder.c')
TICK = 0.02
"""Seconds between two ticks of a process; more on a busy machine."""

_NOTE = struct.Struct('=IIqQqQ')


_NUMBER = struct.Struct('=q')
_COUNT, _KILL_AT, _SYNC_TIME, _TABLE_TIME, _CALLS, _FAIL_AT, _FAIL_FOR, _ERROR = range(8)
"""What stands on the control page, in the order of recorder.c."""


class Kind(enum.IntEnum):
    """What a note says; the numbers are those of recorder.c."""

    CREATED = 1
    DIRECTORY = 2
    WRITTEN = 3
    CUT = 4
    SYNC_BEGUN = 5
    SYNCED = 6
    RENAMED = 7
    UNLINKED = 8
    LINKED = 9
    SENT = 10
    UNKNOWN = 11
    MARK = 12
    TICK = 13


@dataclass(frozen=True, slots=True)
class Note:
    """One call, as it was made.

    Args:
        position: in the file (for a cut: its new length); of a sync the thread, of a message the descriptor.
        inode: of the file.
        time: monotonic, seconds.
        path: absolute; of a mark its text.
        data: what was written or sent; the other name of a rename or a link.
    """

    kind: Kind
    position: int
    inode: int
    time: float
    path: str
    data: bytes


class Unrecorded(Exception):
    """The process did something that the notes cannot express, so they prove nothing."""


def missing() -> str:
    """Return what is missing for recording, empty if nothing is."""
    if sys.platform != 'linux':
        return 'LD_PRELOAD as on Linux is needed to record what a store writes'
    return '' if shutil.which('cc') else 'a C compiler (cc) is needed to record what a store writes'


class Recorder:
    """Where the notes of a sequence of processes go, and what steers these.

    Args:
        place: an existing directory for the library, the notes and the control page.
        root: the directory below which files are noted.
        library: one that was compiled before.
        streams: whether what the processes write by fwrite(3) is noted as well.
    """

    def __init__(self, place: Path, root: Path, library: Path | None = None, streams: bool = False) -> None:
        self.root = root
        self._streams = {'RQ_LEVELDB_TEST_STREAMS': '1'} if streams else {}
        self.path = place / 'record'
        self.path.touch()
        self._library = library or compiled(place)
        self._page_path = place / 'control'
        self._page_path.write_bytes(bytes(mmap.PAGESIZE))
        with open(self._page_path, 'r+b') as file:
            self._page = mmap.mmap(file.fileno(), mmap.PAGESIZE)

    def environment(self) -> dict[str, str]:
        """Return the environment for a process that is to be noted."""
        return {
            **os.environ,
            'LD_PRELOAD': str(self._library),
            'RQ_LEVELDB_TEST_RECORD': str(self.path),
            'RQ_LEVELDB_TEST_CONTROL': str(self._page_path),
            'RQ_LEVELDB_TEST_ROOT': str(self.root),
            **self._streams,
        }

    def count(self) -> int:
        """Return how many notes were made."""
        return self._get(_COUNT)

    def calls(self) -> int:
        """Return how many calls were made that may fail."""
        return self._get(_CALLS)

    def kill_after(self, notes: int) -> None:
        """Kill the process that makes so many notes more, there and then; a write may end in its middle."""
        self._set(_KILL_AT, self.count() + max(notes, 1))

    def sync_takes(self, seconds: float) -> None:
        """Let every sync take that long from now on."""
        self._set(_SYNC_TIME, int(seconds * 1e6))

    def tables_take(self, seconds: float) -> None:
        """Let every sync of a table, which has megabytes to bring to the disk, take so much longer from now on."""
        self._set(_TABLE_TIME, int(seconds * 1e6))

    def fail_after(self, calls: int, number: int, error: int) -> None:
        """Let calls fail that write, sync or name something, or open it.

        Args:
            calls: how many succeed before.
            number: how many fail; a write that fails for want of room writes its beginning first.
            error: errno.
        """
        self._set(_FAIL_FOR, number)
        self._set(_ERROR, error)
        self._set(_FAIL_AT, self.calls() + 1 + calls)

    def fail_no_more(self) -> None:
        self._set(_FAIL_AT, 0)

    def _get(self, place: int) -> int:
        value: int = _NUMBER.unpack_from(self._page, place * _NUMBER.size)[0]
        return value

    def _set(self, place: int, value: int) -> None:
        _NUMBER.pack_into(self._page, place * _NUMBER.size, value)

    def mark(self, text: str) -> None:
        """Note something ourselves."""
        name = text.encode()
        note = _NOTE.pack(Kind.MARK, len(name), 0, 0, time.monotonic_ns(), 0) + name
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, note)
        finally:
            os.close(descriptor)


def compiled(place: Path) -> Path:
    """Return the library, compiled into `place`."""
    library = place / 'recorder.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-O1', '-pthread', '-o', library, SOURCE, '-ldl'], check=True)
    return library


def read(path: Path) -> Iterator[Note]:
    """Return the notes of a record.

    Raises:
        Unrecorded: they are not the whole truth.
    """
    with open(path, 'rb') as file:
        while head := file.read(_NOTE.size):
            if len(head) < _NOTE.size:
                raise Unrecorded('the last note is cut')
            kind, path_size, position, inode, when, size = _NOTE.unpack(head)
            name = os.fsdecode(file.read(path_size))
            data = file.read(size)
            if len(data) < size:
                raise Unrecorded('the last note is cut')
            if kind == Kind.UNKNOWN:
                raise Unrecorded(f'the store used {name}, which recorder.c cannot express')
            yield Note(Kind(kind), position, inode, when / 1e9, name, data)

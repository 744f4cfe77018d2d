"""LevelDB's MANIFEST: which of its files are live (LevelDB's `doc/impl.md` and its version edits)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from rq_leveldb.store.log_file import Fault, Fields, Torn, framed, number_bytes, records, text_bytes

TABLE_SUFFIXES = ('.ldb', '.sst')
_CURRENT = re.compile(rb'(MANIFEST-\d+)\n')
_COMPARATOR, _LOG, _NEXT_FILE, _LAST_CHANGE, _COMPACT_POINTER, _DELETED, _NEW, _PREVIOUS_LOG = 1, 2, 3, 4, 5, 6, 7, 9


@dataclass(frozen=True)
class Table:
    """What a MANIFEST says of a table.

    Args:
        number: of its file.
        level: 0 for those that may overlap each other.
        size: bytes.
        smallest: its first key, followed by LevelDB's 8 bytes: a change's number and kind.
        largest: its last key, likewise.
    """

    number: int
    level: int
    size: int
    smallest: bytes
    largest: bytes


@dataclass
class Version:
    """The live files of a database.

    Args:
        log: the number of the oldest log whose contents are in no table yet.
        last_change: the number of a change that is in a table or in the oldest log.
        next_file: a number that no file has.
        tables: the live tables by their numbers.
    """

    log: int = 0
    next_file: int = 0
    last_change: int = 0
    tables: dict[int, Table] = field(default_factory=dict)

    def logs(self, database: Path) -> list[Path]:
        """Return the live logs that exist, oldest first."""
        numbers = sorted(int(path.stem) for path in database.glob('*.log') if path.stem.isdigit())
        return [log_path(database, number) for number in numbers if number >= self.log]

    def missing(self, database: Path) -> list[Path]:
        """Return the required files that do not exist."""
        paths = [table_path(database, number) for number in self.tables]
        if self.log:
            # LevelDB creates the new log before it records here that it is the oldest one.
            paths.append(log_path(database, self.log))
        return [path for path in paths if not path.exists()]

    @property
    def due(self) -> range:
        """Return the numbers that the first change in the oldest log may have."""
        return range(self.last_change + 2)


def log_path(database: Path, number: int) -> Path:
    """Return the file of a log."""
    return database / f'{number:06d}.log'


def table_path(database: Path, number: int) -> Path:
    """Return the file of a table; LevelDB had another name for them until 2013."""
    path, old = (database / f'{number:06d}{suffix}' for suffix in TABLE_SUFFIXES)
    return old if not path.exists() and old.exists() else path


def current(database: Path) -> Path:
    """Return the MANIFEST in use.

    Raises:
        Fault: CURRENT does not name one.
        OSError: CURRENT cannot be read.
    """
    found = _CURRENT.fullmatch((database / 'CURRENT').read_bytes())
    if found is None:
        raise Fault(0, 'it names no MANIFEST')
    return database / found[1].decode()


def read(data: bytes, *, checksums: bool) -> Version:
    """Return the version that a MANIFEST describes; a torn edit is ignored.

    Args:
        data: the contents of a MANIFEST.
        checksums: whether to compute them.

    Raises:
        Fault: it is damaged.
    """
    version = Version()
    end = 0
    try:
        for record in records(data, checksums=checksums):
            try:
                _apply(Fields(record.payload), version)
            except (IndexError, ValueError) as error:
                raise Fault(end, f'a version edit that cannot be read, at byte {record.start}') from error
            end = record.end
    except Torn:
        # As in LevelDB: its writer was killed before acting on it.
        pass
    return version


def write(version: Version) -> bytes:
    """Return the contents of a MANIFEST that describes a version.

    Args:
        version: the live files.
    """
    edit = number_bytes(_COMPARATOR) + text_bytes(b'leveldb.BytewiseComparator')
    for tag, number in ((_LOG, version.log), (_NEXT_FILE, version.next_file), (_LAST_CHANGE, version.last_change)):
        edit += number_bytes(tag) + number_bytes(number)
    for table in version.tables.values():
        for number in (_NEW, table.level, table.number, table.size):
            edit += number_bytes(number)
        edit += text_bytes(table.smallest) + text_bytes(table.largest)
    return framed(edit)


def _apply(edit: Fields, version: Version) -> None:
    while edit:
        tag = edit.number()
        if tag == _COMPARATOR:
            edit.text()
        elif tag == _LOG:
            version.log = edit.number()
        elif tag == _LAST_CHANGE:
            version.last_change = edit.number()
        elif tag == _NEXT_FILE:
            version.next_file = edit.number()
        elif tag in (_PREVIOUS_LOG, _COMPACT_POINTER):
            # A previous log is what LevelDB had before 2011.
            edit.number()
            if tag == _COMPACT_POINTER:
                edit.text()
        elif tag == _DELETED:
            edit.number()
            version.tables.pop(edit.number(), None)
        elif tag == _NEW:
            level, number, size = edit.number(), edit.number(), edit.number()
            version.tables[number] = Table(number, level, size, edit.text(), edit.text())
        else:
            raise ValueError(tag)

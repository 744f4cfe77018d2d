"""Salvage: from LevelDB's damaged files to files that it can open, with everything that can still be read.

LevelDB's own repairer is not used: it takes dead tables for live ones, replays logs around damage, and orders what it
finds by file numbers, so that old values may come back. Here a damaged block is cut out of its table, a log ends at its
first fault, and everything else stays as the MANIFEST says.

It works on a directory of its own, whose files may be links to those of the database: none is changed in place.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Callable
from pathlib import Path

from rq_leveldb.location import write_anew
from rq_leveldb.store import manifest, table_file
from rq_leveldb.store.finding import Finding
from rq_leveldb.store.log_file import Fault, changed_keys, check_batches, readable_records
from rq_leveldb.store.manifest import Table, Version

_PIECE = 4096
_LAST_LEVEL = 6
_SOME_KEYS = 1000

Progress = Callable[[int, int], None]
"""Called with how much of how much is done."""


class Salvage:
    """The salvage of one database.

    Args:
        directory: LevelDB's files.
        progress: in bytes.

    Attributes:
        findings: what is wrong.
        unordered: whether it is unknown, until LevelDB has merged them, which of two tables holds the later value.
    """

    def __init__(self, directory: Path, progress: Progress) -> None:
        self.directory = directory
        self.findings: list[Finding] = []
        self.unordered = False
        self._progress = progress
        self._read = 0
        self._size = sum(path.stat().st_size for path in directory.iterdir())

    def run(self) -> None:
        """Check and repair everything.

        Raises:
            OSError: a file cannot be read or written for another reason than damage.
        """
        version = self._version()
        missing = version.missing(self.directory) if version is not None else []
        # The MANIFEST may be outdated: its end may be missing, which does not show if it was cut between two records.
        # If there are no other tables, it is complete and only files are lost.
        if version is not None and missing and any(int(path.stem) not in version.tables for path in self._tables()):
            self._unknown('MANIFEST', 'it names files that are not there, and others are')
            for path in missing:
                self._found(path, 'it is missing', 'what it held is lost, unless another file holds it', at=0)
            version = None
        lost = version is None
        if version is None:
            version = Version()
            self.unordered = True
            for path in self._tables():
                self._table(version, path, None)
            _assign_levels(version)
        before = dict(version.tables)
        if not lost:
            for number, table in before.items():
                self._table(version, manifest.table_path(self.directory, number), table)
        self._logs(version, lost)
        if lost or version.tables != before:
            self._write_manifest(version)

    # -- the MANIFEST

    def _version(self) -> Version | None:
        """Return the live files, or None if nothing describes them any more."""
        name = 'CURRENT'
        try:
            path = manifest.current(self.directory)
            name = path.name
            return _whole(self._contents(path))
        except (Fault, FileNotFoundError) as error:
            fault_at = error.end if isinstance(error, Fault) else None
            reason = error.reason if isinstance(error, Fault) else 'it is missing'
            if name == 'CURRENT':
                newest = self._newest_manifest()
                if newest is not None:
                    self._found(self.directory / name, reason, 'it names the newest MANIFEST that can be read')
                    return newest
            self._unknown(name, reason, fault_at)
        return None

    def _unknown(self, name: str, reason: str, at: int | None = None) -> None:
        self._found(
            self.directory / name,
            f'{reason}: which of the tables are alive is not known',
            'all tables are taken; what was removed or changed shortly before may be back as it was',
            at=at,
        )

    def _tables(self) -> list[Path]:
        """Return the tables that exist."""
        paths = (path for path in self.directory.iterdir() if path.suffix in manifest.TABLE_SUFFIXES)
        return sorted(path for path in paths if path.stem.isdigit())

    def _newest_manifest(self) -> Version | None:
        for path in sorted(self.directory.glob('MANIFEST-*'), reverse=True):
            try:
                version = _whole(self._contents(path))
            except Fault:
                continue
            if all(manifest.table_path(self.directory, number).exists() for number in version.tables):
                write_anew(self.directory / 'CURRENT', path.name.encode() + b'\n')
                return version
        return None

    def _write_manifest(self, version: Version) -> None:
        numbers = [int(''.join(filter(str.isdigit, path.name)) or 0) for path in self.directory.iterdir()]
        number = max(numbers, default=0) + 1
        name = f'MANIFEST-{number:06d}'
        version.next_file = number + 1
        (self.directory / name).write_bytes(manifest.write(version))
        write_anew(self.directory / 'CURRENT', name.encode() + b'\n')

    # -- tables

    def _table(self, version: Version, path: Path, table: Table | None) -> None:
        """Check a table; remove from the version what cannot be read.

        Args:
            version: what is kept of the database.
            path: the table's file.
            table: its entry in the MANIFEST, if any.
        """
        smallest, largest = (_smallest(table), _largest(table)) if table else (None, None)
        try:
            data = self._contents(path)
        except FileNotFoundError:
            self._found(path, 'it is missing', 'what it held is lost', first=smallest, last=largest)
            version.tables.pop(int(path.stem), None)
            return
        if table is not None:
            if len(data) > table.size:
                self._found(path, 'it goes on behind its end', 'none is needed', at=table.size, harmless=True)
                data = data[: table.size]
            elif len(data) < table.size:
                self._found(path, f'it ends {table.size - len(data)} bytes too early', 'see below', at=len(data))
        good = []
        damaged = False
        before = smallest
        try:
            for block in table_file.blocks(data):
                if block.reason:
                    damaged = True
                    self._found(
                        path, block.reason, 'these records are lost', at=block.start, first=before, last=block.last
                    )
                else:
                    good.append(block)
                before = block.last
            for block in table_file.other_blocks(data):
                if block.reason:
                    damaged = True
                    self._found(path, f'{block.reason} (no data)', 'none is needed', at=block.start, harmless=True)
        except Fault as fault:
            damaged = True
            good = list(table_file.search(data))
            end = good[-1].start + good[-1].size if good else 0
            self._found(
                path,
                f'{fault.reason}; its blocks can be found up to byte {end}',
                'records behind that are lost',
                at=end,
                first=good[-1].last if good else smallest,
                last=largest,
            )
        if not good:
            version.tables.pop(int(path.stem), None)
            return
        if damaged:
            data = table_file.join(data, good)
            write_anew(path, data)
        if table is None:
            version.tables[int(path.stem)] = self._described(version, int(path.stem), data)
        elif damaged:
            version.tables[table.number] = dataclasses.replace(table, size=len(data))

    def _described(self, version: Version, number: int, data: bytes) -> Table:
        """Return a MANIFEST entry for a table; advance the version's last change if needed."""
        smallest = largest = b''
        for block in table_file.blocks(data):
            for key, _ in table_file.entries(data, block):
                smallest = smallest or key
                largest = key
                version.last_change = max(version.last_change, table_file.change_number(key))
        return Table(number, 0, len(data), smallest, largest)

    # -- logs

    def _logs(self, version: Version, lost: bool) -> None:
        logs = version.logs(self.directory)
        oldest = manifest.log_path(self.directory, version.log)
        whole = lost or oldest in logs
        if lost and logs:
            version.log = int(logs[0].stem)
        if not whole:
            self._found(oldest, 'it is missing', 'what it held is lost', at=0)
            oldest.touch()
        due = range(1 << 56) if lost else version.due
        for path in logs:
            data = self._contents(path)
            end = 0
            if whole:
                try:
                    due = check_batches(data, due, checksums=True)
                    continue
                except Fault as fault:
                    whole = False
                    end = fault.end
                    reason = fault.reason
            else:
                reason = 'what comes before it is lost'
            keys = _lost_keys(data, end)
            self._found(
                path,
                reason,
                f'it ends there; {len(data) - end} bytes are lost'
                + (f', changes of {len(keys)} records' if keys else ''),
                at=end,
                keys=tuple(keys[:_SOME_KEYS]),
            )
            if end or path == oldest:
                write_anew(path, data[:end])
            else:
                path.unlink()

    # -- files

    def _found(self, path: Path, problem: str, remedy: str, **more: object) -> None:
        self.findings.append(Finding(path.name, problem, remedy, **more))  # type: ignore[arg-type]

    def _contents(self, path: Path) -> bytes:
        """Return a file's contents, with zeros for what the medium cannot read."""
        self._progress(self._read, self._size)
        try:
            data = path.read_bytes()
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = self._pieces(path)
        self._read += len(data)
        return data

    def _pieces(self, path: Path) -> bytes:
        found = bytearray()
        with open(path, 'rb') as file:
            size = os.fstat(file.fileno()).st_size
            while len(found) < size:
                count = min(_PIECE, size - len(found))
                try:
                    found += os.pread(file.fileno(), count, len(found)) or bytes(count)
                except OSError:
                    found += bytes(count)
        self._found(path, 'the disk does not give all of it', 'see below')
        return bytes(found)


def _whole(data: bytes) -> Version:
    """Return what a MANIFEST says.

    Raises:
        Fault: it is damaged, or ends too early to say which files there are.
    """
    version = manifest.read(data, checksums=True)
    if not (version.log and version.next_file):
        raise Fault(0, 'it ends before it says which files there are')
    return version


def _lost_keys(data: bytes, end: int) -> list[bytes]:
    """Return the keys changed by readable batches after the end of a log."""
    found: dict[bytes, None] = {}
    for record in readable_records(data, end):
        if len(record.payload) >= 12:
            try:
                found.update(dict.fromkeys(changed_keys(record.payload)))
            except IndexError:
                continue
    return list(found)


def _assign_levels(version: Version) -> None:
    """Put tables that share no keys with others on a level where LevelDB need not merge them."""
    together: list[Table] = []
    highest = b''
    for table in sorted(version.tables.values(), key=_smallest):
        if together and _smallest(table) > highest:
            _settle_alone(version, together)
            together = []
        together.append(table)
        highest = max(highest, _largest(table)) if together[1:] else _largest(table)
    _settle_alone(version, together)


def _smallest(table: Table) -> bytes:
    return table.smallest[: -table_file.SUFFIX]


def _largest(table: Table) -> bytes:
    return table.largest[: -table_file.SUFFIX]


def _settle_alone(version: Version, together: list[Table]) -> None:
    if len(together) == 1:
        version.tables[together[0].number] = dataclasses.replace(together[0], level=_LAST_LEVEL)

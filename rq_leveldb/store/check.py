"""Checking and repairing a database that no store has open.

The check works on a copy: a directory beside the database, whose files are links to its files until they are changed.
Salvage, LevelDB's own recovery and repairs happen there. So a check alone leaves everything as it is and still says
what a repair would do, and a repair ends with just two renames. Until then the damaged database is in its place;
between them, :func:`rq_leveldb.store.opening.finish_mending` completes the work. The damaged database is kept.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rq_leveldb import errors
from rq_leveldb.location import DataDirectory, sync_directory
from rq_leveldb.store import encoding, opening, power_loss
from rq_leveldb.store.claim import Claim
from rq_leveldb.store.engine import Engine, ReadFailed, WriteRefused, is_missing, settle, sync_file, words
from rq_leveldb.store.finding import Finding
from rq_leveldb.store.manifest import TABLE_SUFFIXES
from rq_leveldb.store.record_check import RecordCheck, Survey
from rq_leveldb.store.record_mend import mend
from rq_leveldb.store.salvage import Salvage

_NOT_DATA = ('LOCK', 'LOG', 'LOG.old')
_ROUNDS = 5
"""Number of rounds in which problems revealed by a repair are repaired in turn."""

Progress = Callable[[str, int, int], None]
"""Called with the current step, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Report:
    """The result of a check and of the repair.

    Args:
        findings: what is wrong.
        keys: number of keys, after the repair if there was one.
        records: number of records, likewise.
        kept: where the damaged database is, if it was repaired.
        kept_bytes: its size.
    """

    findings: list[Finding]
    keys: int = 0
    records: int = 0
    kept: Path | None = None
    kept_bytes: int = 0

    @property
    def sound(self) -> bool:
        """Return whether nothing was found, or only harmless things."""
        return all(finding.harmless for finding in self.findings)


def check(directory: DataDirectory, *, fix: bool, progress: Progress) -> Report:
    """Check everything, and repair it if wanted.

    Args:
        directory: the data directory of a stopped store.
        fix: whether to repair damage.
        progress: called as the check proceeds.

    Returns:
        What was found, and what was done.

    Raises:
        errors.StoreInUse: a store is running.
        errors.StoreError: it cannot be checked or repaired.
    """
    try:
        with contextlib.closing(Claim(directory)):
            return _Check(directory, progress).run(fix)
    except OSError as error:
        raise errors.StoreError(
            str(error.filename or directory.path),
            title=f'The database cannot be checked ({error.strerror})',
            advice='Nothing was changed: mend that, and begin again.',
        ) from error
    except WriteRefused as error:
        raise errors.DiskFull(
            str(directory.path), title=f'The copy that is mended cannot be written ({error})'
        ) from error
    except ReadFailed as error:
        raise errors.CorruptDatabase(
            str(directory.path),
            title=f'LevelDB cannot read what was salvaged ({words(error)})',
            advice='Nothing was changed. Keep a copy of the directory, and report this.',
        ) from error


class _Check:
    def __init__(self, directory: DataDirectory, progress: Progress) -> None:
        self._directory = directory
        self._copy = directory.mending
        self._progress = progress
        self._namespaces: list[bytes] = []
        self._owner: Callable[[int], bytes] = lambda version: b''

    def run(self, fix: bool) -> Report:
        directory = self._directory
        opening.finish_mending(directory)
        for left in (self._copy, directory.mended):
            if left.exists():
                shutil.rmtree(left)
        if is_missing(directory.database):
            if opening.was_opened(directory):
                raise errors.CorruptDatabase(
                    str(directory.database), title='The database is missing', advice='Restore it from a copy.'
                )
            return Report([])
        try:
            report = self._look()
            if fix and not report.sound:
                return self._exchange(report)
            return report
        finally:
            if self._copy.exists():
                shutil.rmtree(self._copy)

    def _look(self) -> Report:
        findings = self._copied()
        salvage = Salvage(self._copy, lambda done, size: self._progress('files', done, size))
        salvage.run()
        findings += salvage.findings
        if not settle(self._copy, unordered=salvage.unordered):
            findings.append(Finding('the record of the format', 'it cannot be read', 'it is written again'))
        engine = Engine(self._copy)
        try:
            survey = self._survey(engine)
            of_files = [self._in_words(finding) for finding in findings]
            of_records: list[Finding] = []
            for _ in range(_ROUNDS):
                if survey.is_sound():
                    break
                of_records += mend(engine, survey, self.words)
                survey = self._survey(engine)
            if not survey.is_sound():
                raise errors.CorruptDatabase(
                    str(self._directory.database),
                    title='What was salvaged still contradicts itself after it was mended',
                    advice='Nothing was changed. Keep a copy of the directory, and report this.',
                )
        finally:
            engine.close()
        return Report([*of_files, *of_records], survey.keys, survey.records)

    def _copied(self) -> list[Finding]:
        """Make the copy, and do to it what a start after a power loss would do.

        Returns:
            What was done.
        """
        power_lost = opening.power_may_be_lost(self._directory)
        self._copy.mkdir(mode=0o700)
        for path in self._directory.database.iterdir():
            if path.name in _NOT_DATA:
                continue
            # The repair after a power loss changes files in place, but not tables.
            if power_lost and path.suffix not in TABLE_SUFFIXES:
                shutil.copyfile(path, self._copy / path.name)
                continue
            try:
                os.link(path, self._copy / path.name)
            except OSError:
                # Not every file system has links.
                shutil.copyfile(path, self._copy / path.name)
        if not power_lost:
            return []
        with tempfile.TemporaryDirectory(dir=self._copy.parent) as aside, contextlib.suppress(errors.CorruptDatabase):
            lines = power_loss.mend(self._copy, Path(aside))
            return [Finding('a loss of power', line, 'a start does this by itself', harmless=True) for line in lines]
        return []

    def _survey(self, engine: Engine) -> Survey:
        checking = RecordCheck(engine, lambda done, size: self._progress('records', done, size))
        survey = checking.run()
        self._namespaces = survey.namespaces
        self._owner = checking.owner
        return survey

    def _exchange(self, report: Report) -> Report:
        directory = self._directory
        for path in self._copy.iterdir():
            sync_file(path)
        sync_directory(self._copy)
        kept = directory.damaged(time.strftime('%Y%m%dT%H%M%S'))
        while kept.exists():
            kept = kept.with_name(kept.name + 'a')
        self._copy.rename(directory.mended)
        sync_directory(directory.path)
        directory.database.rename(kept)
        opening.finish_mending(directory)
        opening.note_good_order(directory)
        size = sum(path.stat().st_size for path in kept.iterdir())
        return Report(report.findings, report.keys, report.records, kept, size)

    # -- words

    def _in_words(self, finding: Finding) -> Finding:
        """Return a finding about a file, with the keys concerned in words."""
        if finding.first is not None or finding.last is not None:
            begin = self.words(finding.first) if finding.first else 'the beginning'
            end = self.words(finding.last) if finding.last else 'the end'
            remedy = f'{finding.remedy}: from {begin} to {end}'
        elif finding.keys:
            named = list(dict.fromkeys(map(self.words, finding.keys)))
            more = ' and others' if len(named) > _SOME else ''
            remedy = f'{finding.remedy}: {", ".join(named[:_SOME])}{more}'
        else:
            return finding
        return dataclasses.replace(finding, remedy=remedy)

    def words(self, key: bytes) -> str:
        """Return a LevelDB key in words."""
        kind = key[:1]
        if kind == encoding.META_PREFIX:
            return self._key(key)
        if kind == encoding.MEMBER_PREFIX and len(key) > 9:
            owner = self._owner(encoding.read_u64(key, 1))
            return f'a member of {self._key(owner)}' if owner else 'a member of a value without a key'
        if kind == encoding.EXPIRY_PREFIX:
            return 'the index of expiry'
        if kind in (encoding.GARBAGE_PREFIX, encoding.GARBAGE_NAMESPACE_PREFIX):
            return 'the list of what is to be removed'
        return "the store's own records (which database is which, and how many keys it has)"

    def _key(self, meta_key: bytes) -> str:
        namespace, key = meta_key[1 : encoding.META_PREFIX_SIZE], meta_key[encoding.META_PREFIX_SIZE :]
        shown = repr(key.decode('utf-8', 'backslashreplace'))
        if namespace in self._namespaces:
            db = self._namespaces.index(namespace)
            return shown if db == 0 else f'{shown} of database {db}'
        return f'{shown} of a database that was emptied'


_SOME = 10

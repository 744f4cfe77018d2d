"""A key comes into the target whole or not at all, and what is written there is noted in the same transaction.

Short values are written under their names, many in one MULTI. A long one grows under another name (see `growing`) and
is then renamed. A name in the target that this migration has not written, or that somebody has changed since, is not
overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from rq_leveldb.migrate import merging, record
from rq_leveldb.migrate.growing import Growing
from rq_leveldb.migrate.moment import Moment, read_at_one_moment
from rq_leveldb.migrate.outcome import Outcome
from rq_leveldb.migrate.record import Entry, short
from rq_leveldb.migrate.scope import Batches, Key
from rq_leveldb.migrate.value import Digest, Slice, Value, digest_of, read_slices
from rq_leveldb.migrate.wire import Command, Wire, pack

__all__ = ['Copier', 'Places', 'Stored', 'look']

_TRIES = 5
_CHANGED_BY_OTHERS = 'it was changed in the target by somebody else'
_GONE = 'it is gone from the target, where this migration had put it: somebody has used it or removed it there'
_FOREIGN = 'the target has a key of this name that is not from this migration'


class Places(NamedTuple):
    """The connections of a migration.

    Args:
        source: for values that are asked for ahead of their use.
        source_aside: the source, for everything else.
        target: for transactions, and for values that are asked for ahead.
        target_aside: the target, for everything else.
    """

    source: Wire
    source_aside: Wire
    target: Wire
    target_aside: Wire


class Stored(NamedTuple):
    """A key as it is in a place.

    Args:
        kind: its type.
        expires: in ms since the epoch, or `NO_EXPIRY`.
        digest: of all of it.
    """

    kind: bytes
    expires: int
    digest: bytes


def look(wire: Wire, name: bytes) -> Stored | None:
    """Read a key of any type and size; None if it is not there.

    Args:
        wire: where.
        name: its name.
    """
    kind, expires = wire.do([(b'TYPE', name), (b'PEXPIRETIME', name)])
    if kind == b'none' or expires == -2:
        return None
    return Stored(kind, expires, digest_of(kind, expires, read_slices(wire, name, kind)))


class Copier:
    """Copies keys.

    Args:
        places: from where and to where.
        outcome: is counted up.
        merge: whether keys that are in the target already are merged.
    """

    def __init__(self, places: Places, outcome: Outcome, *, merge: bool) -> None:
        self._source, self._probe, self._target, self._aside = places
        self._outcome = outcome
        self._merge = merge
        # The transaction whose replies were not read yet: how many they are, and its keys.
        self._replies = 0
        self._written: list[bytes] = []

    def copy(self, names: Iterable[bytes], done: Callable[[int], None]) -> None:
        """Copy keys.

        Args:
            names: which; some may come twice.
            done: receives numbers of keys that are done.
        """
        batches = Batches(self._probe, names, self._outcome.refused)
        for groups in batches.passes():
            self._pass(batches, groups, done)

    def _pass(self, batches: Batches, groups: Iterable[list[Key]], done: Callable[[int], None]) -> None:
        ahead: list[Key] = []
        for batch in groups:
            if batch[0].large:
                self._store(batches, ahead, [])
                ahead = []
                self._settle(batches)
                self._large(batch[0])
                done(1)
                continue
            batches.request(self._source, batch)
            if ahead:
                self._store(batches, ahead, batch)
            else:
                self._watch(batch)
            done(len(batch))
            ahead = batch
        self._store(batches, ahead, [])
        self._settle(batches)

    def _watch(self, batch: list[Key]) -> None:
        names = [key.name for key in batch]
        self._target.send([(b'WATCH', *names), (b'EXISTS', *names)])

    def _store(self, batches: Batches, batch: list[Key], following: list[Key]) -> None:
        """Write a batch, whose values are asked for and whose names are watched; have the following one watched."""
        if not batch:
            return
        target = self._target
        reads = (read for read in batches.receive(self._source, batch) if read is not None and read.parts)
        # While the target is at work.
        found = [(read, read.digest) for read in reads]
        self._settle(batches)
        target.checked(target.receive(), 'WATCH')
        if target.checked(target.receive(), 'EXISTS'):
            self._resolve(batches, found)
        else:
            self._write(found)
        if following:
            self._watch(following)

    def _write(self, found: list[tuple[Value, bytes]], present: Iterable[bytes] = ()) -> None:
        """Send the transaction that writes short values, with their digests; its replies are read later."""
        if not found:
            self._target.send([(b'UNWATCH',)])
            self._replies = 1
            return
        commands: list[Command] = [(b'MULTI',)]
        commands += ((b'UNLINK', name) for name in present)
        for read, _ in found:
            commands += read.commands()
        commands += [record.note([(read.name, Entry(short(digest))) for read, digest in found]), (b'EXEC',)]
        self._written = [read.name for read, _ in found]
        self._count(self._written)
        self._replies = len(commands)
        self._target.send_packed(b''.join(map(pack, commands)), len(commands))

    def _count(self, names: Iterable[bytes]) -> None:
        for name in names:
            self._outcome.copied += 1
            self._outcome.names_written += hash(name)

    def _settle(self, batches: Batches) -> None:
        """Read the replies to the last transaction; its keys come again if somebody touched one of them meanwhile."""
        replies = [self._target.checked(self._target.receive(), 'a write') for _ in range(self._replies)]
        if replies and replies[-1] is None:
            batches.again += self._written
        elif self._written:
            for reply in replies[-1]:
                self._target.checked(reply, 'a write')
        self._replies = 0
        self._written = []

    def _resolve(self, batches: Batches, found: list[tuple[Value, bytes]]) -> None:
        """Write those of a batch that may be written, some of which the target has already."""
        if not found:
            self._write([])
            return
        noted = record.entries(self._target, [read.name for read, _ in found])
        stored = self._stored(batches, [Key(read.name, read.kind, False) for read, _ in found])
        written: list[tuple[Value, bytes]] = []
        merged: list[tuple[Value, bytes]] = []
        replaced: list[bytes] = []
        for (read, digest), entry, there in zip(found, noted, stored, strict=True):
            verdict = self._decide(read.name, digest, there, entry)
            if verdict == 'merge':
                merged.append((read, digest))
            elif verdict in ('write', 'replace'):
                written.append((read, digest))
                if verdict == 'replace':
                    replaced.append(read.name)
            elif verdict == 'present':
                self._outcome.present += 1
            else:
                self._outcome.refused.add(read.name, verdict)
        self._write(written, replaced)
        if merged:
            self._settle(batches)
            for read, digest in merged:
                self._merge_key(read.name, read.kind, read.expires, digest)

    def _stored(self, batches: Batches, keys: list[Key]) -> list[Stored | None]:
        """Return what the target has under the names of keys that are short in the source."""
        aside = self._aside
        batches.request(aside, keys)
        found: list[Stored | None] = []
        doubtful: list[int] = []
        for at, (key, read) in enumerate(zip(keys, batches.receive(aside, keys, leading=False), strict=True)):
            if read is None:
                doubtful.append(at)
            if read is None or not read.parts:
                found.append(None)
            else:
                found.append(Stored(key.kind, read.expires, read.digest))
        for at in doubtful:
            # It may be long here, or of another type.
            found[at] = look(aside, keys[at].name)
        return found

    def _decide(self, name: bytes, digest: bytes, there: Stored | None, entry: Entry | None) -> str:
        """Return what is to be done about a key: write, replace, merge, present; else why it is refused."""
        own = short(digest)
        if there is None:
            return 'write' if entry is None else _GONE
        if entry is not None and entry.merged:
            return 'present' if entry.digest == own else 'it has changed in the source since it was merged'
        if there.digest == digest:
            if entry is None:
                self._target.call(*record.note([(name, Entry(own))]))
            return 'present'
        if entry is None:
            return 'merge' if self._merge else _FOREIGN
        return 'replace' if entry.digest == short(there.digest) else _CHANGED_BY_OTHERS

    def _large(self, key: Key) -> None:
        name = key.name
        target = self._target
        for _ in range(_TRIES):
            target.call(b'WATCH', name)
            there = look(target, name)
            entry = record.entries(target, [name])[0]
            verdict = 'write'
            if there is not None or entry is not None:
                own = look(self._probe, name)
                if own is None:
                    target.call(b'UNWATCH')
                    return
                verdict = self._decide(name, own.digest, there, entry)
                if verdict == 'merge':
                    self._merge_key(name, own.kind, own.expires, own.digest)
                    return
            if verdict not in ('write', 'replace'):
                target.call(b'UNWATCH')
                if verdict == 'present':
                    self._outcome.present += 1
                else:
                    self._outcome.refused.add(name, verdict)
                return
            if self._build(name):
                return
        self._outcome.refused.add(name, 'somebody changes it in the target all the time')

    def _build(self, name: bytes) -> bool:
        """Copy a watched key in slices; False if somebody touched it in the target meanwhile."""
        is_named: bool | None = None

        def read(moment: Moment) -> bool:
            nonlocal is_named
            growing = Growing(self._aside)
            digest = Digest(moment.kind, moment.expires)
            is_gone = True
            for part in read_slices(self._probe, moment.name, moment.kind):
                is_gone = False
                digest.add(part)
                growing.add(part)
            is_whole = moment.is_whole()
            if is_gone or not is_whole:
                growing.drop()
            else:
                is_named = growing.give_name(self._target, name, moment.expires, Entry(short(digest.value())))
            return is_whole

        if problem := read_at_one_moment(self._probe, name, read):
            self._outcome.refused.add(name, problem)
        if is_named:
            self._count([name])
        elif is_named is None:
            self._target.call(b'UNWATCH')
        return is_named is not False

    def _merge_key(self, name: bytes, kind: bytes, expires: int, digest: bytes) -> None:
        target = self._target
        for _ in range(_TRIES):
            target.call(b'WATCH', name)
            other, until = target.do([(b'TYPE', name), (b'PEXPIRETIME', name)])
            if other == b'none':
                # It has gone, and the next run or the verification copies it.
                target.call(b'UNWATCH')
                return
            reason = merging.refusal(self._probe, target, name, kind, other)
            if reason is not None:
                target.call(b'UNWATCH')
                self._outcome.refused.add(name, reason)
                return
            start = target.call(b'LLEN', name) if kind == b'list' else 0
            growing = Growing(self._aside, b'' if kind == b'stream' else name)
            parts: Iterable[Slice] = ()
            if kind == b'stream':
                parts = merging.merged_stream(self._probe, target, name)
            elif kind != b'string':
                parts = read_slices(self._probe, name, kind)
            for part in parts:
                growing.add(part)
            if growing.give_name(target, name, merging.later(expires, until), Entry(short(digest), True, start)):
                self._outcome.merged += 1
                self._outcome.names_written += hash(name)
                return
        self._outcome.refused.add(name, 'somebody changes it in the target all the time')

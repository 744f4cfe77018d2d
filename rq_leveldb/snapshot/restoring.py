"""From a file into a place.

Short keys are written as they come, a block in a transaction. A long key, or one that is merged, grows under another
name and is then renamed. What was written is noted in the same transaction, as a migration does, so that a run
that was interrupted is finished by the same command.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from rq_leveldb.migrate import Notes, merging, record
from rq_leveldb.migrate.copying import look
from rq_leveldb.migrate.growing import Growing
from rq_leveldb.migrate.plan import about, announce, others_at_work, too_old
from rq_leveldb.migrate.record import PART, Entry, Marker, short
from rq_leveldb.migrate.scope import Scope
from rq_leveldb.migrate.value import NO_EXPIRY, Digest, Slice, Value
from rq_leveldb.migrate.wire import Command, Connected, Wire
from rq_leveldb.snapshot.contents import KEYS, LAST, VOID, Chunk, Header

__all__ = ['Restored', 'Restorer']

_TRIES = 5
_ASKED = 500
_DUMP = 'the dump '
_FOREIGN = 'the place has a key of this name that is not from this dump'
_BUSY = 'somebody changes it in the place all the time'


@dataclass
class Restored:
    """What a restore has come to.

    Args:
        written: keys that were written.
        present: keys that were there with the same value, such as from an earlier run.
        merged: keys that were merged with another value.
        expired: keys whose time has come since the dump was made; they are not written.
        refused: keys that were not written, and why.
    """

    written: int = 0
    present: int = 0
    merged: int = 0
    expired: int = 0
    refused: Notes = field(default_factory=Notes)


class Restorer(Connected):
    """Writes what a dump has.

    Args:
        url: the place.
        header: of the dump.
        merge: keys that the place has already are merged.
        replace: the place is emptied first.

    Attributes:
        goes_on: whether an earlier run of the same was interrupted.
        is_interrupted: whether a restore was interrupted here, of this dump or another one.
        is_done: whether the same was done within the last ten minutes.

    Raises:
        BadAddress, RefusedPlace, CutConnection: as `wire.Wire`; every method may raise the last two.
    """

    def __init__(self, url: str, header: Header, *, merge: bool = False, replace: bool = False) -> None:
        self._scope = Scope(header.everything)
        self._merge = merge
        self._replace = replace
        self._marker = Marker(
            f'{_DUMP}{header.id}', 'with --merge' if merge else 'with --replace' if replace else '', 'copying'
        )
        self._outcome = Restored()
        self._current: _OneKey | None = None
        super().__init__(url, url)
        # The second is for what grows while its name is watched.
        self._wire, self._aside = self._wires
        found = Marker.read(self._wire)
        self.is_done = found == self._marker._replace(phase='done')
        self._begun = found if found is not None and found.phase != 'done' else None
        self.is_interrupted = self._begun is not None and self._begun.source.startswith(_DUMP)
        self.goes_on = self._begun is not None and self._begun._replace(phase='copying') == self._marker

    def obstacles(self) -> list[str]:
        """Return sentences: what is in the way."""
        wire, begun = self._wire, self._begun
        found = [*too_old(wire, about(wire)), *others_at_work(wire)]
        if self.goes_on or (self._replace and self.is_interrupted):
            return found
        if begun is not None and begun.source == self._marker.source:
            said = begun.options or 'without --merge and --replace'
            found.append(f'This was begun {said}: run it again in the same way, or say --replace to begin anew.')
        elif begun is not None:
            found.append(
                f'The place holds a part of what was carried over from {begun.source}: finish that first, or empty the '
                'place.'
            )
        elif not (self._merge or self._replace) and next(self._scope.names(wire), None) is not None:
            what = 'keys' if self._scope.everything else 'RQ data'
            found.append(
                f'The place holds {what} already: to remove them first, say --replace; to keep them beside what the '
                'dump has, --merge; else name an empty place.'
            )
        return found

    def run(self, chunks: Iterable[Chunk], done: Callable[[int], None]) -> Restored:
        """Do it; nothing may be in the way.

        Args:
            chunks: those of the dump.
            done: receives numbers of keys that are done.

        Returns:
            What has come of it; where keys were refused, the same can be run again.
        """
        wire = self._wire
        announce(wire)
        if self._replace and not (self.goes_on and self._begun is not None and self._begun.phase == 'copying'):
            self._marker._replace(phase='emptying').write(wire)
            self._empty()
        self._marker.write(wire)
        for chunk in chunks:
            if chunk.kind == KEYS:
                self._short(chunk.values)
                done(len(chunk.values))
            elif chunk.kind == VOID:
                if self._current is not None:
                    self._current.drop('')
                self._current = None
            else:
                self._long(chunk)
                done(chunk.kind == LAST)
        if not self._outcome.refused.count:
            self._marker.end(wire)
        return self._outcome

    def _empty(self) -> None:
        wire = self._wire
        names = self._scope.names(wire)
        while some := list(islice(names, _ASKED)):
            wire.call(b'UNLINK', *some)
        wire.call(b'UNLINK', PART, record.DONE)

    # -- short keys

    def _short(self, values: list[Value]) -> None:
        living = [one for one in values if not _has_expired(one.expires)]
        self._outcome.expired += len(values) - len(living)
        if not living:
            return
        wire = self._wire
        names = [one.name for one in living]
        digests = [one.digest for one in living]
        _, _, found = wire.do([(b'UNWATCH',), (b'WATCH', *names), (b'EXISTS', *names)])
        new = list(zip(living, digests, strict=True))
        others: list[Value] = []
        if found or self.goes_on:
            noted = record.entries(wire, names)
            there = wire.do([(b'EXISTS', name) for name in names])
            new = []
            for one, digest, entry, is_there in zip(living, digests, noted, there, strict=True):
                if entry is not None and entry.digest == short(digest):
                    # It may have been used since, or have expired.
                    self._outcome.present += 1
                elif entry is None and not is_there:
                    new.append((one, digest))
                else:
                    others.append(one)
        if new and not self._write(new):
            others += (one for one, _ in new)
        for one in others:
            self._alone(one)

    def _write(self, new: list[tuple[Value, bytes]]) -> bool:
        """Write keys that are watched and not there; return False if somebody has touched one of them.

        Args:
            new: those, and their digests.
        """
        commands: list[Command] = [(b'MULTI',)]
        for one, _ in new:
            commands += one.commands()
        entries = [(one.name, Entry(short(digest))) for one, digest in new]
        *_, replies = self._wire.do([*commands, record.note(entries), (b'EXEC',)])
        if replies is None:
            return False
        for reply in replies:
            self._wire.checked(reply, 'a write')
        self._outcome.written += len(new)
        return True

    def _alone(self, one: Value) -> None:
        for _ in range(_TRIES):
            current = _OneKey(self._wire, self._aside, one, merge=self._merge)
            for part in one.parts:
                current.add(part)
            if self._end(current):
                return
        self._outcome.refused.add(one.name, _BUSY)

    # -- a key that grows

    def _long(self, chunk: Chunk) -> None:
        (one,) = chunk.values
        if self._current is None:
            self._current = _OneKey(self._wire, self._aside, one, merge=self._merge)
        for part in one.parts:
            self._current.add(part)
        if chunk.kind == LAST:
            if not self._end(self._current):
                self._outcome.refused.add(one.name, _BUSY)
            self._current = None

    def _end(self, one: _OneKey) -> bool:
        """Give a key its name; return False if somebody has touched it meanwhile."""
        verdict = one.end()
        if verdict == 'again':
            return False
        if verdict in ('written', 'present', 'merged', 'expired'):
            setattr(self._outcome, verdict, getattr(self._outcome, verdict) + 1)
        else:
            self._outcome.refused.add(one.name, verdict)
        return True


def _has_expired(expires: int) -> bool:
    return expires != NO_EXPIRY and expires <= time.time() * 1000


class _OneKey:
    """A key that is restored alone, since it is long or has to be merged.

    Args:
        wire: where its name stays watched to the end.
        aside: the same place, where it grows.
        one: the key, with or without its slices.
        merge: whether it is merged with what the place has.
    """

    def __init__(self, wire: Wire, aside: Wire, one: Value, *, merge: bool) -> None:
        self.name, self._kind, self._expires, _ = one
        self._wire = wire
        self._digest = Digest(self._kind, self._expires)
        self._is_merge = False
        self._start = 0
        # Why it will not be written, unless the place has the same.
        self._reason = ''
        _, _, other, self._until = wire.do(
            [(b'UNWATCH',), (b'WATCH', self.name), (b'TYPE', self.name), (b'PEXPIRETIME', self.name)]
        )
        (self._entry,) = record.entries(wire, [self.name])
        # Of this dump there may be an earlier value: Redis may name a key twice while it is dumped.
        if other != b'none' and (self._entry is None or self._entry.merged):
            self._reason = _FOREIGN
            if self._entry is not None:
                self._reason = 'another value of it was merged before'
            elif merge:
                self._reason = merging.unmergeable(self.name, self._kind, other)
            self._is_merge = not self._reason
            if self._is_merge and self._kind == b'list':
                self._start = wire.call(b'LLEN', self.name)
        self._growing = Growing(aside, self.name if self._is_merge else b'')

    def add(self, part: Slice) -> None:
        """Take in the next slice."""
        self._digest.add(part)
        if not self._reason:
            self._growing.add(part)

    def end(self) -> str:
        """Give it its name; return what has become of it: a word, or why it was refused."""
        digest = self._digest.value()
        if _has_expired(self._expires):
            return self.drop('expired')
        if self._entry is not None and self._entry.digest == short(digest):
            return self.drop('present')
        if self._is_merge or self._reason:
            there = look(self._wire, self.name)
            if there is not None and there.digest == digest:
                return self.drop('present')
        if self._reason:
            return self.drop(self._reason)
        expires = merging.later(self._expires, self._until) if self._is_merge else self._expires
        entry = Entry(short(digest), self._is_merge, self._start)
        if not self._growing.give_name(self._wire, self.name, expires, entry):
            return 'again'
        return 'merged' if self._is_merge else 'written'

    def drop(self, verdict: str) -> str:
        """Give it up.

        Args:
            verdict: what `end` returns.
        """
        self._growing.drop()
        self._wire.call(b'UNWATCH')
        return verdict

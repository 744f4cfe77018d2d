"""Whether the target holds what the source holds: by digests of every key, read anew in both places.

The digest of a hash, a set or a sorted set does not depend on its order. Of a merged key, the target must hold what
the source's holds, which may not be all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from rq_leveldb.migrate import record
from rq_leveldb.migrate.copying import Places, look
from rq_leveldb.migrate.outcome import Outcome
from rq_leveldb.migrate.record import short
from rq_leveldb.migrate.scope import Batches, Key, Scope
from rq_leveldb.migrate.value import holds, read_slices

__all__ = ['Verifier', 'drop_gone']

_ASKED = 200


class Verifier:
    """Compares keys of the two places.

    Args:
        places: which.
        outcome: is counted up.
    """

    def __init__(self, places: Places, outcome: Outcome) -> None:
        self._places = places
        self._outcome = outcome

    def different(self, names: Iterable[bytes], done: Callable[[int], None]) -> list[bytes]:
        """Return the names of those keys that the target does not hold as the source does.

        Args:
            names: of keys of the source.
            done: receives numbers of keys that are done.
        """
        found: list[bytes] = []
        batches = Batches(self._places.source_aside, names, self._outcome.refused)
        for groups in batches.passes():
            self._pass(batches, groups, found, done)
        return found

    def _pass(
        self, batches: Batches, groups: Iterable[list[Key]], found: list[bytes], done: Callable[[int], None]
    ) -> None:
        source, target = self._places.source, self._places.target
        ahead: list[Key] = []
        for batch in groups:
            if batch[0].large:
                doubtful = [batch[0].name]
            else:
                batches.request(source, batch)
                batches.request(target, batch)
                doubtful = self._compare(batches, ahead)
                ahead = batch
            found += (name for name in doubtful if not self._is_right(name))
            done(len(batch))
        found += (name for name in self._compare(batches, ahead) if not self._is_right(name))

    def _compare(self, batches: Batches, batch: list[Key]) -> list[bytes]:
        """Return those keys of a batch, whose values are asked for, whose digests differ."""
        if not batch:
            return []
        own = batches.receive(self._places.source, batch)
        other = batches.receive(self._places.target, batch, leading=False)
        different: list[bytes] = []
        for key, here, there in zip(batch, own, other, strict=True):
            # A merged stream may be long in the target alone; what was put back or is gone is nothing to compare.
            if here is None or not here.parts:
                continue
            if there is not None and here.digest == there.digest:
                self._count(key.name)
            else:
                different.append(key.name)
        return different

    def _is_right(self, name: bytes) -> bool:
        """Look at a key alone: it may be long, or merged, or gone."""
        places = self._places
        own = look(places.source_aside, name)
        if own is None:
            return True
        entry = record.entries(places.target_aside, [name])[0]
        if entry is not None and entry.merged:
            is_right = entry.digest == short(own.digest) and self._is_held(name, own.kind, entry.start)
        else:
            is_right = look(places.target_aside, name) == own
        if is_right:
            self._count(name)
        return is_right

    def _count(self, name: bytes) -> None:
        self._outcome.verified += 1
        self._outcome.names_verified += hash(name)

    def _is_held(self, name: bytes, kind: bytes, start: int) -> bool:
        for part in read_slices(self._places.source_aside, name, kind):
            if not holds(self._places.target_aside, name, part, start):
                return False
            start += len(part.items)
        return True


def drop_gone(places: Places, scope: Scope, outcome: Outcome, done: Callable[[int], None]) -> None:
    """Remove from the target what was written there and is gone from the source since.

    Args:
        places: which.
        scope: which keys are meant.
        outcome: is counted up.
        done: receives numbers of keys that are done.
    """
    names = scope.names(places.target_aside)
    source = places.source_aside
    while some := list(islice(names, _ASKED)):
        done(len(some))
        if source.call(b'EXISTS', *some) == len(some):
            continue
        for name, is_there in zip(some, source.do([(b'EXISTS', name) for name in some]), strict=True):
            if not is_there:
                _drop(places, outcome, name)


def _drop(places: Places, outcome: Outcome, name: bytes) -> None:
    target = places.target
    entry = record.entries(target, [name])[0]
    if entry is None or entry.merged:
        return
    target.call(b'WATCH', name)
    there = look(target, name)
    if there is None or short(there.digest) != entry.digest:
        target.call(b'UNWATCH')
        return
    *_, removed = target.do([(b'MULTI',), (b'UNLINK', name), record.forget(name), (b'EXEC',)])
    if removed is not None:
        outcome.dropped += 1

"""What the target holds, and was verified, goes from the source: each key only if it is what was carried over."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rq_leveldb.migrate import record
from rq_leveldb.migrate.copying import Places, look
from rq_leveldb.migrate.outcome import Outcome
from rq_leveldb.migrate.record import short
from rq_leveldb.migrate.scope import Batches, Key

__all__ = ['remove']


def remove(places: Places, outcome: Outcome, names: Iterable[bytes], done: Callable[[int], None]) -> list[bytes]:
    """Remove keys; return the names of those that are not what was carried over.

    Args:
        places: the two.
        outcome: is counted up.
        names: of keys of the source.
        done: receives numbers of keys that are done.
    """
    left: list[bytes] = []
    batches = Batches(places.source_aside, names, outcome.refused)
    for groups in batches.passes():
        for batch in groups:
            left += _remove(places, outcome, batches, batch)
            done(len(batch))
    return left


def _remove(places: Places, outcome: Outcome, batches: Batches, batch: list[Key]) -> list[bytes]:
    source = places.source
    names = [key.name for key in batch]
    source.call(b'WATCH', *names)
    own: dict[bytes, bytes] = {}
    if batch[0].large:
        found = look(source, names[0])
        if found is not None:
            own[names[0]] = short(found.digest)
    else:
        batches.request(source, batch)
        for read in batches.receive(source, batch):
            if read is not None and read.parts:
                own[read.name] = short(read.digest)
    if not own:
        source.call(b'UNWATCH')
        return []
    noted = dict(zip(own, record.entries(places.target_aside, list(own)), strict=True))
    same = [name for name, digest in own.items() if (entry := noted[name]) is not None and entry.digest == digest]
    if not same:
        source.call(b'UNWATCH')
        return list(own)
    *_, removed = source.do([(b'MULTI',), (b'UNLINK', *same), (b'EXEC',)])
    if removed is None:
        # One of them has changed since it was read.
        return list(own)
    outcome.removed += len(same)
    return [name for name in own if name not in same]

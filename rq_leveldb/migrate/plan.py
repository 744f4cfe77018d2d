"""What there is to carry over, and what is in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from rq_leveldb.errors import mask_password
from rq_leveldb.migrate import merging
from rq_leveldb.migrate.copying import Places
from rq_leveldb.migrate.outcome import Notes
from rq_leveldb.migrate.record import MOVING, Marker
from rq_leveldb.migrate.scope import Scope, guess
from rq_leveldb.migrate.value import KINDS
from rq_leveldb.migrate.wire import Refused, Wire

__all__ = ['LIVE', 'Plan', 'announce', 'make_live_plan', 'make_plan']

LIVE = 'with --live'
"""What a live migration writes down of its options."""

_ASKED = 200
# Of the keys whose names tell their type, every so many-th is measured.
_MEASURED = 16
_OLDEST = 7
# The connections of a migration carry it, as long as it runs.
_NAME = 'rq-leveldb-migrate'


@dataclass
class Plan:
    """What there is to carry over, and what is in the way.

    Args:
        keys: how many.
        kinds: how many of each type.
        bytes: what they take in the memory of the source's server, about.
        goes_on: whether an earlier run of this migration was interrupted.
        is_done: whether it was done within the last ten minutes.
        is_verified: whether that run had come to removing keys from the source.
        obstacles: sentences: why it cannot begin.
        conflicts: keys that stand in the way, and why.
        warnings: sentences.
    """

    keys: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    goes_on: bool = False
    is_done: bool = False
    is_verified: bool = False
    obstacles: list[str] = field(default_factory=list)
    conflicts: Notes = field(default_factory=Notes)
    warnings: list[str] = field(default_factory=list)

    @property
    def may_begin(self) -> bool:
        """Whether nothing is in the way."""
        return not (self.is_done or self.obstacles or self.conflicts.count)


def make_plan(places: Places, scope: Scope, marker: Marker, *, merge: bool, done: Callable[[int], None]) -> Plan:
    """Look at everything, and change nothing.

    Args:
        places: from where and to where.
        scope: which keys are meant.
        marker: what this migration writes down of itself.
        merge: whether the target may hold other data.
        done: receives numbers of keys that are done.
    """
    source, target = places.source_aside, places.target_aside
    known = {wire: about(wire) for wire in (source, target)}
    plan = Plan()
    if not _begin(plan, known, marker):
        return plan
    holds = next(scope.names(target), None) is not None
    if holds and not plan.goes_on and not merge:
        plan.obstacles.append(
            'The target holds RQ data already. If a migration has just ended, nothing is left to do; to merge the two, '
            'say --merge; else name an empty place.'
        )
    if _keyspace(source, known[source]).get('subexpiry', '0') != '0':
        plan.warnings.append(
            'The source has hashes with fields that expire, which RQ does not write: when they do is not carried over.'
        )
    _count(plan, places, scope, merge=merge and holds and not plan.goes_on, done=done)
    _look_at_memory(plan, known[target])
    return plan


def make_live_plan(source: Wire, target: Wire, marker: Marker) -> Plan:
    """Look at what is in the way of a live migration, and change nothing.

    Args:
        source: from where.
        target: to where.
        marker: what this migration writes down of itself.
    """
    known = {wire: about(wire) for wire in (source, target)}
    plan = Plan()
    if _begin(plan, known, marker):
        _look_at_memory(plan, known[target])
    return plan


def _begin(plan: Plan, known: dict[Wire, dict[str, str]], marker: Marker) -> bool:
    """Look at the two places, and at what earlier migrations have left there; return whether to look at more.

    Args:
        plan: gets what is in the way.
        known: the source and what INFO says of it, then the target.
        marker: what this migration writes down of itself.
    """
    source, target = known
    for wire, info in known.items():
        plan.obstacles += too_old(wire, info)
    if plan.obstacles:
        return False
    if _identity(source, known[source]) == _identity(target, known[target]):
        plan.obstacles.append('Source and target are the same place.')
        return False
    for wire in (source, target):
        plan.obstacles += others_at_work(wire)
    begun = Marker.read(source)
    if begun is not None and begun.phase != 'done':
        plan.obstacles.append(
            'The source is the target of another migration that was not finished: run that one again first.'
        )
    _look_at_marker(plan, Marker.read(target), marker)
    _look_at_moving(plan, source.call(b'LRANGE', MOVING, 1, 1), target, marker)
    _look_at_moving(plan, target.call(b'LRANGE', MOVING, 1, 1), None, marker)
    return not plan.is_done


def _look_at_moving(plan: Plan, found: list[bytes], target: Wire | None, marker: Marker) -> None:
    """Look at a step of a live migration that is under way in a place, which only the same one can finish."""
    for name in (text.decode('utf-8', 'replace') for text in found):
        if target is None or name != _shown(target):
            plan.obstacles.append(f'Jobs are on their way to {name}: run that live migration again first.')
        elif marker.options != LIVE:
            plan.obstacles.append('Jobs are on their way to the target: run this again with --live first.')


def _look_at_marker(plan: Plan, found: Marker | None, wanted: Marker) -> None:
    if found is None:
        return
    if found.phase == 'done':
        plan.is_done = found == wanted._replace(phase='done')
        return
    if found.source != wanted.source:
        plan.obstacles.append(
            f'The target holds a part of what a migration from {found.source} has carried over: run that one again to '
            f'finish it, or empty the target.'
        )
    elif found.options != wanted.options:
        said = found.options or 'without --merge and --all'
        plan.obstacles.append(f'This migration was begun {said}: run it again in the same way.')
    else:
        plan.goes_on = True
        plan.is_verified = found.phase == 'verified'


def _count(plan: Plan, places: Places, scope: Scope, *, merge: bool, done: Callable[[int], None]) -> None:
    names = scope.names(places.source)
    measured: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    while some := list(islice(names, _ASKED)):
        for name, kind, size in _about(places.source_aside, some, plan.keys):
            if kind == b'none':
                continue
            text = kind.decode('utf-8', 'replace')
            plan.keys += 1
            plan.kinds[text] += 1
            if size is not None:
                measured[text] += 1
                sizes[text] += size
            if kind not in KINDS:
                plan.conflicts.add(name, f'its type, {text}, is of a module and cannot be carried over')
        if merge:
            _collisions(plan, places, some)
        done(len(some))
    plan.bytes = sum(sizes[kind] * plan.kinds[kind] // measured[kind] for kind in measured)


def _about(wire: Wire, names: list[bytes], begun: int) -> Iterator[tuple[bytes, bytes, int | None]]:
    """Return names, types and some of the sizes."""
    guesses = [guess(name) for name in names]
    is_measured = [kind is None or (begun + at) % _MEASURED == 0 for at, kind in enumerate(guesses)]
    commands: list[tuple[bytes, ...]] = [
        (b'TYPE', name) for name, kind in zip(names, guesses, strict=True) if kind is None
    ]
    commands += ((b'MEMORY', b'USAGE', name) for name, is_one in zip(names, is_measured, strict=True) if is_one)
    replies = iter(wire.do(commands))
    kinds = [next(replies) if kind is None else kind for kind in guesses]
    for name, kind, is_one in zip(names, kinds, is_measured, strict=True):
        yield name, kind, (next(replies) or 0) if is_one else None


def _collisions(plan: Plan, places: Places, names: list[bytes]) -> None:
    source, target = places.source_aside, places.target_aside
    if not target.call(b'EXISTS', *names):
        return
    for name, other in zip(names, target.do([(b'TYPE', name) for name in names]), strict=True):
        if other == b'none':
            continue
        kind = source.call(b'TYPE', name)
        if kind in KINDS and (reason := merging.refusal(source, target, name, kind, other)):
            plan.conflicts.add(name, reason)


def _look_at_memory(plan: Plan, info: dict[str, str]) -> None:
    most = int(info.get('maxmemory', '0') or 0)
    if not most:
        return
    if info.get('maxmemory_policy', 'noeviction') != 'noeviction':
        plan.warnings.append(
            f'The target removes keys when it is full (maxmemory-policy {info["maxmemory_policy"]}): jobs would be '
            'lost. Set noeviction.'
        )
    free = most - int(info.get('used_memory', '0') or 0)
    if plan.bytes > free:
        plan.warnings.append(
            f'About {plan.bytes // 1_000_000 + 1} MB are to be carried over, and the target has '
            f'{max(0, free) // 1_000_000} MB left (maxmemory).'
        )


def too_old(wire: Wire, info: dict[str, str]) -> Iterator[str]:
    """Say whether a server lacks commands that are needed.

    Args:
        wire: where.
        info: as `about` returns it.
    """
    version = info.get('redis_version', '0')
    if int(version.split('.')[0]) < _OLDEST:
        yield f'{_shown(wire)} is Redis {version}; 7.0 or newer is needed.'


def others_at_work(wire: Wire) -> Iterator[str]:
    """Say whether another migration, or a dump that is restored, is at work on a place.

    Args:
        wire: where.
    """
    if others := _others(wire):
        yield f'Another migration is at work on {_shown(wire)} ({others}): wait for its end, or end it.'


def _others(wire: Wire) -> str:
    """Return the address of another migration's connection, '' if there is none or nobody may know."""
    (reply,) = wire.ask([(b'CLIENT', b'LIST')])
    if isinstance(reply, Refused):
        return ''
    for line in reply.decode('utf-8', 'replace').splitlines():
        words: dict[str, str] = dict(word.partition('=')[::2] for word in line.split(' '))
        if words.get('name') == _NAME and words.get('addr') is not None:
            return words.get('addr', '')
    return ''


def announce(wire: Wire) -> None:
    """Let other migrations know of this one, for as long as the connection is there.

    Args:
        wire: a connection that stays.
    """
    wire.ask([(b'CLIENT', b'SETNAME', _NAME)])


def about(wire: Wire) -> dict[str, str]:
    """Return what INFO says of a place.

    Args:
        wire: where.
    """
    text = wire.call(b'INFO').decode('utf-8', 'replace')
    pairs = (line.partition(':') for line in text.splitlines() if ':' in line)
    return {name: value for name, _, value in pairs}


def _keyspace(wire: Wire, info: dict[str, str]) -> dict[str, str]:
    return dict(word.partition('=')[::2] for word in info.get(f'db{wire.database}', '').split(',') if word)


def _identity(wire: Wire, info: dict[str, str]) -> tuple[str, ...]:
    server = info.get('run_id') or info.get('data_directory', '')
    return server, info.get('process_id', ''), str(wire.database)


def _shown(wire: Wire) -> str:
    return mask_password(wire.url)

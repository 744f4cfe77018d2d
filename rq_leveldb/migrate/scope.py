"""Which keys are meant, and their types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from rq.defaults import RQ_KEY_PREFIX

from rq_leveldb.migrate.outcome import Notes
from rq_leveldb.migrate.value import KINDS, Value, read_whole, slices_of
from rq_leveldb.migrate.wire import Refused, Wire

__all__ = ['OWN', 'RQ', 'Batches', 'Key', 'Scope']

RQ = RQ_KEY_PREFIX.encode() + b':'
"""Prefix of RQ's keys."""

OWN = b'rq-leveldb:migration'
"""Prefix of the keys that a migration makes for itself in its target, and removes in the end."""

# What beside RQ's keys is kept by our worker and our HTTP front.
_OURS = b'rq-leveldb:'
# What both begin with, which spares the server the sending of other names.
_BOTH = b'rq*' if RQ.startswith(b'rq') else b'*'
# The names of most keys tell their type, which saves asking for it; another type than that is noticed.
_GUESSES = ((RQ + b'job:', b'hash'), (RQ + b'results:', b'stream'))
_OTHER_ENDS = (b':dependents', b':dependencies')
# What takes more memory than this in its server is read in slices.
_LARGE = 1 << 18
_SCANNED = 500
_PROBED = 200
_MOST_KEYS = 128
_FIRST_KEYS = 16
# Bytes of values that are held at a time.
_BATCH_BYTES = 1 << 20
_MOST_BATCH_BYTES = 4 << 20


class Scope:
    """Which keys are meant.

    Args:
        everything: all keys, and not only RQ's and ours.
    """

    def __init__(self, everything: bool = False) -> None:
        self.everything = everything
        self._pattern = b'*' if everything else _BOTH

    def has(self, name: bytes) -> bool:
        """Say whether a key is meant.

        Args:
            name: its name.
        """
        return not name.startswith(OWN) and (self.everything or name.startswith((RQ, _OURS)))

    def names(self, wire: Wire) -> Iterator[bytes]:
        """Return the names of all keys that are meant; some may come twice.

        Args:
            wire: where; nothing else may be asked there meanwhile.
        """
        cursor = b'0'
        while True:
            cursor, names = wire.call(b'SCAN', cursor, b'MATCH', self._pattern, b'COUNT', _SCANNED)
            yield from filter(self.has, names)
            if cursor == b'0':
                return


class Key(NamedTuple):
    """A key whose type is known.

    Args:
        name: its name.
        kind: one of `value.KINDS`.
        large: whether it has to be read in slices.
    """

    name: bytes
    kind: bytes
    large: bool


def guess(name: bytes) -> bytes | None:
    """Return the type that a key has according to its name, None where that tells nothing."""
    for prefix, kind in _GUESSES:
        if name.startswith(prefix):
            return None if name.endswith(_OTHER_ENDS) else kind
    return None


def _distinct(keys: list[Key]) -> list[Key]:
    """Return keys without those that came twice: SCAN may do so, and a list must not be written twice."""
    return list(dict.fromkeys(keys))


class Batches:
    """Groups of keys whose values are small enough to be held at once; a large key is a group of its own.

    What cannot be had in the way in which it was tried is put back, and comes in the next pass.

    Args:
        probe: the source, for asking for types.
        names: of the keys.
        refused: receives keys of types that cannot be carried over.
    """

    def __init__(self, probe: Wire, names: Iterable[bytes], refused: Notes) -> None:
        self.again: list[bytes] = []
        self._probe = probe
        self._names = iter(names)
        self._refused = refused
        self._count = _FIRST_KEYS
        self._unguessed: set[bytes] = set()
        self._large: set[bytes] = set()

    def passes(self) -> Iterator[Iterator[list[Key]]]:
        """Return the groups, then those of keys that were put back meanwhile, until none was.

        Whoever asks ahead has to come to an end of one pass before it asks for the next.
        """
        yield iter(self)
        while self.again:
            yield iter(self)

    def __iter__(self) -> Iterator[list[Key]]:
        again, self.again = self.again, []
        small: list[Key] = []
        for key in self._keys(chain(again, self._names)):
            if key.large:
                yield [key]
                continue
            small.append(key)
            while len(small) >= self._count:
                taken, small = small[: self._count], small[self._count :]
                yield _distinct(taken)
        while small:
            taken, small = small[: self._count], small[self._count :]
            yield _distinct(taken)

    def _keys(self, names: Iterable[bytes]) -> Iterator[Key]:
        unknown: list[bytes] = []
        for name in names:
            kind = None if name in self._unguessed or name in self._large else guess(name)
            if kind is not None:
                yield Key(name, kind, False)
                continue
            unknown.append(name)
            if len(unknown) >= _PROBED:
                yield from self._asked(unknown)
                unknown = []
        yield from self._asked(unknown)

    def _asked(self, names: list[bytes]) -> Iterator[Key]:
        commands = chain.from_iterable(((b'TYPE', name), (b'MEMORY', b'USAGE', name)) for name in names)
        replies = iter(self._probe.do(list(commands)))
        for name in names:
            kind, used = next(replies), next(replies)
            if kind == b'none':
                continue
            if kind not in KINDS:
                self._refused.add(name, f'its type, {kind.decode("utf-8", "replace")}, cannot be carried over')
                continue
            yield Key(name, kind, name in self._large or (used or 0) > _LARGE)

    def request(self, wire: Wire, batch: list[Key]) -> None:
        """Ask for the values of a batch.

        Args:
            wire: where.
            batch: none of them large.
        """
        wire.send(chain.from_iterable(((b'PEXPIRETIME', key.name), read_whole(key.name, key.kind)) for key in batch))

    def receive(self, wire: Wire, batch: list[Key], *, leading: bool = True) -> list[Value | None]:
        """Return the values of a batch that was asked for.

        Args:
            wire: where.
            batch: the same.
            leading: whether what cannot be had in this way is put back into `again`.

        Returns:
            For each key its value; None where it cannot be had in this way.
        """
        begun = wire.received
        found: list[Value | None] = []
        for key in batch:
            expires = wire.checked(wire.receive(), 'PEXPIRETIME')
            reply: Any = wire.receive()
            if wire.received - begun > _MOST_BATCH_BYTES and found:
                self._put_back(key, leading)
                found.append(None)
                continue
            if isinstance(reply, Refused):
                if str(reply).startswith('WRONGTYPE'):
                    if leading:
                        self._unguessed.add(key.name)
                    self._put_back(key, leading)
                    found.append(None)
                    continue
                if 'no such key' not in str(reply):
                    wire.checked(reply, f'reading {key.name.decode("utf-8", "backslashreplace")}')
            parts = slices_of(key.kind, reply)
            if parts is None:
                if leading:
                    self._large.add(key.name)
                self._put_back(key, leading)
                found.append(None)
            else:
                # Its time may have come between the two replies.
                found.append(Value(key.name, key.kind, expires, parts if expires != -2 else []))
        average = max(1, (wire.received - begun) // len(batch))
        self._count = max(1, min(2 * self._count, _MOST_KEYS, _BATCH_BYTES // average))
        return found

    def _put_back(self, key: Key, leading: bool) -> None:
        if leading:
            self.again.append(key.name)

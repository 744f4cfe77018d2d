"""What a migration writes down in its target, so that a later run knows what is its own."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from rq_leveldb.migrate.scope import OWN
from rq_leveldb.migrate.wire import Command, Wire

__all__ = [
    'ASIDE',
    'DONE',
    'MARKER',
    'MOVING',
    'PART',
    'STEPS',
    'Entry',
    'Marker',
    'entries',
    'forget',
    'note',
    'short',
]

MARKER = OWN
"""Hash: the fields of `Marker`. It stays for ten minutes after the end."""
DONE = OWN + b':done'
"""Hash: the short digest of a key's name to what was written there."""
PART = OWN + b':part'
"""A long value that is not complete."""
MOVING = OWN + b':moving'
"""List, in the source: the jobs of a live migration's step that is under way; see `step`."""
ASIDE = MOVING + b':'
"""Prefix, in the source: the keys of these jobs, so that nobody finds them under their own names."""
STEPS = OWN + b':steps'
"""Set: the ids of a live migration's steps that have come into the target."""

_SHORT = 8
# Milliseconds.
_REMEMBERED = 600_000


class Marker(NamedTuple):
    """The migration that a target belongs to.

    Args:
        source: its URL, without a password.
        options: those that must not change between two runs.
        phase: `copying`; `verified` once keys may have been removed from the source; `done`.
    """

    source: str
    options: str
    phase: str

    @staticmethod
    def read(wire: Wire) -> Marker | None:
        """Return the marker in a target, None if there is none."""
        source, options, phase = wire.call(b'HMGET', MARKER, b'source', b'options', b'phase')
        if source is None:
            return None
        return Marker(source.decode('utf-8', 'replace'), (options or b'').decode(), (phase or b'copying').decode())

    def write(self, wire: Wire) -> None:
        """Write it into a target."""
        wire.do([(b'MULTI',), (b'DEL', MARKER), self._written(), (b'EXEC',)])

    def end(self, wire: Wire) -> None:
        """Say in a target that it is done, and remove there what else was written down.

        Who was interrupted at the very end, and runs it again, must not begin anew: a merge would append twice.
        """
        done = self._replace(phase='done')
        wire.do([(b'MULTI',), (b'UNLINK', PART, DONE), done._written(), (b'PEXPIRE', MARKER, _REMEMBERED), (b'EXEC',)])

    def end_live(self, wire: Wire) -> None:
        """Remove from a target what a live migration has written down, which may be run again at any time.

        A run that stood still for minutes, and whose connection nobody could see, still finds what steps were done.
        """
        wire.do([(b'MULTI',), (b'UNLINK', MARKER), (b'PEXPIRE', STEPS, _REMEMBERED), (b'EXEC',)])

    def _written(self) -> Command:
        return (b'HSET', MARKER, b'source', self.source, b'options', self.options, b'phase', self.phase)


class Entry(NamedTuple):
    """What was written under a name.

    Args:
        digest: the first bytes of the digest of the source's value.
        merged: whether there was another value that it was merged with.
        start: where it begins in a merged list.
    """

    digest: bytes
    merged: bool = False
    start: int = 0


def short(digest: bytes) -> bytes:
    """Return as much of a digest as is written down."""
    return digest[:_SHORT]


def _field(name: bytes) -> bytes:
    return blake2b(name, digest_size=_SHORT).digest()


def note(found: Sequence[tuple[bytes, Entry]]) -> Command:
    """Return the command that writes down what the same transaction writes.

    Args:
        found: names, and what is written under them.
    """
    words: list[bytes] = []
    for name, entry in found:
        words += (_field(name), entry.digest + (b'm%d' % entry.start if entry.merged else b''))
    return (b'HSET', DONE, *words)


def forget(name: bytes) -> Command:
    """Return the command that removes what is noted of a name."""
    return (b'HDEL', DONE, _field(name))


def entries(wire: Wire, names: Sequence[bytes]) -> list[Entry | None]:
    """Return what is noted of names.

    Args:
        wire: the target.
        names: at least one.
    """
    found: list[Entry | None] = []
    for value in wire.call(b'HMGET', DONE, *map(_field, names)):
        if value is None:
            found.append(None)
        else:
            found.append(Entry(value[:_SHORT], len(value) > _SHORT, int(value[_SHORT + 1 :] or 0)))
    return found

"""What a migration has come to."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ['Notes', 'Outcome', 'shown']

_MOST = 1000


def shown(name: bytes) -> str:
    """Return a key's name as text."""
    return name.decode('utf-8', 'backslashreplace')


@dataclass
class Notes:
    """Keys with something to be said of each; not all of very many are kept.

    Args:
        count: how many there were.
        some: names and what is said of them.
    """

    count: int = 0
    some: dict[str, str] = field(default_factory=dict)

    def add(self, name: bytes, reason: str) -> None:
        """Note a key, once.

        Args:
            name: its name.
            reason: a clause.
        """
        text = shown(name)
        if text in self.some:
            return
        self.count += 1
        if len(self.some) < _MOST:
            self.some[text] = reason

    def has(self, name: bytes) -> bool:
        """Say whether a key was noted."""
        return shown(name) in self.some

    def reason(self, name: bytes) -> str | None:
        """Return what is said of a key."""
        return self.some.get(shown(name))


@dataclass
class Outcome:
    """What a migration has come to.

    Args:
        copied: keys that were written.
        present: keys that an earlier run had written.
        merged: keys that were merged with another value.
        dropped: keys that were written, and removed again since they are gone from the source.
        verified: keys whose digests were compared and equal in the end.
        recopied: keys that changed in the source meanwhile and were written once more.
        removed: keys that were removed from the source.
        moved: jobs that were moved, by a live migration.
        names_written, names_verified: sums of the hashes of their names. Where they are equal, all that was written
            was found in the source again.
        refused: keys that were not carried over, and why.
        changing: keys that differ in the end, since the source was written to.
        left: keys that were not removed from the source, or jobs that were not moved, and why.
    """

    copied: int = 0
    present: int = 0
    merged: int = 0
    dropped: int = 0
    verified: int = 0
    recopied: int = 0
    removed: int = 0
    moved: int = 0
    names_written: int = 0
    names_verified: int = 0
    refused: Notes = field(default_factory=Notes)
    changing: Notes = field(default_factory=Notes)
    left: Notes = field(default_factory=Notes)

    @property
    def complete(self) -> bool:
        """Whether the target holds everything."""
        return not (self.refused.count or self.changing.count)

"""Errors that a user sees: what happened, where, and what to do about it."""

from __future__ import annotations

import json
import re
from typing import ClassVar

__all__ = [
    'BadAddress',
    'BadCronFile',
    'CorruptDatabase',
    'DiskFull',
    'DurabilityMismatch',
    'ForeignOwner',
    'NewerFormat',
    'NoHomeDirectory',
    'NotAStore',
    'StoreError',
    'StoreInUse',
    'StoreNotStarting',
    'UnsafePath',
    'UnwritableDirectory',
    'mask_password',
]


# Up to the last @: a password that was not quoted may hold one.
_LOGIN = re.compile(r'(://[^:/?#@]*:).*@', re.DOTALL)
_PARAMETER = re.compile(r'([?&](?:ssl_)?password=)[^&#]*', re.IGNORECASE)


def mask_password(url: str) -> str:
    """Return a URL that is safe to show, with stars in place of a password.

    Args:
        url: a URL, or any other text.
    """
    return _PARAMETER.sub(r'\1***', _LOGIN.sub(r'\1***@', url))


class StoreError(Exception):
    """A problem with the store that a person has to know about or decide on.

    Args:
        where: the path or URL that it is about.
        title: what happened, one short sentence without a full stop; each class has a default.
        advice: what to do next; each class has a default.
    """

    default_title: ClassVar[str] = 'The store has a problem'
    default_advice: ClassVar[str] = 'See store.log in the data directory.'

    def __init__(self, where: str, *, title: str | None = None, advice: str | None = None) -> None:
        # Often a URL, and what is printed is read by others as well.
        self.where = where = mask_password(where)
        self.title = title or self.default_title
        self.advice = advice or self.default_advice
        super().__init__(where)

    def __str__(self) -> str:
        return f'{self.title}: {self.where}. {self.advice}'

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own pickling would call the class without the keyword arguments.
        return _rebuild, (type(self).__name__, self.title, self.where, self.advice)

    def to_json(self) -> str:
        """Return this error as one line of JSON, as `from_json` reads it."""
        return json.dumps(
            {'kind': type(self).__name__, 'title': self.title, 'where': self.where, 'advice': self.advice}
        )

    @staticmethod
    def from_json(text: str) -> StoreError:
        """Return the error that `to_json` wrote; of the base class if the kind is not known here.

        Args:
            text: JSON object with `title`, `where`, `advice` and optionally `kind`.

        Raises:
            ValueError: the text is not such an object.
        """
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError(f'not an error: {text!r}')
        return _rebuild(
            str(fields.get('kind', '')),
            str(fields.get('title', '')),
            str(fields.get('where', '')),
            str(fields.get('advice', '')),
        )


class BadAddress(StoreError, ValueError):
    """A URL that does not name a place."""

    default_title = 'This URL names no store'
    default_advice = 'Write leveldb:///absolute/path, or redis://, rediss:// or unix:// for a real Redis server.'


class NoHomeDirectory(StoreError):
    """The default place is under the user's home directory, and there is none."""

    default_title = 'This user has no home directory to keep the data in'
    default_advice = 'Name a place, as in RQ_LEVELDB_URL=leveldb:///var/lib/app/jobs, or set HOME.'


class BadCronFile(StoreError):
    """The definitions of --cron cannot be loaded."""

    default_title = 'The cron definitions cannot be used'
    default_advice = 'Correct the file, or name another one with --cron: a path or a module, as for rq cron.'


class UnwritableDirectory(StoreError):
    """The data directory cannot be made or written to."""

    default_title = 'The data directory cannot be written'
    default_advice = (
        'Give its owner write permission, mount its file system for writing, or name another directory in '
        'RQ_LEVELDB_URL.'
    )


class NotAStore(StoreError):
    """The directory holds other things and is not a store."""

    default_title = 'This directory is not empty and is not a store'
    default_advice = 'Name an empty or new directory.'


class ForeignOwner(StoreError):
    """The directory belongs to another user."""

    default_title = 'The data directory belongs to another user'
    default_advice = 'Jobs are code: use the store as its owner (sudo -u OWNER), or name a directory of your own.'


class UnsafePath(StoreError):
    """Another user can put something else where the data directory is."""

    default_title = 'Another user can put a store in this place'
    default_advice = 'Use a directory whose parents belong only to you or to root; chown and chmod may fix it.'


class CorruptDatabase(StoreError):
    """LevelDB cannot read its files, or what is in them contradicts itself."""

    default_title = 'The database is damaged'
    default_advice = 'rq-leveldb check says what is damaged; with --fix it saves what can be read, and keeps the rest.'


class NewerFormat(StoreError):
    """The database was written by a later version of rq-leveldb."""

    default_title = 'This database was written by a newer version of rq-leveldb'
    default_advice = 'Upgrade rq-leveldb here, or name another directory.'


class DiskFull(StoreError):
    """There is no room for another write."""

    default_title = 'The disk is full'
    default_advice = 'Free some space; writes then work again by themselves.'


class StoreInUse(StoreError):
    """Another process holds the data directory."""

    default_title = 'Another store is already running on this directory'
    default_advice = 'Connect to it, or stop it first (rq-leveldb status shows its pid).'


class StoreNotStarting(StoreError):
    """The store's process failed before it answered."""

    default_title = 'The store did not start'


class DurabilityMismatch(StoreError):
    """The running store is less durable than the URL asks for."""

    default_title = 'The running store does not use the fsync setting that this URL asks for'
    default_advice = 'Stop it (rq-leveldb status shows its pid) and let it start again, or change the URL.'


def _rebuild(kind: str, title: str, where: str, advice: str) -> StoreError:
    kinds = {known.__name__: known for known in StoreError.__subclasses__() if known.__module__ == __name__}
    return kinds.get(kind, StoreError)(where, title=title, advice=advice)

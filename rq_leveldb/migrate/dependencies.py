"""Whether a job that comes into the target waits there for others."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from rq_leveldb.migrate.value import Slice

__all__ = ['Dependent', 'ids_in']

_UNFINISHED = frozenset((b'queued', b'started', b'deferred', b'scheduled', b'rate_limited', b'ready_to_enqueue'))


def ids_in(parts: Iterable[Slice]) -> list[bytes]:
    """Return the members of a set of ids, in order."""
    return sorted(member for part in parts for member in part.items)


class Dependent:
    """A job and what it depends on.

    Args:
        fields: of its hash.
        registered: the ids under its `dependencies` key.
    """

    def __init__(self, fields: Mapping[bytes, bytes], registered: list[bytes]) -> None:
        self._is_deferred = fields.get(b'status') == b'deferred'
        self._met = {b'finished', b'failed'} if fields.get(b'allow_dependency_failures') == b'1' else {b'finished'}
        self.dependencies: list[bytes] = []
        """Ids of the jobs that it may have to wait for."""
        if self._is_deferred:
            self.dependencies = registered
        elif fields.get(b'status') == b'queued' and not registered:
            # RQ takes a dependency that it does not find for met: it may have been in the target by then.
            self.dependencies = _listed(fields)

    def waits(self, statuses: Mapping[bytes, bytes | None]) -> bool:
        """Say whether it waits for one of its dependencies in the target.

        A worker that was to enqueue it in the source, and came too late, does not do so any more: it is enqueued if
        RQ would have done that, which is when one of them has ended well, and no other is in the way.

        Args:
            statuses: of its dependencies in the target; None of one that is not there.
        """
        found = {statuses.get(other) for other in self.dependencies} - {None}
        if self._is_deferred:
            return not (found and found <= self._met)
        return bool(found & _UNFINISHED)


def _listed(fields: Mapping[bytes, bytes]) -> list[bytes]:
    try:
        found = json.loads(fields.get(b'dependency_ids') or b'[]')
    except ValueError:
        return []
    return sorted(str(one).encode() for one in found) if isinstance(found, list) else []

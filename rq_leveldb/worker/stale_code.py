"""Noticing that the application's files changed after they were imported for all jobs to come."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from .application_files import application_files

__all__ = ['StaleCode']

_INTERVAL = 5.0


class StaleCode:
    """Reports once that jobs run older code than is in the files; used in the process that forks.

    Args:
        changed: called once, with the paths of the files.
        interval: seconds between two looks at the files.
    """

    def __init__(self, changed: Callable[[list[str]], None], interval: float = _INTERVAL) -> None:
        self._changed = changed
        self._interval = interval
        self._known: dict[str, tuple[int, int]] = {}
        self._seen: set[str] = set()
        self._said = False
        self._next_look = 0.0
        self._remember()

    def look(self) -> None:
        """Compare the files with what they were when first seen, unless that was done a moment ago."""
        clock = time.monotonic()
        if self._said or clock < self._next_look:
            return
        self._next_look = clock + self._interval
        changed = [path for path, before in self._known.items() if _stamp(path) not in (before, None)]
        if changed:
            self._said = True
            self._changed(sorted(changed))
        else:
            self._remember()

    def _remember(self) -> None:
        unseen = sys.modules.keys() - self._seen
        self._seen |= unseen
        for path in application_files(unseen):
            if (stamp := _stamp(path)) is not None:
                self._known[path] = stamp


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        # Being replaced, or gone: there is nothing to compare with.
        return None
    return status.st_mtime_ns, status.st_size

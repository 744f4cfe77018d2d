"""A worker's log, in which every line begins with the worker's name, as RQ's lines do."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ['WorkerLog']


class WorkerLog(logging.LoggerAdapter):  # type: ignore[type-arg]
    """RQ's log for one worker.

    Args:
        log: RQ's.
        name: the worker's name.
    """

    def __init__(self, log: logging.Logger, name: str) -> None:
        super().__init__(log)
        self._name = name

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Write a line, by whichever of a log's methods; the caller's place is that of whoever called it."""
        self.logger.log(level, f'Worker %s: {msg}', self._name, *args, stacklevel=2, **kwargs)

"""Long runs that mostly wait, such as RQ's own suite, begin when the session does and go on beside the other tests.

A test module that has one defines ``begin_ahead()``, which returns what the run came to; a test of it takes the fixture
``ahead``. Such modules come last.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import ModuleType
from typing import Any

import psutil

BEGIN = 'begin_ahead'


class Ahead:
    """The runs that were begun, by module name.

    Args:
        mark: what the command lines of the runs' processes have in them; by this they are found when the session ends
            before they do.
    """

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._pool = ThreadPoolExecutor()
        self._runs: dict[str, Future[Any]] = {}

    def begin(self, module: ModuleType) -> Future[Any]:
        """Begin the run of a module if it was not begun yet; return what will have its result."""
        function: Callable[[], Any] = getattr(module, BEGIN)
        if module.__name__ not in self._runs:
            self._runs[module.__name__] = self._pool.submit(function)
        return self._runs[module.__name__]

    def stop(self) -> None:
        """End what still runs."""
        if not all(run.done() for run in self._runs.values()):
            for process in psutil.Process().children():
                try:
                    if any(self._mark in word for word in process.cmdline()):
                        for descendant in process.children(recursive=True):
                            descendant.kill()
                        process.kill()
                except psutil.NoSuchProcess:
                    continue
        self._pool.shutdown()

"""A process that notices at once when the application's code is edited, for a worker that loads it again (`--reload`).

It is a child of the process that forks, and a copy of it: so it knows which modules that has imported. It is a process
of its own since what watches files has a thread, and the process that forks must not have any.
"""

from __future__ import annotations

import _socket
import importlib.util
import os
import pickle
import posix
import signal
import socket
import time
from collections.abc import Callable

from rq_leveldb.process import die_with_parent

from . import signals
from .application_files import application_files

__all__ = ['CodeWatcher', 'require_watchfiles']

_MESSAGE = 65536
# As many as fit into a message, and more than anybody wants to read.
_MOST_PATHS = 100
_LOOK = 500


def require_watchfiles() -> None:
    """Check that code can be watched.

    Raises:
        ValueError: it cannot.
    """
    if importlib.util.find_spec('watchfiles') is None:
        raise ValueError("watchfiles, which notices edits, is missing: pip install 'rq-leveldb[reload]'")


class CodeWatcher:
    """The forker's side.

    Args:
        since: seconds since the epoch at which importing the application began: a file that was edited from then on
            has changed.
        leave: closes, in the watching process, what is the forker's alone.
    """

    def __init__(self, since: float, leave: Callable[[], None]) -> None:
        mine, its = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        self.pid = posix.fork()
        if self.pid == 0:
            code = 1
            try:
                signal.set_wakeup_fd(-1)
                signals.reset_in_child()
                die_with_parent(parent)
                mine.close()
                leave()
                _watch(its, parent, since)
                code = 0
            finally:
                os._exit(code)
        its.close()
        mine.setblocking(False)
        self._channel = mine

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when files have changed, or the process has ended."""
        return self._channel.fileno()

    def changed(self) -> tuple[list[str], str] | None:
        """Return which files have changed, and why no more changes will be noticed; None if the process has ended."""
        try:
            data = self._channel.recv(_MESSAGE)
        except BlockingIOError:
            return [], ''
        except OSError:
            return None
        if not data:
            return None
        paths, words = pickle.loads(data)
        return paths, words

    def close(self) -> None:
        """Close what the forker, or a process that was forked off it, has of this."""
        self._channel.close()

    def kill(self) -> None:
        """End the process, which has not been reaped."""
        os.kill(self.pid, signal.SIGKILL)


def _watch(channel: _socket.socket, parent: int, since: float) -> None:
    files = application_files()
    folders = {folder for path in files if os.path.isdir(folder := os.path.dirname(path))}
    try:
        # Only here, since it is large.
        from watchfiles import PythonFilter, watch

        noticing = watch(
            *folders, watch_filter=PythonFilter(), recursive=False, rust_timeout=_LOOK, yield_on_timeout=True
        )
        for number, changes in enumerate(noticing):
            paths = {path for _, path in changes}
            if number == 0:
                # What was edited before anything was watched.
                paths.update(path for path in files if since <= _edited_at(path) <= time.time())
            if paths:
                channel.send(pickle.dumps((sorted(paths)[:_MOST_PATHS], '')))
            if os.getppid() != parent:
                return
    except Exception as error:
        channel.send(pickle.dumps(([], f'{type(error).__name__}: {error}')))


def _edited_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0

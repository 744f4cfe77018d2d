"""The worker's children: has them forked, knows those that wait and those that run a job, and hears of their end.

It knows processes. What a child's end means for its job is for the supervisor to find out.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rq_leveldb.process import Identity, identify, is_alive

from .backoff import Backoff
from .child import Child
from .forker import Forker
from .output import Capture

if TYPE_CHECKING:
    from .loop import Loop
    from .worker import Worker

__all__ = ['Nursery']

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0


class Nursery:
    """All children of one worker.

    Args:
        worker: of which the children are copies.
        loop: where the forker and the children's output are watched.
        leave: closes, in the forker, what is the supervisor's alone.
        ended: called with a child, its wait status and the values of its resource usage when it was reaped.
        failed: called with the seconds for which no child should be ordered, since one could not be forked.
    """

    def __init__(
        self,
        worker: Worker,
        loop: Loop,
        leave: Callable[[], None],
        ended: Callable[[Child, int, tuple[Any, ...]], None],
        failed: Callable[[float], None],
    ) -> None:
        self._worker = worker
        self._loop = loop
        self._leave_supervisor = leave
        self._on_end = ended
        self._on_failure = failed
        self._children: dict[int, Child] = {}
        self._ordered: dict[int, tuple[socket.socket, Capture | None]] = {}
        self._tokens = itertools.count()
        self._forker: Forker | None = None
        self._forker_since = 0.0
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, worker.exponential_backoff_factor)
        self._closing = False

    @property
    def running(self) -> list[Child]:
        """The children that have a job."""
        return [child for child in self._children.values() if child.busy]

    def waiting(self) -> list[Child]:
        """Return the children that are there for a job."""
        return [child for child in self._children.values() if not child.busy and not child.retired]

    def order(self, wanted: int) -> None:
        """Have children forked, until so many wait for a job or are about to."""
        room = self._worker.settings.max_children - len(self._children) - len(self._ordered)
        for _ in range(min(wanted - len(self.waiting()) - len(self._ordered), room)):
            if not self._order_one():
                return

    def _order_one(self) -> bool:
        size = self._worker.settings.capture_output
        if self._forker is None:
            self._worker.get_redis_server_version()
            self._forker = Forker(self._worker, self._leave)
            self._forker_since = time.monotonic()
            self._loop.watch(self._forker.fileno(), self._forker_speaks)
        capture = Capture(size) if size else None
        token = next(self._tokens)
        channel = self._forker.fork(token, capture.write_end if capture is not None else None)
        if capture is not None:
            capture.forked()
        if channel is None:
            if capture is not None:
                capture.close()
            return False
        self._ordered[token] = (channel, capture)
        return True

    def retire_spare(self) -> None:
        """End the waiting children that are more than there may be."""
        excess = len(self._children) - self._worker.settings.max_children
        for child in self.waiting()[: max(0, excess)]:
            self._retire(child)

    def retire_waiting(self) -> None:
        """End all waiting children."""
        for child in self.waiting():
            self._retire(child)

    @staticmethod
    def _retire(child: Child) -> None:
        child.retired = True
        child.channel.shutdown(socket.SHUT_RDWR)

    def preload(self, module: str) -> None:
        """Have a module imported for the children to come; those that wait have not got it and end."""
        if self._forker is not None:
            self._forker.preload(module)
            self.retire_waiting()

    # What the forker says

    def _forker_speaks(self) -> None:
        assert self._forker is not None
        messages = self._forker.messages()
        if messages is None:
            self._forker_died()
            return
        for kind, *values in messages:
            if kind == 'forked':
                self._child_is_there(*values)
            elif kind == 'ended':
                self._child_ended(*values)
            else:
                self._no_child(*values)

    def _child_is_there(self, token: int, pid: int) -> None:
        channel, capture = self._ordered.pop(token)
        self._backoff.reset()
        try:
            identity = identify(pid)
        except ProcessLookupError:
            # It ended already; that message comes next.
            identity = Identity(pid, '', '')
        child = self._children[pid] = Child(identity, channel, capture=capture)
        if capture is not None:
            self._loop.watch(capture.read_end, lambda: self._drain(child))

    def _drain(self, child: Child) -> None:
        assert child.capture is not None
        if not child.capture.drain():
            self._loop.unwatch(child.capture.read_end)
            child.capture.close()

    def _no_child(self, token: int, words: str) -> None:
        self._give_up(token)
        self._forking_failed()

    def _give_up(self, token: int) -> None:
        """Close what was prepared for a child that will not be there."""
        channel, capture = self._ordered.pop(token)
        channel.close()
        if capture is not None:
            capture.close()

    def _forking_failed(self) -> None:
        """Wait longer each time: whatever it is (a hook that raises, no memory), it will not be better at once."""
        self._on_failure(self._backoff.next())

    def _child_ended(self, pid: int, status: int, values: tuple[Any, ...]) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            self._on_end(child, status, values)

    def _forker_died(self) -> None:
        """Somebody killed it: its children go with it, and there will be another."""
        worker = self._worker
        assert self._forker is not None
        self._loop.unwatch(self._forker.fileno())
        self._forker.close()
        self._forker = None
        if not self._closing:
            worker.log.warning('Worker %s: the process that forks was killed, and its children with it', worker.name)
        if time.monotonic() - self._forker_since < 1.0:
            self._forking_failed()
        for token in list(self._ordered):
            self._give_up(token)
        for child in list(self._children.values()):
            end = time.monotonic() + 1.0
            while is_alive(child.identity) and time.monotonic() < end:
                child.kill(signal.SIGKILL)
                time.sleep(0.002)
            self._child_ended(child.pid, int(signal.SIGKILL), (0,) * 16)

    def _leave(self) -> None:
        """Close in the forker what is the supervisor's."""
        self._leave_supervisor()
        for child in self._children.values():
            child.channel.close()
            if child.capture is not None and child.capture.read_end >= 0:
                os.close(child.capture.read_end)

    # The end

    def expect_the_end(self) -> None:
        """From now on it is no surprise when the forker goes."""
        self._closing = True

    def close(self) -> None:
        """End the forker, and with it whatever waits."""
        self.retire_waiting()
        if self._forker is None:
            return
        self._loop.unwatch(self._forker.fileno())
        for channel, _ in self._ordered.values():
            channel.close()
        for child in self._children.values():
            child.channel.close()
        self._forker.close()
        self._forker = None
        self._children.clear()
        self._ordered.clear()

"""Learning without a thread, and without blocking, that there is work or that somebody gives a command."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis import Redis
from redis.client import PubSub
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError
from rq.utils import as_text

from rq_leveldb.unreadable import is_wrong_type

from .line import Line
from .loop import Loop, Timer

__all__ = ['CommandWatch', 'QueueWatch']

# Each costs a descriptor here and one of the clients that the store accepts, which all workers and the application
# share. Few workers have more queues than this.
_MOST_LINES = 32
# Keys in one command, so that the store can serve others in between.
_BATCH = 1000
# Looking takes 1/600 of a core, including the store's part: an idle machine has the time, but a laptop's battery
# and a small machine's neighbours notice a constant load.
_SHARE = 600
_SHORTEST_INTERVAL = 0.1
# Seconds; a look that took long because the machine was busy must not make the next ones rare.
_LONGEST_INTERVAL = 5.0
_WRONG_TYPE_INTERVAL = 1.0


class QueueWatch:
    """Says when a queue is no longer empty, and takes nothing off it.

    `BLMOVE queue queue LEFT LEFT` waits for a first element and puts it back where it was, in one step. So there is
    no job in flight whenever this is given up, by whatever kind of death; the price is one more round trip for the
    first job after a pause. A BLPOP that is given up loses a job; a BLMOVE to another list has to be undone.

    It takes a connection for each queue, so only the first ones are watched in this way. The others are looked at
    from time to time, all at once, the more rarely the longer that takes.

    Args:
        connection: the store.
        loop: where to wait.
        ready: called when there may be work.
        lost: called when the store went away meanwhile.
        wrong_type: called once with the key of a queue that is no list, and with what it is.
    """

    def __init__(
        self,
        connection: Redis,
        loop: Loop,
        ready: Callable[[], None],
        lost: Callable[[Exception], None],
        wrong_type: Callable[[str, str], None],
    ) -> None:
        self._pool = connection.connection_pool
        self._loop = loop
        self._ready = ready
        self._lost = lost
        self._wrong_type = wrong_type
        self._keys: list[str] = []
        self._lines: dict[str, Line] = {}
        self._others = _Round(self._line(), loop, self._others_answered)
        self._types = self._line()
        self._suspects: set[str] = set()
        self._wrong: set[str] = set()
        self._recheck: Timer | None = None
        self._examined = 0.0

    def _line(self) -> Line:
        return Line(self._pool, self._loop, self._lost)

    @property
    def armed(self) -> bool:
        """Whether the queues were empty when last looked at, and are being watched."""
        return self._others.armed or any(line.waiting for line in self._lines.values())

    def arm(self, keys: list[str], timeout: int) -> None:
        """Begin to wait.

        Args:
            keys: the queues' keys, the most important first.
            timeout: seconds after which the store is asked anew.

        Raises:
            RedisError: the store cannot be reached.
        """
        if keys != self._keys:
            self._keys = list(keys)
            first = set(keys[:_MOST_LINES])
            for key in [key for key in self._lines if key not in first]:
                self._lines.pop(key).close()
            self._others.cancel()
        for key in keys[:_MOST_LINES]:
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = self._line()
            if not line.waiting and key not in self._wrong:
                line.ask([('BLMOVE', key, key, 'LEFT', 'LEFT', timeout)], partial(self._first, key))
        self._look_again_later()
        if not self._others.armed and (others := [key for key in keys[_MOST_LINES:] if key not in self._wrong]):
            self._others.arm(others)

    def _first(self, key: str, replies: list[Any]) -> None:
        (reply,) = replies
        if isinstance(reply, RedisError):
            if not is_wrong_type(reply):
                self._lost(reply)
                return
            self._examine([key])
        else:
            self._ready()

    def _others_answered(self, found: bool, again: bool) -> None:
        if not found:
            return
        if again and time.monotonic() - self._examined >= _WRONG_TYPE_INTERVAL:
            # The key exists but yields no job: EXISTS does not tell its type.
            self._examine(self._keys[_MOST_LINES:])
        self._ready()

    # Queues that are no lists

    def _examine(self, keys: Sequence[str]) -> None:
        self._suspects.update(keys)
        if self._types.waiting:
            return
        asked = sorted(self._suspects)
        self._suspects.clear()
        self._examined = time.monotonic()
        try:
            self._types.ask([('TYPE', key) for key in asked], partial(self._examined_types, asked))
        except RedisError as error:
            self._lost(error)

    def _examined_types(self, keys: list[str], replies: list[Any]) -> None:
        news = False
        for key, reply in zip(keys, replies, strict=True):
            kind = str(reply) if isinstance(reply, RedisError) else as_text(reply)
            if kind in ('list', 'none'):
                self._wrong.discard(key)
                news = True
            elif key not in self._wrong:
                self._wrong.add(key)
                self._wrong_type(key, kind)
                news = True
        self._look_again_later()
        if news:
            self._others.cancel()
            self._ready()

    def _look_again_later(self) -> None:
        if self._wrong and self._recheck is None:
            self._recheck = self._loop.after(_WRONG_TYPE_INTERVAL, self._look_at_the_wrong)

    def _look_at_the_wrong(self) -> None:
        self._recheck = None
        self._examine(list(self._wrong))

    def abandon(self) -> None:
        """Close the sockets in a forked child; the parent keeps them."""
        for line in (*self._lines.values(), self._others.line, self._types):
            line.abandon()

    def close(self) -> None:
        """Give up waiting. No job is in flight, so there is nothing to put back."""
        for line in self._lines.values():
            line.close()
        self._lines.clear()
        self._others.close()
        self._types.close()
        if self._recheck is not None:
            self._recheck.cancel()
            self._recheck = None
        self._suspects.clear()


class _Round:
    """Asks from time to time whether any of many keys exists.

    Args:
        line: over which it asks.
        loop: where it waits.
        answered: called with whether there is any, and whether there was one at the time before.
    """

    def __init__(self, line: Line, loop: Loop, answered: Callable[[bool, bool], None]) -> None:
        self.line = line
        self._loop = loop
        self._answered = answered
        self._keys: list[str] = []
        self._question = b''
        self._cost = _SHORTEST_INTERVAL / _SHARE
        self._timer: Timer | None = None
        self._found = False

    @property
    def armed(self) -> bool:
        """Whether it asks, or will."""
        return self._timer is not None or self.line.waiting

    def arm(self, keys: list[str]) -> None:
        """Ask about these keys, the first time after one interval, until there is one."""
        if keys != self._keys:
            self._keys, self._question = keys, b''
        interval = max(_SHORTEST_INTERVAL, min(_LONGEST_INTERVAL, self._cost * _SHARE))
        self._timer = self._loop.after(interval, self._ask)

    def _ask(self) -> None:
        self._timer = None
        batches = [self._keys[start : start + _BATCH] for start in range(0, len(self._keys), _BATCH)]
        try:
            if not self._question:
                # Packing a thousand keys takes longer than the store needs to look for them.
                self._question = self.line.pack([('EXISTS', *batch) for batch in batches])
            begun = time.perf_counter()
            self.line.send(self._question, len(batches), partial(self._heard, begun))
        except RedisError as error:
            self.line.lost(error)

    def _heard(self, begun: float, replies: list[Any]) -> None:
        # At most twice the last cost: something else may have used the processor meanwhile.
        self._cost = min(time.perf_counter() - begun, 2 * self._cost)
        found = any(not isinstance(reply, int) or reply for reply in replies)
        again, self._found = self._found, found
        if not found:
            self.arm(self._keys)
        self._answered(found, again)

    def cancel(self) -> None:
        """Stop asking until armed again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.line.waiting:
            self.line.close()

    def close(self) -> None:
        """Ask no more, and hang up."""
        self.cancel()
        self.line.close()


class CommandWatch:
    """Receives what is published for this worker.

    Args:
        connection: the store.
        loop: where to wait.
        channel: the worker's channel.
        handle: called with each message.
        lost: called when the connection broke; it is made again after a pause.
        failed: called with what the handling of a message raised, whatever that was; the next message is handled.
    """

    _PAUSE = 0.5

    def __init__(
        self,
        connection: Redis,
        loop: Loop,
        channel: str,
        handle: Callable[[dict[str, Any]], None],
        lost: Callable[[Exception], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._loop = loop
        self._channel = channel
        self._handle = handle
        self._lost = lost
        self._failed = failed
        self._descriptor = -1
        self.pubsub: PubSub | None = None
        self._closed = False

    def open(self) -> None:
        """Subscribe.

        Raises:
            RedisError: the store cannot be reached.
        """
        self.pubsub = self._connection.pubsub()
        self.pubsub.subscribe(**{self._channel: self._handle_safely})
        self._descriptor = self.pubsub.connection._sock.fileno()  # type: ignore[union-attr]
        self._loop.watch(self._descriptor, self._readable)

    def _handle_safely(self, message: dict[str, Any]) -> None:
        # Anybody may publish anything, and the handler may be the application's.
        try:
            self._handle(message)
        except BaseException as error:
            self._failed(error)

    def _readable(self) -> None:
        pubsub = self.pubsub
        assert pubsub is not None
        try:
            # One read from the socket may bring several messages, and the later ones wake nobody.
            while True:
                pubsub.get_message(timeout=0)
                if pubsub is not self.pubsub or not self._more(pubsub):
                    return
        except (RedisError, OSError) as error:
            self._forget()
            self._lost(error if isinstance(error, RedisError) else LostConnection(str(error)))
            self._loop.after(self._PAUSE, self._reopen)

    @staticmethod
    def _more(pubsub: PubSub) -> bool:
        connection: Any = pubsub.connection
        return connection is not None and bool(connection.can_read(timeout=0))

    def _reopen(self) -> None:
        if self._closed:
            return
        try:
            self.open()
        except (RedisError, OSError):
            self._forget()
            self._loop.after(self._PAUSE, self._reopen)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            with contextlib.suppress(KeyError, ValueError):
                self._loop.unwatch(self._descriptor)
            self._descriptor = -1
        if self.pubsub is not None:
            with contextlib.suppress(RedisError, OSError):
                self.pubsub.close()
            self.pubsub = None

    def close(self) -> None:
        """Unsubscribe."""
        self._closed = True
        self._forget()

    def abandon(self) -> None:
        """Close the socket in a forked child; the parent keeps it."""
        connection: Any = self.pubsub.connection if self.pubsub is not None else None
        if connection is not None and connection._sock is not None:
            connection._sock.close()

"""One transaction for requests that arrive together: a round trip to the store costs more than a job in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from redis.client import Pipeline

__all__ = ['Combiner']


class _Turn:
    """What one thread wants to write."""

    def __init__(self, commands: list[Any]) -> None:
        self.commands = commands
        # Held until the turn is written or its thread is to write: a plain lock, since an Event costs three times that.
        self.pause = threading.Lock()
        self.pause.acquire()
        self.is_done = False
        self.error: BaseException | None = None


class Combiner:
    """Combines writes that many threads make at the same time.

    The first thread writes at once. Those that arrive in the meantime wait, and one of them then writes for all. With
    a single client nothing waits. All writes of a round are one transaction; each gets its own errors.

    Args:
        connection: to the store.
        most: most writes of one round.
    """

    def __init__(self, connection: Redis, most: int = 32) -> None:
        self._connection = connection
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Turn] = []
        self._is_busy = False

    def write(self, write: Callable[[Pipeline], object]) -> None:
        """Write, and return when it is written.

        Args:
            write: adds commands to a transaction; called once, at once, whatever other threads wait for meanwhile.

        Raises:
            RedisError: the store refused one of its commands, or did not answer.
            Exception: whatever `write` raises; nothing was written then.
        """
        pipe = self._open()
        write(pipe)
        if not pipe.command_stack:
            return
        turn = _Turn(pipe.command_stack)
        with self._lock:
            self._waiting.append(turn)
            leads = not self._is_busy
            self._is_busy = True
        if not leads:
            turn.pause.acquire()
        if not turn.is_done:
            self._lead()
        if turn.error is not None:
            raise turn.error

    def _lead(self) -> None:
        """Write for all that wait, the calling thread among them, and let one of the next go on."""
        with self._lock:
            turns, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        try:
            self._run(turns)
        except BaseException as error:
            # Also where this thread is told to end: the others must not take it for written.
            for turn in turns:
                turn.error = turn.error or error
            raise
        finally:
            with self._lock:
                successor = self._waiting[0] if self._waiting else None
                self._is_busy = successor is not None
            for turn in turns:
                turn.is_done = True
                turn.pause.release()
            if successor is not None:
                successor.pause.release()

    def _open(self) -> Pipeline:
        pipe = self._connection.pipeline()
        # RQ reads before it writes where it is given a pipeline that is not in a transaction yet.
        pipe.multi()
        return pipe

    def _run(self, turns: Sequence[_Turn]) -> None:
        pipe = self._open()
        for turn in turns:
            pipe.command_stack.extend(turn.commands)
        try:
            replies: list[Any] = pipe.execute(raise_on_error=False)
        except Exception as error:
            for turn in turns:
                turn.error = error
            return
        begin = 0
        for turn in turns:
            end = begin + len(turn.commands)
            turn.error = next((reply for reply in replies[begin:end] if isinstance(reply, Exception)), None)
            begin = end

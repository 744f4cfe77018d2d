"""A process that does nothing but fork: the parent of all children, a child of the supervisor.

A fork makes every page of the forking process copy-on-write, and the supervisor writes to 750 of them for each job
(measured: 1.5 to 4 us each, more than the job's bookkeeping). Here the forking process touches 100 between two forks,
and the supervisor none that are shared. It also has no connections, no threads and nothing of the jobs.

Supervisor and forker speak over a pair of sockets, one pickled tuple a message:

===============================  ==========================================================================
supervisor to forker
``('fork', token, captures)``    with the child's end of its channel, and where its output goes if captured
``('import', module)``           import it, so that the children need not
forker to supervisor
``('forked', token, pid)``       it waits on its channel
``('failed', token, words)``     it could not be forked
``('ended', pid, status, use)``  it was reaped; what wait4(2) said
===============================  ==========================================================================

The kernel kills the forker when the supervisor ends, and the children when the forker ends: prctl(2).
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rq_leveldb.process import die_with_parent

from . import child as child_process
from .stale_code import StaleCode

if TYPE_CHECKING:
    from .worker import Worker

__all__ = ['Forker']

_MESSAGE = 65536
_PATIENCE = 5.0


class Forker:
    """The supervisor's side.

    Args:
        worker: of which the children will be copies, as it is when the forker is started.
        leave: closes, in the forker, what is the supervisor's alone.
    """

    def __init__(self, worker: Worker, leave: Callable[[], None]) -> None:
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        _flush()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(worker, its, parent, leave, mine)
        its.close()
        mine.setblocking(False)
        self._control = mine

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is a message, or when the forker has died."""
        return self._control.fileno()

    def fork(self, token: int, output: int | None) -> socket.socket | None:
        """Ask for a child.

        Args:
            token: by which the answer is known.
            output: where the child's output goes; None to leave it.

        Returns:
            The parent's end of the child's channel; None if the forker has died.
        """
        mine, its = socket.socketpair()
        descriptors = [its.fileno()] if output is None else [its.fileno(), output]
        message = pickle.dumps(('fork', token, output is not None))
        try:
            socket.send_fds(self._control, [message], descriptors)
        except OSError:
            mine.close()
            return None
        finally:
            its.close()
        return mine

    def preload(self, module: str) -> None:
        """Have a module imported before the next fork."""
        with contextlib.suppress(OSError):
            self._control.send(pickle.dumps(('import', module)))

    def messages(self) -> list[tuple[Any, ...]] | None:
        """Return what the forker has said; None when it has died."""
        found: list[tuple[Any, ...]] = []
        while True:
            try:
                message = self._control.recv(_MESSAGE)
            except BlockingIOError:
                return found
            except OSError:
                message = b''
            if not message:
                return found or None
            found.append(pickle.loads(message))

    def abandon(self) -> None:
        """Close its socket in another process."""
        self._control.close()

    def close(self) -> None:
        """Let the forker end, once its children have, and reap it."""
        self._control.close()
        end = time.monotonic() + _PATIENCE
        pause = 0.0005
        while True:
            try:
                pid, _ = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                return
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(pause)
            pause = min(pause * 2, 0.02)


def usage_from(values: tuple[Any, ...]) -> resource.struct_rusage:
    """Return the resource usage that was sent."""
    return resource.struct_rusage(values)


def _flush() -> None:
    # What stands in a buffer now would be written by every child again.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _serve(
    worker: Worker, control: socket.socket, parent: int, leave: Callable[[], None], theirs: socket.socket
) -> None:
    """Be the forker; never returns."""
    code = 1
    try:
        die_with_parent(parent)
        # Out of the terminal's process group: the supervisor decides when this ends.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        theirs.close()
        leave()
        worker.prepare_to_fork()
        _Server(worker, control).run()
        code = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            worker.log.exception('Worker %s: the process that forks failed', worker.name)
    finally:
        os._exit(code)


class _Server:
    def __init__(self, worker: Worker, control: socket.socket) -> None:
        self._worker = worker
        self._control = control
        self._pid = os.getpid()
        self._hooks = worker.settings.before_fork
        self._code = StaleCode(self._code_changed)
        self._warm = False
        self._wakeup, self._waker = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)

    def run(self) -> None:
        # Collecting would write to pages of the whole heap, and there is nothing to collect.
        gc.disable()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup, 512)
                    self._reap()
                elif not self._receive():
                    self._wait_for_the_last()
                    return

    def _receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 2)
        except ConnectionResetError:
            # The supervisor closed its end and had not read everything.
            return False
        if not data:
            return False
        message = pickle.loads(data)
        if message[0] == 'fork':
            self._fork(message[1], descriptors)
        else:
            self._worker.preload(message[1])
        return True

    def _fork(self, token: int, descriptors: list[int]) -> None:
        try:
            self._code.look()
            for hook in self._hooks:
                hook()
            _flush()
            pid = os.fork()
        except Exception as error:
            self._worker.log.exception('Worker %s: no child could be forked', self._worker.name)
            self._send(('failed', token, str(error)))
            for descriptor in descriptors:
                os.close(descriptor)
            return
        if pid == 0:
            gc.enable()
            channel = socket.socket(fileno=descriptors[0])
            child_process.run(self._worker, channel, self._pid, self._leave, *descriptors[1:])
        for descriptor in descriptors:
            os.close(descriptor)
        self._send(('forked', token, pid))
        if not self._warm:
            self._warm = True
            self._worker.after_first_fork()

    def _code_changed(self, paths: list[str]) -> None:
        more = f' and {len(paths) - 1} more file(s)' if len(paths) > 1 else ''
        self._worker.log.warning(
            'Worker %s: %s%s changed after it was imported for the jobs: they run what it was; restart the worker',
            self._worker.name,
            paths[0],
            more,
        )

    def _leave(self) -> None:
        self._control.close()
        os.close(self._wakeup)
        os.close(self._waker)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._send(('ended', pid, status, tuple(usage)))

    def _send(self, message: tuple[Any, ...]) -> None:
        # The supervisor may have gone: then this process is about to be killed.
        with contextlib.suppress(OSError):
            self._control.send(pickle.dumps(message))

    @staticmethod
    def _wait_for_the_last() -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)


def _ignore(number: int, frame: object) -> None:
    """Have a handler, so that the signal wakes the poll."""

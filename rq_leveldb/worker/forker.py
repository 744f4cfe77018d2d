"""A process that does nothing but fork: the parent of all children, a child of the supervisor.

A fork makes every page of the forking process copy-on-write, and the supervisor writes to 750 of them for each job
(measured: 1.5 to 4 us each, more than the job's bookkeeping). Here the forking process touches 100 between two forks,
and the supervisor none that are shared. It also has no connections, no threads and nothing of the jobs.

Supervisor and forker speak over a pair of sockets, one pickled tuple a message:

===============================  ==========================================================================
supervisor to forker
``('fork', token, captures)``    with the child's end of its channel, its mailbox, and where its output goes if captured
``('import', module)``           import it, so that the children need not
forker to supervisor
``('ready', name, words)``       it can fork, or cannot: this module or function could not be imported
``('imported', module, words)``  what became of an `import`; no words if it was imported
``('forked', token, pid)``       it waits on its channel
``('failed', token, words)``     it could not be forked
``('ended', pid, status, use)``  it was reaped; what wait4(2) said
``('changed', paths)``           these files of the application were edited, if code is to be loaded again
===============================  ==========================================================================

The application is imported here and not in the supervisor: whatever its import does (threads, patches, signal handlers,
an exit) stays out of the supervisor, and a thread that holds a lock at a fork is one of this process.

The kernel kills the forker when the supervisor ends, and the children when the forker ends: prctl(2). A forker that
finds its socket shut has nothing more to fork: it reports how its last children end, and ends too.
"""

from __future__ import annotations

import _socket
import _thread
import contextlib
import gc
import importlib
import os
import pickle
import posix
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from rq_leveldb.client.keeper import KEEPER_THREAD
from rq_leveldb.failed_import import describe
from rq_leveldb.process import die_with_parent

from . import signals
from .code_watcher import CodeWatcher
from .green import original, renew_loops
from .settings import NamedHook
from .site import Site
from .stale_code import StaleCode
from .template import Template

__all__ = ['Forker']

_MESSAGE = 65536
_PATIENCE = 5.0

# Not os.fork and its like, nor socket.socket: gevent and eventlet replace them (see `green`).
_fork, _waitpid, _wait4 = posix.fork, posix.waitpid, posix.wait4


class Forker:
    """The supervisor's side.

    Args:
        site: what the worker's parts share.
        template: of which the children will be copies, as it is when the forker is started.
        leave: closes, in the forker, what is the supervisor's alone.

    Attributes:
        pid: its process id.
        since: when it was started, by the monotonic clock.
        ready: whether it has imported what it was told to, and can fork.
        failure: why it cannot, in words.
    """

    def __init__(self, site: Site, template: Template, leave: Callable[[], None]) -> None:
        # OSError without descriptors or memory: the caller waits and tries again.
        mine, its = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        _flush()
        try:
            self.pid = _fork()
        except OSError:
            mine.close()
            its.close()
            raise
        if self.pid == 0:
            _serve(site, template, its, parent, leave, mine)
        its.close()
        mine.setblocking(False)
        self._control = mine
        self.since = time.monotonic()
        self.ready = False
        self.failure = ''

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when there is a message, or when the forker has died."""
        return self._control.fileno()

    def fork(self, token: int, mailbox: int, output: int | None) -> _socket.socket | None:
        """Ask for a child.

        Args:
            token: by which the answer is known.
            mailbox: where it is to say how its job ended.
            output: where the child's output goes; None to leave it.

        Returns:
            The parent's end of the child's channel; None if the forker has died, or was stopped and takes no more.

        Raises:
            OSError: there are no descriptors left.
        """
        mine, its = _socket.socketpair()
        descriptors = [its.fileno(), mailbox, *([] if output is None else [output])]
        message = pickle.dumps(('fork', token, output is not None))
        try:
            socket.send_fds(self._control, [message], descriptors)  # type: ignore[arg-type]
        except OSError:
            mine.close()
            return None
        finally:
            its.close()
        return mine

    def kill(self) -> None:
        """Kill it, and with it its children; also where it was stopped."""
        with contextlib.suppress(OSError):
            os.kill(self.pid, signal.SIGKILL)

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
            except ConnectionResetError:
                # It ended with unread data. This error comes first and once; its last messages follow.
                continue
            except OSError:
                message = b''
            if not message:
                return found or None
            found.append(pickle.loads(message))

    def let_go(self) -> None:
        """Let the forker end once its children have; until then it reports how they do."""
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def abandon(self) -> None:
        """Close what this process has of it, in another forker."""
        self._control.close()

    def close(self) -> int | None:
        """Let the forker end, once its children have, and reap it.

        Returns:
            Its wait status; None if somebody else has reaped it.
        """
        self._control.close()
        return _wait(self.pid)


def _wait(pid: int) -> int | None:
    """Return a child's wait status when it has ended, which it does when it takes too long; None if it was reaped."""
    end = time.monotonic() + _PATIENCE
    pause = 0.0005
    while True:
        try:
            ended, status = _waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended:
            return status
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def _flush() -> None:
    # Otherwise every child would write the buffered text again.
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _serve(
    site: Site,
    template: Template,
    control: _socket.socket,
    parent: int,
    leave: Callable[[], None],
    theirs: _socket.socket,
) -> None:
    """Run as the forker; never returns."""
    code = 1
    try:
        die_with_parent(parent)
        # Outside the terminal's process group: the supervisor decides when this process ends.
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        # The worker's parent may have blocked signals such as SIGCHLD, and a signal mask survives fork and exec.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        theirs.close()
        leave()
        renew_loops()
        server = _ForkServer(site, template, control, parent)
        if server.prepare():
            server.run()
        code = 0
    except BaseException:
        with contextlib.suppress(BaseException):
            site.log.exception('the process that forks failed')
    finally:
        os._exit(code)


class _ForkServer:
    def __init__(self, site: Site, template: Template, control: _socket.socket, supervisor: int) -> None:
        self._site = site
        self._template = template
        self._control = control
        self._supervisor = supervisor
        self._pid = os.getpid()
        self._hooks = site.settings.before_fork
        self._code = StaleCode(self._code_changed)
        self._watcher: CodeWatcher | None = None
        self._began = time.time()
        self._warm = False
        self._threads_told = False
        self._wakeup, self._waker = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(self._waker, False)
        self._poll = original('select', 'poll')()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)

    def prepare(self) -> bool:
        """Import the application, and say whether that went well."""
        site = self._site
        settings = site.settings
        name = ''
        try:
            for name in settings.imports:
                importlib.import_module(name)
            for hook in (*settings.before_first_fork, *settings.before_fork, *settings.after_fork):
                if isinstance(hook, NamedHook):
                    name = hook.name
                    hook.resolve()
            name = ''
            self._template.prepare()
        except BaseException as error:
            if not name:
                site.log.exception('the process that forks failed')
            self._send(('ready', name, describe(name, error)))
            return False
        # After the imports, which may have set handlers of their own.
        signals.handle_in_forker(self._supervisor, self._waker)
        if settings.reload:
            self._watch_code()
        self._send(('ready', '', ''))
        return True

    def _watch_code(self) -> None:
        """Have edits of what is imported by now noticed."""
        self._stop_watching_code()
        self._watcher = CodeWatcher(self._began, self._leave)
        self._poll.register(self._watcher, select.POLLIN)

    def _stop_watching_code(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._forget_watcher()

    def _forget_watcher(self) -> None:
        if self._watcher is not None:
            self._poll.unregister(self._watcher)
            self._watcher.close()
            self._watcher = None

    def _hear_watcher(self) -> None:
        # It may have been replaced since the poll.
        said = self._watcher.changed() if self._watcher is not None else None
        if said is None:
            self._forget_watcher()
            return
        paths, words = said
        if paths:
            self._send(('changed', paths))
        if words:
            self._site.log.error('edits of the code are not noticed: %s; restart the worker after them', words)

    def run(self) -> None:
        # A collection would write to pages all over the heap, and there is nothing to collect.
        gc.disable()
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wakeup:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wakeup, 512)
                    self._reap()
                elif descriptor != self._control.fileno():
                    self._hear_watcher()
                elif not self._receive():
                    self._wait_for_the_last()
                    return

    def _receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE, 3)  # type: ignore[arg-type]
        except ConnectionResetError:
            # The supervisor closed its end without reading everything.
            return False
        if not data:
            return False
        message = pickle.loads(data)
        if message[0] == 'fork':
            self._fork(message[1], descriptors)
        else:
            self._send(('imported', message[1], self._preload(message[1])))
            if self._watcher is not None:
                self._watch_code()
        return True

    def _preload(self, module: str) -> str:
        """Import a module if that does not end the process: a copy tries first. Else all children would end with it."""
        pid = _fork()
        if pid == 0:
            code = 1
            try:
                importlib.import_module(module)
                code = 0
            except BaseException as error:
                code = 0 if isinstance(error, Exception) else 1
            finally:
                os._exit(code)
        if _wait(pid) == 0:
            return self._template.preload(module)
        words = f'{module}: importing it ended the process or took more than {_PATIENCE:g} seconds'
        self._site.log.error('%s; jobs will import it themselves', words)
        return words

    def _fork(self, token: int, descriptors: list[int]) -> None:
        try:
            if self._watcher is None:
                self._code.look()
            for hook in self._hooks:
                hook()
            _flush()
            self._tell_of_threads()
            pid = _fork()
        except BaseException as error:
            self._site.log.exception('no child could be forked')
            self._send(('failed', token, str(error)))
            for descriptor in descriptors:
                os.close(descriptor)
            return
        if pid == 0:
            gc.enable()
            channel = _socket.socket(fileno=descriptors[0])
            output = descriptors[2] if len(descriptors) > 2 else None
            self._template.run_child(channel, descriptors[1], self._pid, self._leave, output)
        for descriptor in descriptors:
            os.close(descriptor)
        self._send(('forked', token, pid))
        if not self._warm:
            self._warm = True
            self._template.warm_up()

    def _tell_of_threads(self) -> None:
        """Log, once, which threads a fork leaves behind with the locks that they hold."""
        # The C function, since this runs at every fork and `threading` would copy pages.
        if self._threads_told or not _thread._count():
            return
        # A keeper, of unix_url() in the application's settings, runs in jobs as well.
        names = {thread.name for thread in threading.enumerate()} - {threading.current_thread().name, KEEPER_THREAD}
        if not names:
            return
        self._threads_told = True
        self._site.log.warning(
            'threads were started before the first job (%s); they do not run in jobs, and a lock that '
            'one of them holds is never released there',
            ', '.join(sorted(names)),
        )

    def _code_changed(self, paths: list[str]) -> None:
        more = f' and {len(paths) - 1} more file(s)' if len(paths) > 1 else ''
        self._site.log.warning(
            '%s%s changed after the worker imported it; jobs run the old code until the worker is restarted',
            paths[0],
            more,
        )

    def _leave(self) -> None:
        self._control.close()
        os.close(self._wakeup)
        os.close(self._waker)
        if self._watcher is not None:
            self._watcher.close()

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = _wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._report(pid, status, usage)

    def _report(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        if self._watcher is not None and pid == self._watcher.pid:
            self._forget_watcher()
        self._send(('ended', pid, status, tuple(usage)))

    def _send(self, message: tuple[Any, ...]) -> None:
        # The supervisor may be gone; then this process is about to be killed.
        with contextlib.suppress(OSError):
            self._control.send(pickle.dumps(message))

    def _wait_for_the_last(self) -> None:
        self._stop_watching_code()
        with contextlib.suppress(ChildProcessError):
            while True:
                self._report(*_wait4(-1, 0))

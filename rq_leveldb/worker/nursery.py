"""The worker's children: has them forked, knows those that wait and those that run a job, and hears of their end.

It knows processes. What a child's end means for its job is for the supervisor to find out.

There is one process that forks. While code is loaded again there are two: the new one, which imports it, and the former
one, which comes back if that fails. Where it succeeds, the former one is let go: it forks no more, and ends with its
last child.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import itertools
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rq_leveldb.process import Identity, identify

from .application_files import application_files
from .assignment import Done
from .backoff import Backoff
from .child import Child
from .forker import Forker
from .leftovers import wait_until_gone
from .loop import Loop
from .mailbox import Mailbox
from .output import Capture
from .site import Site
from .template import Template

__all__ = ['ImportFailed', 'Nursery']

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 60.0
_PATIENCE = 1.0


class ImportFailed(Exception):
    """A module or function that was to be imported before forking cannot be.

    Args:
        name: which one.
        words: which one and why.
    """

    def __init__(self, name: str, words: str) -> None:
        self.name = name
        super().__init__(words)


@dataclass
class _Ordered:
    """A child that a forker was asked for, and what was prepared for it."""

    forker: Forker
    channel: _socket.socket
    mailbox: Mailbox
    capture: Capture | None


class Nursery:
    """All children of one worker.

    Args:
        site: what the worker's parts share.
        template: of which the children are copies.
        loop: where the forker and the children's output are watched.
        leave: closes, in the forker, what is the supervisor's alone.
        done: called with a child whose job is over and that may run another, and with what it says.
        ended: called with a child, its wait status and the values of its resource usage when it was reaped.
        failed: called with the seconds for which no child should be ordered, since one could not be forked.
        useless: called when no forker will ever work.
    """

    def __init__(
        self,
        site: Site,
        template: Template,
        loop: Loop,
        leave: Callable[[], None],
        done: Callable[[Child, Done], None],
        ended: Callable[[Child, int, tuple[Any, ...]], None],
        failed: Callable[[float], None],
        useless: Callable[[ImportFailed], None],
    ) -> None:
        self._site = site
        self._template = template
        self._loop = loop
        self._leave_supervisor = leave
        self._on_done = done
        self._on_end = ended
        self._on_failure = failed
        self._on_useless = useless
        self._children: dict[int, Child] = {}
        self._ordered: dict[int, _Ordered] = {}
        self._tokens = itertools.count()
        self._forker: Forker | None = None
        self._former: Forker | None = None
        self._let_go: list[Forker] = []
        self.is_ready = False
        """Whether a forker has imported what it was told to import; its hooks may still fail."""
        self._imported: set[str] = set()
        self._importing: str | None = None
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, site.exponential_backoff_factor)
        self._closing = False

    @property
    def running(self) -> list[Child]:
        """The children that run a job."""
        return [child for child in self._children.values() if child.runs_job]

    @property
    def busy(self) -> list[Child]:
        """The children that have something to do: a job, or the end of another's job."""
        return [child for child in self._children.values() if child.busy]

    @property
    def forker_pids(self) -> set[int]:
        """The processes that fork, or did."""
        return {forker.pid for forker in self._forkers()}

    def _forkers(self) -> list[Forker]:
        return [forker for forker in (self._forker, self._former, *self._let_go) if forker is not None]

    def waiting(self) -> list[Child]:
        """Return the children that are there for a job."""
        return [child for child in self._children.values() if not child.busy and not child.retired]

    def order(self, wanted: int, beyond: int = 0) -> None:
        """Have children forked, until so many wait for a job or are about to.

        Args:
            wanted: how many.
            beyond: how many more than the setting there may be, for ends that have to be handled.
        """
        room = self._site.settings.max_children + beyond - len(self._children) - len(self._ordered)
        for _ in range(min(wanted - len(self.waiting()) - len(self._ordered), room)):
            if not self._order_one():
                return

    def _order_one(self) -> bool:
        try:
            if self._forker is None:
                self._forker = self._start_forker()
            return self._order_from(self._forker)
        except OSError as error:
            # No descriptors, no memory, no more processes.
            self._site.log.error('no child can be forked now: %s', error)
            self._forking_failed()
            return False

    def _start_forker(self) -> Forker:
        self._template.ask_store()
        # The collector of this process would write to all that the forker and the children share with it.
        gc.freeze()
        forker = Forker(self._site, self._template, self._leave)
        self._loop.watch(forker.fileno(), partial(self._forker_speaks, forker))
        return forker

    def _order_from(self, forker: Forker) -> bool:
        size = self._site.settings.capture_output
        mailbox = Mailbox()
        try:
            capture = Capture(size) if size else None
        except OSError:
            mailbox.close()
            raise
        token = next(self._tokens)
        channel = None
        try:
            channel = forker.fork(token, mailbox.descriptor, capture.write_end if capture is not None else None)
        finally:
            if capture is not None:
                capture.forked()
            if channel is None:
                mailbox.close()
                if capture is not None:
                    capture.close()
        if channel is None:
            return False
        self._ordered[token] = _Ordered(forker, channel, mailbox, capture)
        return True

    def retire_spare(self) -> None:
        """End the waiting children that are more than there may be."""
        excess = len(self._children) - self._site.settings.max_children
        for child in self.waiting()[: max(0, excess)]:
            self._retire(child)

    def retire_waiting(self) -> None:
        """End all waiting children."""
        for child in self.waiting():
            self._retire(child)

    def keep_or_retire(self, child: Child) -> None:
        """End a child whose job is over if it must not run another, or if there are more than there may be."""
        if child.retired:
            self._retire(child)
        else:
            self.retire_spare()

    @staticmethod
    def _retire(child: Child) -> None:
        child.retired = True
        # OSError: it has ended.
        with contextlib.suppress(OSError):
            child.channel.shutdown(socket.SHUT_RDWR)

    def preload(self, module: str) -> None:
        """Have a module imported for future children, once; the waiting ones lack it and are ended."""
        if module in self._imported or self._forker is None or self._importing is not None:
            return
        self._imported.add(module)
        self._importing = module
        self._forker.preload(module)
        self.retire_waiting()

    # When the application's code is edited

    def _load_again(self, paths: list[str]) -> None:
        """Have the application imported anew, by a new forker; jobs wait for that, and running ones go on."""
        if self._closing:
            return
        site = self._site
        more = f' and {len(paths) - 1} more file(s)' if len(paths) > 1 else ''
        site.log.info('%s%s was edited; loading the application again', paths[0], more)
        own = sorted(application_files() & set(paths))
        if own:
            site.log.warning(
                'the worker itself has imported %s, for its classes, exception handlers or settings; jobs '
                'run the old code of it until the worker is restarted',
                own[0],
            )
        try:
            forker = self._start_forker()
        except OSError as error:
            site.log.error('the application cannot be loaded now: %s', error)
            return
        if self._former is None:
            self._former = self._forker
        elif self._forker is not None:
            # It was still importing what has changed meanwhile.
            self._let_go.append(self._forker)
            self._forker.kill()
        self._forker = forker
        self._imported.clear()
        self._importing = None
        self.retire_waiting()

    @property
    def _loads_again(self) -> bool:
        return self._site.settings.reload and self.is_ready

    def _load_succeeded(self) -> None:
        """Let the former forker go: the new code is there."""
        if self._former is not None:
            self._site.log.info('loaded the edited code')
            self._let_go.append(self._former)
            self._former.let_go()
            self._former = None

    def _load_failed(self, forker: Forker, words: str) -> None:
        """Go back to the former forker if there is one; else try again later."""
        site = self._site
        if self._former is None:
            site.log.error('the edited code cannot be loaded: %s; jobs wait until it can', words)
            self._forking_failed()
            return
        site.log.error('the edited code cannot be loaded: %s; jobs run the old code until it is edited again', words)
        self._let_go.append(forker)
        self._forker, self._former = self._former, None

    # What the forker says

    def _forker_speaks(self, forker: Forker) -> None:
        messages = forker.messages()
        if messages is None:
            self._forker_ended(forker)
            return
        for message in messages:
            # An end that cannot be written down now must not keep the others from being heard.
            self._loop.call(partial(self._hear, forker, *message))

    def _hear(self, forker: Forker, kind: str, *values: Any) -> None:
        if kind == 'forked':
            self._child_is_there(*values)
        elif kind == 'ended':
            self._child_ended(*values)
        elif kind == 'ready':
            self._told_ready(forker, *values)
        elif kind == 'imported':
            self._importing = None
        elif kind == 'changed':
            if forker not in self._let_go:
                self._load_again(*values)
        else:
            self._no_child(*values)

    def _told_ready(self, forker: Forker, name: str, words: str) -> None:
        if not words:
            forker.ready = self.is_ready = True
            if forker is self._forker:
                self._load_succeeded()
        elif self._loads_again:
            # It ends now, and then that is dealt with.
            forker.failure = words
        elif name:
            self._on_useless(ImportFailed(name, words))
        else:
            self.is_ready = True

    def _child_is_there(self, token: int, pid: int) -> None:
        ordered = self._ordered.pop(token)
        self._backoff.reset()
        try:
            identity = identify(pid)
        except ProcessLookupError:
            # It has already ended; that message comes next.
            identity = Identity(pid, '', '')
        child = Child(identity, ordered.channel, ordered.mailbox, ordered.forker.pid, capture=ordered.capture)
        self._children[pid] = child
        if child.capture is not None:
            self._loop.watch(child.capture.read_end, lambda: self._drain(child))
        if self._site.settings.jobs_per_child > 1:
            self._loop.watch(child.channel.fileno(), lambda: self._child_speaks(child))
        if ordered.forker is not self._forker:
            # It was ordered before the code was edited.
            self._retire(child)

    def _child_speaks(self, child: Child) -> None:
        done = child.hear()
        if done is None or done.left_behind:
            # It ends; the forker says when.
            self._loop.unwatch(child.channel.fileno())
        if done is not None:
            self._on_done(child, done)

    def _drain(self, child: Child) -> None:
        if child.capture is not None and not child.capture.drain():
            self._stop_listening(child)
            child.capture.close()

    def _stop_listening(self, child: Child) -> None:
        """Watch a child no more: whoever writes down how its job ended reads the rest of its output, and closes it."""
        with contextlib.suppress(KeyError):
            self._loop.unwatch(child.channel.fileno())
        if child.capture is not None and child.capture.read_end >= 0:
            self._loop.unwatch(child.capture.read_end)

    def _no_child(self, token: int, words: str) -> None:
        self._give_up(token)
        self._forking_failed()

    def _give_up(self, token: int) -> None:
        """Close what was prepared for a child that will not be there."""
        ordered = self._ordered.pop(token)
        ordered.channel.close()
        ordered.mailbox.close()
        if ordered.capture is not None:
            ordered.capture.close()

    def _forking_failed(self) -> None:
        """Pause, longer each time: the cause (a hook that raises, no memory) will not go away at once."""
        self._on_failure(self._backoff.next())

    def _child_ended(self, pid: int, status: int, values: tuple[Any, ...]) -> None:
        child = self._children.pop(pid, None)
        if child is not None:
            self._stop_listening(child)
            self._on_end(child, status, values)

    def _forker_ended(self, forker: Forker) -> None:
        """Clean up after a forker: its children die with it, and a new one will be started if it was the last."""
        self._loop.unwatch(forker.fileno())
        status = forker.close()
        if not self._closing and forker not in self._let_go:
            self._explain_end(forker, killed=status is None or os.WIFSIGNALED(status))
        if forker in self._let_go:
            self._let_go.remove(forker)
        elif forker is self._former:
            self._former = None
        else:
            self._forker = None
            self._importing = None
            if time.monotonic() - forker.since < 1.0:
                self._forking_failed()
        for token in [token for token, ordered in self._ordered.items() if ordered.forker is forker]:
            self._give_up(token)
        for child in [child for child in self._children.values() if child.forker_pid == forker.pid]:
            child.kill(signal.SIGKILL)
            wait_until_gone(child.identity, _PATIENCE)
            self._loop.call(partial(self._child_ended, child.pid, int(signal.SIGKILL), (0,) * 16))

    def _explain_end(self, forker: Forker, killed: bool) -> None:
        site = self._site
        if self._loads_again and not forker.ready:
            self._load_failed(forker, forker.failure or 'the process that imported it ended')
        elif self._importing is not None:
            site.log.error(
                'the process that forks ended while it imported %s; jobs will import it themselves from now on',
                self._importing,
            )
        elif forker.ready or killed:
            site.log.warning('the process that forks was killed, and its children with it')
        elif site.settings.imports:
            modules = ', '.join(site.settings.imports)
            self._on_useless(ImportFailed(modules, f'{modules}: the process ended while it was imported'))

    def _leave(self) -> None:
        """Close in the forker what belongs to the supervisor."""
        self._leave_supervisor()
        for forker in self._forkers():
            forker.abandon()
        for child in self._children.values():
            child.close()
            if child.capture is not None and child.capture.read_end >= 0:
                os.close(child.capture.read_end)
        for token in list(self._ordered):
            self._give_up(token)

    # The end

    def expect_the_end(self) -> None:
        """Expect the forker to end from now on."""
        self._closing = True

    def kill_forkers(self) -> None:
        """Kill all forkers, and with them all children: they no longer report how those end."""
        for forker in self._forkers():
            forker.kill()

    def close(self) -> None:
        """End the forkers and the waiting children."""
        self.retire_waiting()
        for token in list(self._ordered):
            self._give_up(token)
        forkers = self._forkers()
        if forkers:
            for child in self._children.values():
                self._stop_listening(child)
                child.close()
            self._children.clear()
        if self._former is not None and self._forker is not None:
            # It is importing, which may take long.
            self._forker.kill()
        for forker in forkers:
            self._loop.unwatch(forker.fileno())
            forker.let_go()
        for forker in forkers:
            forker.close()
        self._forker = self._former = None
        self._let_go.clear()
        gc.unfreeze()

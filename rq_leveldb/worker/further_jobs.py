"""A child that runs further jobs after its first one: whether it may, and how it comes by the next.

Its job's end is said first, in the mailbox or in the store. Then the child either tells the supervisor that it is free,
and waits, or ends, as a child does that runs a single job. So no end is known in another way than there.

The supervisor has the end of a job in hand, and has emptied the mailbox, before it gives the child another. A child
that is killed while it waits had no job, whatever it ran before.
"""

from __future__ import annotations

import _socket
import contextlib
import resource

from rq_leveldb.api import hang_up
from rq_leveldb.process import die_with_parent, resident_bytes

from . import limits
from .assignment import Done, Task, receive_task, send_done
from .process_state import ProcessState
from .site import Site
from .usage import forget_peak

__all__ = ['FurtherJobs']


class FurtherJobs:
    """The further jobs of the calling process, which is about to run its first one.

    Args:
        site: what this process' copy of the worker shares.
        channel: over which jobs come.
        parent: the process id of the forker.

    Attributes:
        spent: seconds of processor time, as user and in the kernel, that the former jobs have used.
    """

    def __init__(self, site: Site, channel: _socket.socket, parent: int) -> None:
        self._site = site
        self._channel = channel
        self._parent = parent
        self._left = site.settings.jobs_per_child
        # The application may have connected while it was imported. A connection that is closed after the first job
        # must not look as if that job had closed it.
        self._hang_up()
        try:
            self._before: ProcessState | None = ProcessState.now()
        except OSError as error:
            site.log.debug('a process runs one job only, since it cannot look at itself: %s', error)
            self._before = None
        self._memory = limits.private_memory()
        self._limit = resource.getrlimit(resource.RLIMIT_DATA)
        self.spent = (0.0, 0.0)

    def kept_memory(self) -> int:
        """Return how many bytes of private memory the former jobs have left behind."""
        return max(0, limits.private_memory() - self._memory)

    def next(self, *, last: bool) -> Task | None:
        """Tell the supervisor that the job is over, and wait for the next; None if this process is to end.

        Args:
            last: whether the job ended in a way after which its process is not used again.
        """
        self._left -= 1
        before = self._before
        if last or self._left < 1 or before is None:
            return None
        # Jobs that enqueue others, or that write down their own end, have connected to the store.
        self._hang_up()
        if resource.getrlimit(resource.RLIMIT_DATA) != self._limit:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_DATA, self._limit)
        left_behind = before.left_since()
        if not before.still_has(self._channel.fileno()):
            return None
        most = self._site.settings.child_memory
        if not left_behind and most is not None and resident_bytes() > most:
            return None
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.spent = used.ru_utime, used.ru_stime
        try:
            send_done(self._channel, Done(*self.spent, left_behind))
            if left_behind:
                return None
            # A job may have changed what the kernel keeps of this.
            die_with_parent(self._parent)
            task = receive_task(self._channel)
        except OSError:
            return None
        forget_peak()
        return task

    def _hang_up(self) -> None:
        self._site.connection.connection_pool.disconnect()
        hang_up()

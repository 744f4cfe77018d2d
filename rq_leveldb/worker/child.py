"""A child as the supervisor sees it: which process, what it was given to do, and how to end it."""

from __future__ import annotations

import _socket
import os
import signal
import time
from dataclasses import dataclass

from rq_leveldb.process import Identity, is_alive

from .assignment import Assignment, Done, Task, receive_done, send_task
from .ending import STOPPED, Ending
from .mailbox import Mailbox
from .output import Capture

__all__ = ['Child']


@dataclass
class Child:
    """One child process, as the supervisor sees it.

    Args:
        identity: which process.
        channel: the parent's end.
        mailbox: where it says how its job ended.
        forker_pid: the process that forked it.
    """

    identity: Identity
    channel: _socket.socket
    mailbox: Mailbox
    forker_pid: int
    assignment: Assignment | None = None
    ending: Ending | None = None
    started: float = 0.0
    next_heartbeat: float = 0.0
    stop_reason: str = ''
    late: bool = False
    retired: bool = False
    capture: Capture | None = None
    spent: tuple[float, float] = (0.0, 0.0)

    @property
    def pid(self) -> int:
        """The process id."""
        return self.identity.pid

    @property
    def busy(self) -> bool:
        """Whether it has been given something to do."""
        return self.assignment is not None

    @property
    def runs_job(self) -> bool:
        """Whether it runs a job; not one that handles another's end."""
        return self.assignment is not None and self.ending is None

    @property
    def job_id(self) -> str:
        """The job that it runs; '' while it waits for one."""
        return self.assignment.job_id if self.assignment is not None else ''

    def give(self, assignment: Assignment, task: Task, ending: Ending | None, interval: float) -> bool:
        """Give it something to do.

        Args:
            assignment: the job.
            task: what it is told.
            ending: how the job's own process ended, if it is to handle that.
            interval: seconds between two heartbeats of its job.

        Returns:
            Whether it took it: it may have been killed while it waited.
        """
        self.assignment, self.ending = assignment, ending
        self.started = time.monotonic()
        self.next_heartbeat = self.started + interval
        try:
            send_task(self.channel, task)
        except OSError:
            self.assignment = self.ending = None
            self.retired = True
            return False
        return True

    def hear(self) -> Done | None:
        """Return what it says of the end of its job, if it may run another; None if it has ended."""
        return receive_done(self.channel)

    def free(self, done: Done) -> Capture | None:
        """Have it wait for its next job, and return what it has printed in the one that is over.

        Args:
            done: what it said.
        """
        self.mailbox.empty()
        self.spent = done.user, done.system
        self.assignment = None
        self.stop_reason, self.late = '', False
        return self.capture.cut() if self.capture is not None else None

    def used(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Return what its last job has used, as `resource.struct_rusage` has it.

        Args:
            values: the same of the whole process.
        """
        user, system, *others = values
        return (max(0.0, user - self.spent[0]), max(0.0, system - self.spent[1]), *others)

    def seconds(self) -> float:
        """Return for how long it has been running its job."""
        return time.monotonic() - self.started

    def close(self) -> None:
        """Close what the supervisor has of it, but for the capture."""
        self.channel.close()
        self.mailbox.close()

    def stop(self) -> None:
        """Kill the child, since its job is to be stopped."""
        self.stop_reason = STOPPED
        self.kill(signal.SIGKILL)

    def kill(self, number: int) -> bool:
        """Send a signal to the child and to whatever it started in its process group.

        Returns:
            Whether there was somebody to send it to.
        """
        # Its job may be over at this moment, and the next one is not meant.
        self.retired = True
        if not is_alive(self.identity):
            # The forker has reaped it, so its process id may belong to another process now.
            return False
        try:
            # A job can join another process group, such as the forker's, which must not be killed with it.
            if os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

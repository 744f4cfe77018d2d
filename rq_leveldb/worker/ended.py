"""From the exit of a child, or from its word that its job is over, to what that means for the job."""

from __future__ import annotations

import os
import signal
from typing import Any

from . import limits
from .assignment import Assignment, Done
from .child import Child
from .ending import Ending, Verdict, judge
from .leftovers import Remains, end_leftovers
from .mailbox import Report
from .nursery import Nursery
from .settling import Settling
from .site import Site
from .stopping import Stopping

__all__ = ['EndedChildren']


class EndedChildren:
    """Finds out how the jobs of ended children ended, and has that written down.

    Args:
        site: in whose log it is said what else has ended.
        nursery: where modules are preloaded that jobs turned out to need.
        settling: where ends are written down.
        stopping: how long what the jobs started may take to end.
    """

    def __init__(self, site: Site, nursery: Nursery, settling: Settling, stopping: Stopping) -> None:
        self._site = site
        self._nursery = nursery
        self._settling = settling
        self._stopping = stopping
        self._out_of_memory = limits.OutOfMemoryWatch()
        self._told: set[str] = set()

    def job_done(self, child: Child, done: Done) -> None:
        """Handle the end of a job whose process may run another.

        Args:
            child: which process.
            done: what it said.

        Raises:
            RedisError: the store is away, or takes no writes; the end is written later.
        """
        assignment = child.assignment
        if done.left_behind:
            if done.left_behind not in self._told and assignment is not None:
                self._told.add(done.left_behind)
                self._site.log.info(
                    'the process of job %s is not used again, since the job left behind %s',
                    assignment.job_id,
                    done.left_behind,
                )
            return
        report = child.mailbox.read()
        if assignment is None or report is None:
            # The job wrote over its memory. How it ended is read when the process has.
            child.kill(signal.SIGKILL)
            return
        ending = Ending(judge(report, ''), report=report, pid=child.pid, seconds=child.seconds())
        capture = child.free(done)
        self._nursery.keep_or_retire(child)
        self._preload(report)
        self._settling.add(assignment, ending, capture)

    def add(self, child: Child, status: int, values: tuple[Any, ...]) -> None:
        """Handle the end of a child.

        Args:
            child: which; it is closed.
            status: its wait status.
            values: its resource usage, in the order of `resource.struct_rusage`.

        Raises:
            RedisError: the store is away, or takes no writes; the end is written later.
        """
        report = child.mailbox.read()
        child.close()
        capture, child.capture = child.capture, None
        words = self._explain(child, status)
        assignment = child.assignment
        if assignment is None or child.ending is not None:
            if capture is not None:
                capture.close()
            if assignment is not None:
                self._settling.child_ended(assignment, report.kind if report is not None else '', words)
            elif not child.retired:
                self._site.log.warning('waiting child %d ended: %s', child.pid, words)
            return
        verdict = judge(report, child.stop_reason)
        ending = Ending(
            verdict,
            _reason(verdict, child, status, words),
            verdict is Verdict.CRASHED,
            report,
            child.pid,
            status,
            child.used(values),
            child.seconds(),
            words,
        )
        if verdict in (Verdict.STOPPED, Verdict.ABANDONED, Verdict.CRASHED):
            self._end_leftovers(assignment, child)
        if report is not None:
            self._preload(report)
        self._settling.add(assignment, ending, capture)

    def _preload(self, report: Report) -> None:
        if self._site.settings.preload and report.module:
            self._nursery.preload(report.module)

    def _explain(self, child: Child, status: int) -> str:
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        words = limits.explain_exit(status, killed and self._out_of_memory.happened())
        if child.late:
            words = f'{words}, by its worker: it ignored its time-out for a minute'
        return words

    def _end_leftovers(self, assignment: Assignment, child: Child) -> None:
        """End what the job started: it may run again, and must not meet its own old programs."""
        remains = Remains(assignment.execution.id, child.identity)
        killed = end_leftovers([remains], self._stopping.seconds_left)
        if killed:
            self._site.log.info('killed %d process(es) that job %s left behind', killed, assignment.job_id)


def _reason(verdict: Verdict, child: Child, status: int, words: str) -> str:
    if verdict is Verdict.ABANDONED:
        return f'The job was not finished: {child.stop_reason}'
    if verdict is Verdict.CRASHED:
        signal_text = f' (signal {os.WTERMSIG(status)})' if os.WIFSIGNALED(status) else ''
        return f'Work-horse terminated unexpectedly; waitpid returned {status}{signal_text}; {words}'
    return ''
